"""Parts of this package that are loaded late, and what they would add to the object counts of the program."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import functools
import gc
import sys
import types
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from memprof_middleware import forks
from memprof_middleware.errors import MemprofError
from memprof_middleware.probes.census import CORE, OURS, Census, type_name

_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)
# What modules are made of, and what holds it. Instances of our own classes are counted nowhere.
_MADE_OF = {types.FunctionType, type, types.CellType, property, classmethod, staticmethod, *_DESCRIPTORS}
_MADE_OF |= {types.ModuleType, type(__spec__), type(__spec__.loader), dataclasses.Field}
_MADE_OF.add(type(Census.__dataclass_params__))  # type: ignore[attr-defined]
_MADE_OF.add(functools._lru_cache_wrapper)  # hides a function
_COUNTED = {*_MADE_OF, weakref.ref}
_ENTERED = {*_MADE_OF, dict, tuple, functools.cached_property}
# A module of ours holds a tenth of this. What one of them remembers of the program is not searched through.
_MOST = 20_000
_module_of = type.__dict__["__module__"].__get__

# What each of our modules that came after the first count of this process is made of, by kind.
_made: dict[str, Mapping[str, int]] = {}
# The newest module at the last count, of whomever: those after it are new. A look at all of them copies their pages in
# a forked worker, 4 MB of a large application.
_newest: object = None
_unready: set[str] = set()  # ours that have come, until their import is at its end
_under_way: list[str] = []
_is_cut_short = False  # the parent forked in the middle of an import


def load(name: str) -> Any:
    """Return a module of this package that most processes never need, imported the first time that it is.

    Another thread that forks meanwhile waits until it is done, for a moment at the most.

    Args:
        name: the module, as ``leaks.judging``.

    Raises:
        MemprofError: this process was forked in the middle of an import, which no thread of it brings to its end.
        Exception: whatever the import raises.
    """
    full = f"{CORE}.{name}"
    if _is_ready(module := sys.modules.get(full)):
        return module
    if _is_cut_short:
        raise MemprofError(f"{full} cannot be loaded: this process was forked in the middle of an import")
    with forks.loading():
        _under_way.append(full)
        newest = next(reversed(sys.modules), None)
        try:
            return import_module(full)
        finally:
            with contextlib.suppress(ValueError):  # in a child that an import hook has forked
                _under_way.remove(full)
            with contextlib.suppress(RuntimeError):
                _note_standard(_after(newest))


def less_late(census: Census) -> Census:
    """The census without what was loaded late: it comes when something grows, and would look like a part of it."""
    _note_ours()
    if not _made:
        return census
    late: Counter[str] = Counter()
    for made in _made.copy().values():
        late.update(made)
    counts = {name: max(0, number - late[name]) for name, number in census.counts.items()}
    return dataclasses.replace(census, counts=counts)


@forks.in_child
def _in_child() -> None:
    """What a child has inherited may be hidden from its counts, or not: it begins with what is there."""
    global _is_cut_short, _newest
    _is_cut_short = bool(_under_way)
    _under_way.clear()
    _newest = None
    _unready.clear()
    _made.clear()


def _note_ours() -> None:
    """Note which modules of ours have come: by name, so that of two threads that count at once each may look."""
    global _newest
    newest = next(reversed(sys.modules), None)
    if _newest is not None:
        try:
            _unready.update(name for name in _after(_newest) if name.partition(".")[0] in OURS)
        except RuntimeError:
            return  # another one comes this very moment: the next count looks from the same place
        for name in [name for name in _unready.copy() if _is_ready(sys.modules.get(name))]:
            _made[name] = _made_of(sys.modules[name])
            _unready.discard(name)
    _newest = newest


def _after(newest: object) -> list[str]:
    """The names of the modules that came after one; none, if that one is gone.

    Raises:
        RuntimeError: another one comes this very moment.
    """
    found: list[str] = []
    for name in reversed(sys.modules):
        if name is newest:
            return found
        if type(name) is str:
            found.append(name)
    return []


def _note_standard(names: Iterable[str]) -> None:
    """What an import of ours has brought of the standard library is ours, too, even if another thread asked for it."""
    if _newest is not None:
        new = [name for name in names if name.partition(".")[0] in sys.stdlib_module_names]
        _made.update({name: _made_of(sys.modules[name]) for name in new if _is_ready(sys.modules.get(name))})


def _is_ready(module: types.ModuleType | None) -> bool:
    """Whether an import has come to its end, by the mark that the import system itself goes by."""
    spec = vars(module).get("__spec__") if type(module) is types.ModuleType else None
    return spec is not None and not getattr(spec, "_initializing", False)


def _made_of(module: types.ModuleType) -> Counter[str]:
    """What a module is made of, by kind: all that it holds and no other module has made."""
    found: Counter[type] = Counter([types.ModuleType])
    seen, todo = {id(module), id(vars(builtins))}, [module]
    while todo and len(seen) < _MOST:
        for thing in gc.get_referents(todo.pop()):
            kind = type(thing)
            if id(thing) not in seen and (kind in _ENTERED or issubclass(kind, type)) and _is_of(thing, module):
                seen.add(id(thing))
                todo.append(thing)
                found[kind] += 1
                found[weakref.ref] += issubclass(kind, type)  # by which its bases know a class
                found[types.FunctionType] += kind is functools._lru_cache_wrapper  # which tells its parameters
    return Counter({type_name(kind): number for kind, number in found.items() if kind in _COUNTED})


def _is_of(thing: Any, module: types.ModuleType) -> bool:
    """Whether no other module has made it, as far as can be told: what holds others bears no mark of its own."""
    kind = type(thing)
    if kind is types.ModuleType:
        return False
    if kind is functools._lru_cache_wrapper:
        return _is_of(getattr(thing, "__wrapped__", None), module)
    if kind is types.FunctionType:
        # A wrapper has our name only. What was compiled for it, as by a namedtuple, has a namespace of no module: which
        # one is in `sys.modules` at this moment says nothing, the host may have put another one there.
        home = thing.__globals__
        if _is_named(thing.__module__, module) or home is vars(module) or not dict.__contains__(home, "__spec__"):
            return True
        # What dataclasses makes from 3.14 on for an __init__ is theirs by both; only what it annotates leads to it.
        return type(thing.__name__) is str and thing.__name__ == "__annotate__"
    if kind in _DESCRIPTORS:
        thing = thing.__objclass__
    return not issubclass(type(thing), type) or _is_named(_module_of(thing), module)


def _is_named(name: object, module: types.ModuleType) -> bool:
    return type(name) is str and name == module.__name__  # anything can be assigned to it
