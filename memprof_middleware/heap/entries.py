"""Entries and references of objects, read by C code alone: no code of the program runs, nothing is made."""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

from memprof_middleware.probes.census import type_name

LRU: type = type(functools.lru_cache(len))
cache_info: Callable[[Any], Any] = vars(LRU)["cache_info"]
_mro_of: Callable[[type], tuple[type, ...] | None] = type.__dict__["__mro__"].__get__
_namespace_of: Callable[[type], types.MappingProxyType[str, Any] | None] = type.__dict__["__dict__"].__get__
_NO_NAMES: types.MappingProxyType[str, Any] = types.MappingProxyType({})
# As a container counts what is a subclass of one of these, by the builtin's own length: __len__ may be the program's.
# What has a length in bytes or numbers, such as a bytearray or an array, has no entries (see buffers.py).
_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    collections.deque: collections.deque.__len__,
    tuple: tuple.__len__,
    frozenset: frozenset.__len__,
}
GROWING = frozenset(map(id, (dict, list, set, collections.deque)))
# What refers to nothing, or to nothing of the program. By identity: the hash of a class may be the program's code.
_LEAVES = (
    *(str, bytes, bytearray, int, float, complex, bool, type(None), type(...), type(NotImplemented), range, object),
    *(types.CodeType, types.ModuleType, types.BuiltinFunctionType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.MethodWrapperType),
)
LEAVES = frozenset(map(id, _LEAVES))
# Whole containers are taken in one C call up to here, 0.1-0.5 ms; of longer ones some entries.
WHOLE = 10_000
# Stepping over the entries of a dict up to here takes 1-2 ms, in which nobody else can run.
_STEPPED = 200_000
_CHUNK = 10_000
# A text of so many bytes is looked at by itself. Smaller ones are many: their container tells of them.
LARGE = 64 * 1024
_TEXTS = (str, bytes, bytearray)
_CLASSES: tuple[type, ...] = (*_LENGTHS, LRU)


def mro_of(kind: type) -> tuple[type, ...]:
    """The ancestry of a class, itself first; empty for a type of C code that nobody has used yet, which has none."""
    return _mro_of(kind) or ()


def namespace_of(kind: type) -> types.MappingProxyType[str, Any]:
    """The names in a class; none for a type of C code that nobody has used yet."""
    return _namespace_of(kind) or _NO_NAMES


def container_base(kind: type) -> type | None:
    """The builtin container that a class is or derives from; ``None`` for other classes."""
    for base in mro_of(kind):
        for known in _CLASSES:
            if base is known:
                return known
    return None


def length_of(container: Any, base: type) -> int:
    """Return the number of entries, by the builtin's own count."""
    if base is LRU:
        size: int = cache_info(container).currsize
        return size
    return _LENGTHS[base](container)


def newest(container: Any, base: type, number: int, *, but: int = 0) -> list[Any]:
    """Entries at the end: values of a dict, last inserted first. Of a set any, since it has no order.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
        number: so many.
        but: so many of the newest are left out.
    """
    end = but + number
    try:
        if base is dict:
            return list(itertools.islice(reversed(dict.values(container)), but, end))
        if base is list or base is tuple:
            part: list[Any] = list(base.__getitem__(container, slice(-end, -but or None)))
            return part[::-1]
        if base is collections.deque:
            # Not by index: a negative one has __len__ called, which may be the program's.
            return list(itertools.islice(collections.deque.__reversed__(container), but, end))
        if base is set or base is frozenset:
            return list(itertools.islice(base.__iter__(container), but, end))
        if base is LRU:
            return _cached(container)[-end : -but or None][::-1]
    except RuntimeError:
        pass  # another thread changed it between two steps: the next walk sees it
    return []


def newest_keys(container: Any, number: int) -> list[Any]:
    """Keys of a dict that are not leaves, last inserted first."""
    try:
        keys = list(itertools.islice(dict.__reversed__(container), number))
    except RuntimeError:
        return []
    return [key for key in keys if id(type(key)) not in LEAVES]


