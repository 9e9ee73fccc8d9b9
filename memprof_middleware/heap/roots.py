"""Roots of references that bear names: modules, threads, context variables and registries."""

from __future__ import annotations

import functools
import itertools
import os
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.entries import is_class, mro_of, namespace_of
from memprof_middleware.model.clean import clean, fold_name
from memprof_middleware.probes.census import CORE, OURS, type_name

Module = tuple[str, dict[str, Any], int]
APPLICATION, LIBRARY, STANDARD = range(3)
# As sysconfig tells them, which reads all of Python's make variables for it.
_LIB = Path(os.__file__).parent
_PLATFORM_LIB = Path(sys.base_exec_prefix, sys.platlibdir, _LIB.name)
_STDLIB = tuple({f"{_LIB}{os.sep}", f"{_PLATFORM_LIB}{os.sep}"})
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# What a server is told to serve: ``shop.main:app``, ``shop:create_app()``; and variables that name a module of its own.
_SERVED = re.compile(r"([^\W\d]\w*)[\w.]*:[^\W\d][\w.]*(?:\(.*\))?")
_MODULES_OF = ("DJANGO_SETTINGS_MODULE", "FLASK_APP")
# Lists of what lives for other reasons; their own are found by other ways.
_REGISTRIES = frozenset({"asyncio.tasks", "_asyncio"})
LONGEST_NAME = 200
_partial_of: Callable[[Any], Any] = vars(functools.partial)["func"].__get__
namespace_of_module: Callable[[Any], dict[str, Any]] = vars(types.ModuleType)["__dict__"].__get__


def is_ours(name: Any) -> bool:
    """Return whether a module is this package's or an adapter's."""
    return type(name) is str and name.partition(".")[0] in OURS


def is_core_name(name: str) -> bool:
    """Whether a name is the profiler's own. An adapter's is a link between the server and the application instead."""
    return name.partition(".")[0] == CORE


def modules(most: int | None = None) -> list[Module]:
    """Name, namespace and class of the loaded modules, but not ours; those that another one imports before it.

    The import system enters a module anew when it has run to its end, and what it imports has ended before. So in this
    order an object is met where it is defined, not where it is imported. The program itself ends last.

    Args:
        most: look at so many, those that ended last; ``None``: at all.
    """
    every = list(itertools.islice(reversed(sys.modules.items()), most))[::-1]
    return _spaces(sorted(every, key=lambda one: type(one[0]) is str and one[0] == "__main__"))


def modules_named(names: Iterable[str]) -> list[Module]:
    """The same of some modules, by name. The others are left alone: to look at all copies 9 MB in a forked worker."""
    return _spaces([(name, module) for name in sorted(names) if (module := sys.modules.get(name)) is not None])


def _spaces(every: Iterable[tuple[Any, Any]]) -> list[Module]:
    found: dict[int, Module] = {}
    served = _served()
    for name, module in every:
        kind = type(module)
        if type(name) is not str or is_ours(name) or name in _REGISTRIES:
            continue
        if kind is types.ModuleType or any(base is types.ModuleType for base in mro_of(kind)):
            space = namespace_of_module(module)
            # One that goes by two names, as __main__ does with multiprocessing, is known by its own.
            own = space.get("__name__") if type(space) is dict else None
            if type(space) is dict and (id(space) not in found or (type(own) is str and own == name)):
                found.pop(id(space), None)  # it has the place of the name that it goes by
                found[id(space)] = (clean(name, LONGEST_NAME), space, class_of(name, space, served))
    return list(found.values())


def class_of(name: str, space: dict[str, Any], served: frozenset[str] | None = None) -> int:
    """Return a module's origin: ``APPLICATION``, ``LIBRARY`` or ``STANDARD``.

    Args:
        name: of the module.
        space: its namespace.
        served: the packages that the server is told to serve, where many modules are asked about; by default looked up.
    """
    file = space.get("__file__")
    if type(file) is not str:
        return APPLICATION if name == "__main__" else STANDARD
    if any(part in file for part in _PACKAGES):
        return APPLICATION if _is_served(name, file, _served() if served is None else served) else LIBRARY
    return STANDARD if file.startswith(_STDLIB) else APPLICATION


def _served() -> frozenset[str]:
    """The packages that the command line or the environment tells the server to serve."""
    words = (word for word in getattr(sys, "argv", ())[1:] if type(word) is str)
    found = {served[1] for word in words if (served := _SERVED.fullmatch(word))}
    return frozenset(found | {re.split(r"[.:]", os.environ.get(name, ""))[0] for name in _MODULES_OF})


