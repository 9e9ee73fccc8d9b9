"""The place in the source where a container is defined, and who adds to it or removes: file, line, names."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import gc
import itertools
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from memprof_middleware.heap import roots
from memprof_middleware.heap.adders import ADDS, ANY, REMOVES, Use, line_of, who
from memprof_middleware.heap.answers import Definition
from memprof_middleware.heap.entries import LRU, is_class, mro_of, namespace_of
from memprof_middleware.heap.origins import rank_of
from memprof_middleware.heap.resolve import ENTRY, Root, code_of, codes_of, namespace, resolve, within, wrapped_by
from memprof_middleware.heap.shapes import shape_of
from memprof_middleware.heap.sources import Source
from memprof_middleware.heap.waiting import waits_at
from memprof_middleware.model.clean import clean, fold_name
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

PAUSE_SECONDS = 0.001
MOST_ADDERS = 3
# Modules that import a container, and classes in the ancestry of an object, that are searched for who adds.
_MOST_MODULES, _MOST_CLASSES = 16, 3
_TASK = "task "
_RUNS = ("frame of ", _TASK, "thread ")
# Shapes of containers that only their owner can mend.
_ONLY_GROWS, _REMOVED = frozenset({"module_mapping", "module_list"}), "removes_too_little"
_CONTAINERS = _ONLY_GROWS | {"lru_method", "lru_unbounded", _REMOVED}
_VARIABLE = "contextvar "
Found = list[tuple[types.CodeType, int]]


def define(path: str, *, place: str = "", pause: Callable[[float], object] = real_sleep) -> Definition:
    """Find where the container at the beginning of a path is defined, and who adds to it.

    Read from the code objects of the modules that know it; the line of an assignment from the compiled file beside the
    source, else from the source. Nothing of the program runs. A millisecond for each module.

    Args:
        path: a retaining path, or the path of a container.
        place: the container on it that grows, where that is not the first: ``app.SERVICES[*].pending``.
        pause: called between modules with the seconds to wait.
    """
    return in_real_thread(functools.partial(_define, path, place, pause))


def _define(path: str, place: str, pause: Callable[[float], object]) -> Definition:
    if path.startswith("nobody"):
        return Definition(pattern="" if gc.isenabled() and gc.get_threshold()[0] else "cycles_gc_off")
    for prefix in _RUNS:
        if path.startswith(prefix):
            found = _of_function(path.removeprefix(prefix))
            return dataclasses.replace(found, waits_at=waits_at(path)) if prefix == _TASK else found
    if path.startswith(_VARIABLE):
        path = _variable(path.removeprefix(_VARIABLE).partition("[")[0]) or ""
    root = resolve(path)
    if root is None or not root.objects:
        return Definition(tried="no module of this process begins the path")
    inner = within(root, place)
    found = _of_root(inner or root, pause)
    # What is said of a container holds for the one that grows alone.
    return dataclasses.replace(found, pattern="") if inner is None and found.pattern in _CONTAINERS else found


def _of_function(name: str) -> Definition:
    """The function that a frame, a task or a thread runs; the variable that follows may be what grows."""
    module, code, rest = code_of(name.partition("[")[0])
    if code is None:
        root = resolve(name)
        return Definition() if root is None or not root.objects else _of_root(root, real_sleep)
    variable = rest.partition(".")[0]
    line = line_of(code, (variable,), local=True) if variable else 0
    added = (_worded(code, line),) if line else ()
    return Definition(Source(module).shown(code.co_filename), code.co_firstlineno, added)


def _variable(name: str) -> str | None:
    """The path of a context variable by its own name."""
    for module, space, rank in roots.modules():
        for global_name, value in list(space.items()) if rank == roots.APPLICATION else ():
            if type(value) is contextvars.ContextVar and fold_name(value.name) == name:
                return f"{module}.{global_name}"
    return None


def _of_root(root: Root, pause: Callable[[float], object]) -> Definition:
    source = Source(root.module)
    last, pattern = root.objects[-1], shape_of(root)
    if type(last) is LRU:
        function = wrapped_by(last)
        if type(function) is types.FunctionType:
            code = function.__code__
            added = (_worded(code, code.co_firstlineno),)
            file = Source(function.__module__).shown(code.co_filename)
            return Definition(file, code.co_firstlineno, added, _of_whom(pattern, function.__module__))
    file, line = _place(root, source)
    found, removed, searched, by_callers = _adders(root, pause)
    if not by_callers:
        pattern = _of_whom(pattern, root.module)
    tried = "" if found else f"no function that adds to it was found in {_modules(searched)}"
    pattern = _REMOVED if removed and pattern in _ONLY_GROWS else pattern
    return Definition(file, line, tuple(found[:MOST_ADDERS]), pattern, tried, removed_in="".join(removed[:1]))


def _of_whom(pattern: str, module: str) -> str:
    """The key of the advice: a container of a library is for the library to mend."""
    return "of_a_library" if pattern in _CONTAINERS and rank_of(module) == roots.LIBRARY else pattern


def _modules(names: Collection[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} modules that know it"


def _worded(code: types.CodeType, line: int, module: str = "") -> str:
    """``add_to_cart, line 31 of cart.py``; without the file where the code was made from text."""
    name, file = code.co_qualname.replace(".<locals>", ""), PurePath(code.co_filename).name
    of = "" if not file or file.startswith("<") else f" of {file}"
    return clean(f"{module}.{name}, line {line}{of}" if module else f"{name}, line {line}{of}")


def _place(root: Root, source: Source) -> tuple[str, int]:
    """File and line: of the attribute, where a class of the application sets it, else of the global."""
    names = (*root.names, *root.rest)
    if len(names) > 1:
        owner = root.objects[min(len(root.objects), len(names) - 1) - 1]
        for module, kind in _application_classes(owner):
            known = Source(module)
            line = known.attribute_line(kind, names[-1], _codes_of_class(module, kind))
            if line:
                return known.shown(), line
    if is_class(type(root.objects[0])) and len(names) == 1:
        return source.shown(), source.class_line(root.names[0])
    if type(root.objects[0]) is types.FunctionType:
        code = root.objects[0].__code__
        return source.shown(code.co_filename), code.co_firstlineno
    return source.shown(), source.line(root.names[0])


def _application_classes(owner: Any) -> list[tuple[str, str]]:
    """The class of an object, or the class itself, and those that it derives from: module and qualified name.

    Only the application's own: who adds to what a library keeps is found where the library is called.
    """
    kinds = mro_of(owner if is_class(type(owner)) else type(owner))
    found = []
    for kind in kinds[:_MOST_CLASSES]:
        module = namespace_of(kind).get("__module__")
        space = namespace(module) if type(module) is str else None
        if type(module) is str and space is not None and roots.class_of(module, space) == roots.APPLICATION:
            found.append((module, type_name(kind).removeprefix(f"{module}.")))
    return found


def _codes_of_class(module: str, kind: str) -> list[types.CodeType]:
    codes = codes_of(module, namespace(module) or {})
    return [code for code in codes if code.co_qualname.startswith(f"{kind}.")]


def _adders(root: Root, pause: Callable[[float], object]) -> tuple[list[str], list[str], list[str], bool]:
    """The functions that add, and those that remove, in words; the modules searched; whether another module's adds."""
    names = (*root.names, *root.rest[:1])
    methods, removing = _methods(root, names, ADDS), _methods(root, names, REMOVES)
    found, removed, by_callers = [_worded(*one) for one in methods], [_worded(*one) for one in removing], bool(methods)
    # Who calls a method that adds is as good.
    own = {code.co_qualname.rpartition(".")[2] for code, _ in methods} - {"__init__"}
    adds = dataclasses.replace(ADDS, methods={*ADDS.methods, *own})
    searched: list[str] = []
    for module, space, aliases in itertools.islice(_users(root), _MOST_MODULES):
        searched.append(module)
        ways = [(*alias, *names[1:size]) for alias in aliases for size in range(len(names), 0, -1)]
        codes = [*codes_of(module, space), *Source(module).functions()]
        other = "" if module == root.module else module
        words = [_worded(*one, other) for one in who(codes, ways, adds)]
        by_callers |= bool(words and other)
        found.extend(word for word in words if word not in found)
        if ENTRY not in names:  # who removes from the container around another does not remove from that
            removed.extend(_worded(*one, other) for one in who(codes, ways, REMOVES))
        pause(PAUSE_SECONDS)
    return found, removed, searched, by_callers