def spread(container: Any, base: type, number: int, *, but_last: int = 0) -> list[Any]:
    """Entries at even distances, from the first on, without the last ones."""
    size = max(0, length_of(container, base) - but_last)
    step = max(1, -(-size // number))
    try:
        if base is dict:
            stop = size if size <= _STEPPED else number
            return list(itertools.islice(dict.values(container), 0, stop, step if size <= _STEPPED else 1))
        if base is list or base is tuple:
            return list(base.__getitem__(container, slice(0, size, step)))
        if base is collections.deque:
            # Its middle is far from both ends: every step there is a walk.
            return list(itertools.islice(collections.deque.__iter__(container), number))
        if base is LRU:
            return _cached(container)[: -but_last or None : step]
    except RuntimeError:
        pass  # another thread changed it between two steps: the next walk sees it
    return []


def everything(container: Any, base: Any) -> list[Any]:
    """All entries, up to some 10,000; of a longer container so many at even distances."""
    size = length_of(container, base)
    if base is LRU:
        return newest(container, base, WHOLE)
    if size > WHOLE:
        return spread(container, base, WHOLE)
    try:
        return list(dict.values(container) if base is dict else base.__iter__(container))
    except RuntimeError:
        return []


def present(container: Any, base: type, level: dict[int, Any]) -> list[Any]:
    """Those of some objects that a long container holds, searched from its end; all of them if it is not found."""
    sources: list[Any] = [container]
    if base is dict:
        sources = [dict.values(container), dict.keys(container)]
    found: set[int] = set()
    for source in sources:
        try:
            order = _from_end(source, base)
            for _ in range(_STEPPED // _CHUNK):
                part = set(map(id, itertools.islice(order, _CHUNK)))
                found |= part & level.keys()
                if not part or len(found) == len(level):
                    break
        except RuntimeError:
            pass  # changed by another thread: what was seen until then counts
        if found:
            break
    return [level[one] for one in found] or list(level.values())


def _from_end(container: Any, base: Any) -> Iterator[Any]:
    if base is dict:  # a view of one
        return iter(reversed(container))
    if base is tuple:  # reversed() would call __reversed__ or __getitem__, which may be the program's
        return iter(tuple.__getitem__(container, slice(None, -_STEPPED - 1, -1)))
    order: Iterator[Any] = getattr(base, "__reversed__", base.__iter__)(container)
    return order


def _cached(wrapper: Any) -> list[Any]:
    """Keys and results of a functools.lru_cache, oldest first, without the function and the wrapper's attributes."""
    found: list[Any] = []
    bounded = cache_info(wrapper).maxsize is not None
    for child in gc.get_referents(wrapper):
        if type(child) is dict:
            # Without a bound the results are in the dict itself, with one in links that the collector passes through.
            if not bounded and "__wrapped__" not in child:  # else the wrapper's own attributes
                last = itertools.islice(child.items(), max(0, len(child) - WHOLE), None)
                found.extend(itertools.chain.from_iterable(list(last)))
        elif type(child) is not types.FunctionType:
            found.append(child)
    return [entry for entry in found if id(type(entry)) not in LEAVES and not is_class(type(entry))]


def newest_calls(wrapper: Any, number: int) -> list[tuple[Any, Any]]:
    """Arguments and result of the last calls that a functools.lru_cache keeps, the newest first."""
    known, below = cache_info(wrapper), gc.get_referents(wrapper)
    if known.maxsize is None:
        cache = next((one for one in below if type(one) is dict and "__wrapped__" not in one), {})
        try:
            return list(itertools.islice(reversed(cache.items()), number))
        except RuntimeError:
            return []  # another thread changed it between two steps
    kept = below[: 3 * known.currsize]  # of each link a type, the arguments and the result
    return list(zip(kept[1::3], kept[2::3], strict=False))[: -number - 1 : -1]


def is_class(kind: type) -> bool:
    """Return whether the instances of a class are classes themselves."""
    return kind is type or any(base is type for base in mro_of(kind))


def is_large_text(leaf: Any) -> bool:
    """Whether an object that refers to nothing is a large text or bytearray."""
    return type(leaf) in _TEXTS and len(leaf) >= LARGE


def referents(obj: Any, *, texts: bool = False) -> list[Any]:
    """Return an object's references, without those that belong to its class or are of no interest.

    Never asked of modules: CPython 3.12.1 gives out freed objects of some. Of a function its closure and its own
    attributes, not the module that it lives in.

    Args:
        obj: the object.
        texts: large texts are of interest.
    """
    kind = type(obj)
    if id(kind) in LEAVES:
        return []
    if kind is types.FunctionType:
        own = [*(obj.__closure__ or ()), obj.__defaults__, obj.__kwdefaults__]
        return [child for child in own if child is not None]
    # A container's contents are as many as it is long.
    base = container_base(kind)
    if base is not None and base is not LRU and length_of(obj, base) > WHOLE:
        return newest(obj, base, 64)
    found = gc.get_referents(obj)
    large = [child for child in found if is_large_text(child)] if texts else []
    return [child for child in found if id(type(child)) not in LEAVES and not is_class(type(child))] + large


def types_below(entries: list[Any], *, steps: int, most: int) -> tuple[str, ...]:
    """Types of some objects and of what they refer to, some steps down; the most frequent first."""
    counts: collections.Counter[str] = collections.Counter()
    names: dict[int, str] = {}
    seen: set[int] = set()
    level = entries
    for step in range(steps + 1):
        below: list[Any] = []
        for entry in level[:most]:
            kind = type(entry)
            if id(entry) in seen:
                continue
            seen.add(id(entry))
            name = names.get(id(kind))
            if name is None:
                name = names[id(kind)] = type_name(kind)
            counts[name] += 1
            if step < steps and id(kind) not in LEAVES and not is_class(kind):
                below.extend(referents(entry)[:32])
        level = below
        most = max(8, most - len(seen))
    return tuple(name for name, _ in counts.most_common(24))