def _is_served(name: str, file: str, served: frozenset[str]) -> bool:
    """Whether a module is of what is served: the application, also where it is installed as libraries are.

    That is the package that is named, and what lies in one folder with a module that is named.
    """
    if name.partition(".")[0] in served:
        return True
    folder = file.rpartition(os.sep)[0]
    return not f"{folder}{os.sep}".endswith(_PACKAGES) and any(_folder(one) == folder for one in served)


def _folder(name: str) -> str | None:
    module: Any = sys.modules.get(name)
    file = namespace_of_module(module).get("__file__") if type(module) is types.ModuleType else None
    return file.rpartition(os.sep)[0] if type(file) is str else None


def function_name(function: types.FunctionType) -> str:
    """``module.function``, of exact strings: formatting a subclass of str runs the program's code."""
    parts = (function.__module__, function.__qualname__)
    return clean(".".join(part if type(part) is str else "?" for part in parts), LONGEST_NAME)


def is_nested(function: types.FunctionType) -> bool:
    """Return whether a function was made by another, so that its name says nothing of where it is kept.

    By the name of its code: ``functools.wraps`` gives a closure the name of the function that it wraps.
    """
    names = function_name(function) + function.__code__.co_qualname
    return "<locals>" in names or "<lambda>" in names


def is_made_at_run_time(kind: type) -> bool:
    """Return whether a class is not found under its own name, as one that a function made: its keeper holds it."""
    parts = type_name(kind).split(".")
    for size in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:size]))
        if module is not None and any(base is types.ModuleType for base in mro_of(type(module))):
            space: Any = namespace_of_module(module)
            found: Any = None
            for name in parts[size:]:
                found = space.get(name) if space is not None else None
                space = namespace_of(found) if is_class(type(found)) else None
            return found is not kind
    return True


def threads() -> list[Any]:
    """The threads that run, without our own."""
    # Their dict, not enumerate(): that takes a lock, which a thread that was lost in a fork may hold for ever.
    return [thread for thread in list(vars(threading)["_active"].values()) if not is_our_thread(thread)]


def is_our_thread(thread: Any) -> bool:
    """Return whether a thread is one of this package's, by its name or by what it runs."""
    name = Attributes().read(thread, "_name")
    return (type(name) is str and name.startswith("memprof-")) or is_ours(thread_name(thread).partition(" ")[2])


def thread_name(thread: Any) -> str:
    """``thread module.function``, by what it runs: its target, or its class if that has a ``run`` of its own.

    As tasks go by their coroutines. A thread's own name is often made of data, such as ``job-for-alice``.
    """
    runs = next((base for base in mro_of(type(thread)) if "run" in namespace_of(base)), threading.Thread)
    target = Attributes().read(thread, "_target") if runs is threading.Thread else None
    return f"thread {type_name(type(thread)) if target is None else callable_name(target)}"


def callable_name(target: Any) -> str:
    """``module.function``; of a bound method by the class of its object, of a partial by what it calls."""
    for _ in range(8):  # partials of partials
        if type(target) is not functools.partial:
            break
        target = _partial_of(target)
    if type(target) is types.MethodType:
        function = target.__func__
        name = function.__name__ if type(function) is types.FunctionType else "?"
        owner = target.__self__
        return f"{_type_name_of(owner)}.{clean(name)}"
    if type(target) is types.BuiltinFunctionType:
        return clean(target.__qualname__)
    return function_name(target) if type(target) is types.FunctionType else type_name(type(target))


def _type_name_of(one: Any) -> str:
    return type_name(one if is_class(type(one)) else type(one))


def variable_name(variable: Any) -> str:
    """``contextvar NAME``, with ``#`` for numbers and ids."""
    return f"contextvar {fold_name(variable.name)}" if type(variable.name) is str else "contextvar ?"


def registries() -> dict[int, str]:
    """Identities and names of the sets that list what lives for other reasons, such as all tasks."""
    return {
        id(value): f"{module}.{name}"
        for module in sorted(_REGISTRIES & sys.modules.keys())
        for name, value in list(namespace_of_module(sys.modules[module]).items())
        if (type(value) is set or type(value) is weakref.WeakSet) and type(name) is str
    }


def our_spaces() -> set[int]:
    """Identities of the namespaces of our own modules, and of those that hold nothing themselves."""
    return {
        id(namespace_of_module(module))
        for name, module in list(sys.modules.items())
        if (is_ours(name) or name in _REGISTRIES) and type(module) is types.ModuleType
    }