def _methods(root: Root, names: tuple[str, ...], use: Use) -> Found:
    """The methods that use a container so: of the object whose attribute it is, or of its own class."""
    methods: Found = []
    if len(names) > 1:
        owner = root.objects[min(len(root.objects), len(names) - 1) - 1]
        for module, kind in _application_classes(owner):
            methods += who(_codes_of_class(module, kind), [(ANY, names[-1])], use)
    for module, kind in [] if root.rest else _application_classes(root.objects[-1]):
        # A container of a class of its own: its methods do it to themselves.
        for code in _codes_of_class(module, kind):
            if line := line_of(code, code.co_varnames[:1] or (ANY,), use, local=True):
                methods.append((code, line))
    return methods


def _users(root: Root) -> Iterator[tuple[str, Mapping[str, Any], list[tuple[str, ...]]]]:
    """The modules that know the global at the beginning, its own first, and under which names."""
    yield root.module, root.space, [(root.names[0],)]
    home = sys.modules.get(root.module)
    package = sys.modules.get(root.module.partition(".")[0])
    through_package = (*root.module.split(".")[1:], root.names[0])
    for module, space, rank in roots.modules():
        if rank != roots.APPLICATION or space is root.space:
            continue
        aliases: list[tuple[str, ...]] = []
        for name, value in list(space.items()):
            if type(name) is not str:
                continue
            if value is root.objects[0]:
                aliases.append((name,))
            elif value is home:
                aliases.append((name, root.names[0]))
            elif value is package:
                aliases.append((name, *through_package))
        if aliases:
            yield module, space, aliases
