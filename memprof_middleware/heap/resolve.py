"""From a path back to the objects that it names, without running code of the program."""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memprof_middleware.heap import roots
from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.entries import (
    LRU,
    container_base,
    is_class,
    length_of,
    mro_of,
    namespace_of,
    newest,
    referents,
)
from memprof_middleware.model.value import valueclass

# Where the names end: at an entry, at what has no name, at what a traceback or a function keeps.
_END = re.compile(r"\[|\.?<|\.__traceback__|…")
_partial_of = vars(functools.partial)["func"].__get__
_MOST_FUNCTIONS = 5_000
# An entry on a path, and so many that are looked at.
ENTRY, _MOST_ENTRIES = "[*]", 64


@valueclass(frozen=True, slots=True)
class Root:
    """The beginning of a path, as objects.

    Attributes:
        module: the module that it begins with.
        space: the namespace of that module.
        names: from the module's global on, those that were found.
        objects: what each of them is.
        rest: names that were not found, such as an attribute that another thread has.
    """

    module: str
    space: Mapping[str, Any]
    names: tuple[str, ...]
    objects: tuple[Any, ...]
    rest: tuple[str, ...] = ()


def resolve(path: str) -> Root | None:
    """The objects at the beginning of a path; ``None`` if it begins with no loaded module.

    Args:
        path: such as ``shop.cart.SESSIONS[*].user``; of it only ``shop.cart.SESSIONS`` counts.
    """
    named = _END.split(path, maxsplit=1)[0].split(".")
    for size in range(len(named) - 1, 0, -1):
        space = namespace(".".join(named[:size]))
        if space is not None:
            return _followed(".".join(named[:size]), space, named[size:])
    return None


def within(root: Root, place: str) -> Root | None:
    """The largest of the containers that a path leads to through the entries of others; ``None``: it leads to none.

    Args:
        root: the beginning of the path.
        place: such as ``shop.SERVICES[*].pending``.
    """
    reached = [root]
    for step in place.split(ENTRY)[1:]:
        names = [name for name in step.split(".") if name]
        reached = [inner for outer in reached for inner in _in_entries(outer, names)][:_MOST_ENTRIES]
    return max(reached, key=lambda one: _length(one.objects[-1]) if one.objects else 0, default=None)


def _in_entries(root: Root, names: Sequence[str]) -> Iterator[Root]:
    base = container_base(type(root.objects[-1])) if root.objects and not root.rest else None
    attributes = Attributes()
    for entry in newest(root.objects[-1], base, _MOST_ENTRIES) if base is not None else ():
        objects = [entry]
        for name in names:
            objects.append(child_of(objects[-1], name, attributes))
        if container_base(type(objects[-1])) is not None:
            every = (*root.objects, *objects)
            yield Root(root.module, root.space, (*root.names, ENTRY, *names), every)


def _length(one: Any) -> int:
    base = container_base(type(one))
    return 0 if base is None else length_of(one, base)


def namespace(module: str) -> dict[str, Any] | None:
    """The namespace of a loaded module."""
    found = sys.modules.get(module)
    if found is None or not any(base is types.ModuleType for base in mro_of(type(found))):
        return None
    return roots.namespace_of_module(found)


def _followed(module: str, space: dict[str, Any], names: list[str]) -> Root:
    attributes = Attributes()
    objects: list[Any] = []
    for name in names:
        found = child_of(objects[-1], name, attributes) if objects else space.get(name)
        if found is None:
            break
        objects.append(found)
    size = len(objects)
    return Root(module, space, tuple(names[:size]), tuple(objects), tuple(names[size:]))


def child_of(parent: Any, name: str, attributes: Attributes) -> Any:
    """The attribute or entry of an object under a name, if reading it runs no code of the program; else ``None``."""
    if is_class(type(parent)):
        return next((space[name] for space in map(namespace_of, mro_of(parent)) if name in space), None)
    if type(parent) is types.FunctionType:
        return vars(parent).get(name)
    return attributes.read(parent, name)


def code_of(name: str) -> tuple[str, types.CodeType | None, str]:
    """The function that a name begins with: its module, its code, and what follows in the name.

    Args:
        name: such as ``app.worker.batch.rows``: the function ``app.worker.batch`` with its variable ``rows``.
    """
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:size])
        space = namespace(module)
        if space is None:
            continue
        known = {code.co_qualname: code for code in codes_of(module, space)}
        for end in range(len(parts), size, -1):
            code = known.get(".".join(parts[size:end]))
            if code is not None:
                return module, code, ".".join(parts[end:])
        return module, None, ".".join(parts[size:])
    return "", None, name


def codes_of(module: str, space: Mapping[str, Any]) -> Iterator[types.CodeType]:
    """The code of a module's functions and of the methods of its classes, with what is nested in them."""
    seen: set[int] = set()
    for function in _functions(module, space):
        waiting = [function.__code__]
        while waiting:
            code = waiting.pop()
            if id(code) not in seen:
                seen.add(id(code))
                yield code
                waiting.extend(inner for inner in code.co_consts if type(inner) is types.CodeType)


def _functions(module: str, space: Mapping[str, Any]) -> Iterator[types.FunctionType]:
    waiting = list(space.values())
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_FUNCTIONS:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        kind = type(one)
        if kind is types.FunctionType:
            seen.add(id(one))
            if one.__globals__ is space:
                yield one
            waiting.extend(_wrapped(one))
        elif is_class(kind):
            seen.add(id(one))
            if namespace_of(one).get("__module__") == module:
                waiting.extend(namespace_of(one).values())
        else:
            waiting.extend(_inside(one))


def _wrapped(function: types.FunctionType) -> list[Any]:
    """Functions that another one wraps: a decorator keeps them in its closure."""
    kept = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    return [one for one in [vars(function).get("__wrapped__"), *kept] if type(one) is types.FunctionType]


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asked for its error
    except ValueError:
        return False
    return True


def _inside(one: Any) -> list[Any]:
    """The functions in what stands for a function: a method's descriptor, a property, a partial, a cache."""
    kind = type(one)
    if kind is staticmethod or kind is classmethod:
        return [one.__func__]
    if kind is property:
        return [one.fget, one.fset]
    if kind is functools.partial:
        return [_partial_of(one)]
    if kind is types.MethodType:
        return [one.__func__]
    if kind is LRU:
        return [wrapped_by(one)]
    return []


def wrapped_by(cache: Any) -> Any:
    """The function of a functools.lru_cache."""
    return next((child for child in _functions_below(cache)), None)


def _functions_below(cache: Any) -> list[Any]:
    found = [child for child in referents(cache) if type(child) is types.FunctionType]
    wrapped = [space.get("__wrapped__") for space in referents(cache) if type(space) is dict]
    return found or [child for child in wrapped if child is not None]
