"""The weight of a container's entries, by a sample of the newest, and its oldest entry."""

from __future__ import annotations

import collections
import gc
import itertools
import types
from collections.abc import Callable
from typing import Any

from memprof_middleware.heap import entries
from memprof_middleware.heap.entries import LRU, is_class, mro_of, namespace_of

# Entries weighed, and objects looked at for each of them: so many steps down, so many at the most.
_SAMPLE, _STEPS, _MOST = 24, 3, 48
# What the collector keeps beside an object that it tracks, and a dict for each of its entries.
_HEADER, _SLOT = 16, 24
# What an entry refers to and does not hold: the program itself.
_PROGRAM = frozenset(
    map(
        id,
        (
            types.ModuleType,
            types.FunctionType,
            types.BuiltinFunctionType,
            types.CodeType,
            types.FrameType,
            types.MethodType,
        ),
    )
)
_SIZE = "__sizeof__"
_C_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType)


def entry_bytes(container: Any, base: type) -> float | None:
    """The bytes of an entry and of all that only it refers to, by the newest ones; ``None`` without a sample.

    What two entries of the sample share belongs to neither. Nothing of the program runs: sizes are asked of C code.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
    """
    sample = entries.newest(container, base, _SAMPLE)
    if not sample:
        return None
    # Of an lru_cache keys and results come one after the other; the key of a dict's entry belongs to it.
    number = max(1, len(sample) // 2 if base is LRU else len(sample))
    if base is dict:
        sample = [*sample, *_keys(container)]
    scale = _Scale()
    for place, entry in enumerate(sample):
        scale.put(place % number, entry)
    return scale.total / number + _SLOT


class _Scale:
    """Weighs what each owner alone refers to."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}
        self._sizes: dict[int, int] = {}

    @property
    def total(self) -> int:
        """All that one owner has for itself."""
        return sum(size for identity, size in self._sizes.items() if self._owners[identity] >= 0)

    def put(self, owner: int, entry: Any) -> None:
        """Weigh an object, and what it refers to, some steps down."""
        level, left = [entry], _MOST
        for _ in range(_STEPS + 1):
            below: list[Any] = []
            for one in level[: max(0, left)]:
                below.extend(self._below(owner, one))
                left -= 1
            level = below

    def _below(self, owner: int, one: Any) -> list[Any]:
        kind = type(one)
        if id(kind) in _PROGRAM or is_class(kind):
            return []
        known = self._owners.setdefault(id(one), owner)
        if known != owner:
            self._owners[id(one)] = -1  # shared: it is nobody's
        if id(one) in self._sizes:
            return []
        self._sizes[id(one)] = size_of(one)
        return [] if id(kind) in entries.LEAVES else gc.get_referents(one)[:_MOST]


def size_of(one: Any) -> int:
    """The size of an object by its type's own C code; what a program says of it is not asked."""
    for base in mro_of(type(one)):
        method: Callable[[Any], int] | None = namespace_of(base).get(_SIZE)
        if type(method) in _C_METHODS:
            try:
                size = method(one)  # type: ignore[misc]
            except Exception:  # noqa: BLE001 - an extension's code may fail as it likes
                break
            return size + _HEADER * gc.is_tracked(one)
    return object.__sizeof__(one)


def oldest_of(container: Any, base: type) -> int | None:
    """Identity of the first entry of what keeps an order: the key of a dict; ``None`` for sets and empty ones."""
    try:
        if base is dict:
            return next((id(key) for key in dict.__iter__(container)), None)
        if base is list:
            return id(list.__getitem__(container, 0)) if list.__len__(container) else None
        if base is collections.deque:
            return next((id(one) for one in collections.deque.__iter__(container)), None)
    except RuntimeError:
        pass  # another thread changed it between two steps
    return None


def _keys(container: Any) -> list[Any]:
    try:
        return list(itertools.islice(dict.__reversed__(container), _SAMPLE))
    except RuntimeError:
        return []
