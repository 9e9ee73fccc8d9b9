"""The weight of a container's entries, by samples of young and of older ones, and its oldest entry."""

from __future__ import annotations

import collections
import gc
import io
import itertools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from memprof_middleware.heap import entries
from memprof_middleware.heap.entries import LRU, is_class, mro_of, namespace_of
from memprof_middleware.heap.roots import is_made_at_run_time

# Entries weighed, and the most objects for each of them; where that is too little, fewer entries with more. So many
# steps down.
_SAMPLE, _MOST = 24, 48
_LARGE = ((6, 384), (2, 3072))
_STEPS = 8
# The newest entries are left out: this part of all, and so many at the most.
_PASSING, _MOST_PASSING = 8, 256
# Older entries weighed, from as many that have come on; so many are stepped over at the most, half a millisecond.
_OLDER, _FEWEST_CAME, _MOST_STEPPED = 4, 64, 100_000
# Of what is shared nothing is weighed: so many times more is looked at.
_WIDER = 2
# From 3.12 on the collector knows the bytes of a BytesIO as what it refers to.
_KNOWS_BUFFER = bytes in map(type, gc.get_referents(io.BytesIO(b"text")))
# Of a container of more bytes only the newest entries are asked for: a list of all would be as large.
_LONG = 64 * 1024
# What the collector keeps beside an object that it tracks, and functools.lru_cache for each call.
_HEADER, _CALL_SLOT = 16, 64
# What an instance has in front of it for its attributes and weak references; by the flags of its class whether it has.
_IN_FRONT, _MANAGED_WEAKREF, _MANAGED_DICT = 16, 1 << 3, 1 << 4
_flags_of: Callable[[type], int] = vars(type)["__flags__"].__get__
# The program itself: it belongs to no entry. A function, a bound method, a frame or a class may have been made for one.
_PROGRAM = frozenset(map(id, (types.ModuleType, types.CodeType)))
_SIZE = "__sizeof__"
_C_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType)


def entry_bytes(container: Any, base: type) -> float | None:
    """The bytes of an entry and of all that only it refers to, by young ones; ``None`` without a sample.

    What two entries of the sample refer to belongs to neither, with all that is below it. Nothing of the program runs:
    sizes are asked of C code.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
    """
    # Not the newest, some of which are there only for a moment.
    passing = min(entries.length_of(container, base) // _PASSING, _MOST_PASSING)
    return _weighed(container, base, _sample(container, base, _SAMPLE, passing))


def aged_bytes(container: Any, base: type, came: int) -> float | None:
    """The same of entries that are as old as most: what comes to an entry in its life is in them.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
        came: how many entries have come since it was seen first; those from the middle of them are weighed.
    """
    if came < _FEWEST_CAME or base is set or base is LRU:  # no order; results of calls that may be as they were
        return None
    return _weighed(container, base, _sample(container, base, _OLDER, min(came // 2, _MOST_STEPPED)))


def _weighed(container: Any, base: type, sample: list[tuple[Any, ...]]) -> float | None:
    if not sample:
        return None
    scale = _Scale(sample, _MOST)
    for number, most in _LARGE:
        if scale.cut:
            scale = _Scale(sample[:number], most)
    length = entries.length_of(container, base)
    return scale.total / scale.number + (_CALL_SLOT if base is LRU else size_of(container) / max(1, length))


def _sample(container: Any, base: type, number: int, but: int) -> list[tuple[Any, ...]]:
    """Entries but the newest, each with all that belongs to it: the key of a dict, the arguments of a cached call.

    They lie side by side, so that what each refers to in the next one is seen to be no part of it.
    """
    if base is LRU:
        return entries.newest_calls(container, number + but)[but:]
    found = entries.newest(container, base, number, but=but)
    if base is dict and len(keys := _keys(container, number, but)) == len(found):
        return list(zip(found, keys, strict=True))
    return [(one,) for one in found]


class _Scale:
    """Weighs what each entry alone refers to.

    Args:
        sample: entries.
        most: objects weighed of each.

    Attributes:
        number: how many entries there are.
        cut: whether an entry has more than was looked at.
    """

    def __init__(self, sample: Sequence[Sequence[Any]], most: int) -> None:
        self.number, self.cut = len(sample), False
        self._left = [most] * len(sample)
        self._owners: dict[int, int] = {}
        self._above: dict[int, int] = {}  # by which an object was reached
        self._sizes: dict[int, int] = {}
        self._shared: set[int] = set()
        self._put([(owner, one) for owner, entry in enumerate(sample) for one in entry])

    @property
    def total(self) -> int:
        """All that the entries have for themselves."""
        for identity, above in self._above.items():  # from above to below
            if above in self._shared:
                self._shared.add(identity)
        return sum(size for identity, size in self._sizes.items() if identity not in self._shared)

    def _put(self, level: list[tuple[int, Any]]) -> None:
        """Weigh entries, each with its owner, and what they refer to, some steps down.

        All go down together: what another one reaches at the same step is followed by none.
        """
        self._claim((owner, 0, one) for owner, one in level)
        own = frozenset(self._owners)
        level = [(owner, one) for owner, one in level if self._is_weighed(owner, one)]
        for _ in range(_STEPS):
            below = [found for found in self._reached(level) if id(found[2]) not in own]
            self._claim(below)
            level = [(owner, child) for owner, _, child in below if self._is_weighed(owner, child)]

    def _reached(self, level: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, int, Any]]:
        """What is one step below, of each owner not many more than it may have weighed."""
        most = [_WIDER * left for left in self._left]
        for owner, one in level:
            found = self._below(one, most[owner])
            most[owner] -= len(found)
            self.cut = self.cut or most[owner] <= 0
            for child in found:
                yield owner, id(one), child

    def _below(self, one: Any, most: int) -> list[Any]:
        """What an object refers to, without the program."""
        kind = type(one)
        if id(kind) in entries.LEAVES or most <= 0:
            return []
        base = entries.container_base(kind) if self._sizes[id(one)] > _LONG else None
        found = gc.get_referents(one) if base is None or base is LRU else entries.newest(one, base, most)
        if kind is types.FunctionType:
            module = {id(one.__globals__), id(one.__builtins__)}
            found = [child for child in found if id(child) not in module]
        return [child for child in found[:most] if not _is_program(child)]

    def _claim(self, reached: Iterable[tuple[int, int, Any]]) -> None:
        """Note whose objects are that were reached; those of two are nobody's."""
        for owner, above, one in reached:
            if self._owners.setdefault(id(one), owner) != owner:
                self._shared.add(id(one))
            elif above:
                self._above.setdefault(id(one), above)

    def _is_weighed(self, owner: int, one: Any) -> bool:
        """Weigh an object once, unless it is nobody's or its owner has had its turn; whether that was done."""
        if id(one) in self._sizes or id(one) in self._shared:
            return False
        if self._left[owner] <= 0:
            self.cut = True
            return False
        self._left[owner] -= 1
        self._sizes[id(one)] = _own_size(one)
        return True


def _is_program(one: Any) -> bool:
    """Whether an object is the program's, and would be there without any entry."""
    kind = type(one)
    return id(kind) in _PROGRAM or (is_class(kind) and not is_made_at_run_time(one))


def _own_size(one: Any) -> int:
    """The size of an object without what it refers to, which is weighed by itself."""
    if _KNOWS_BUFFER and any(base is io.BytesIO for base in mro_of(type(one))):
        return object.__sizeof__(one)
    return size_of(one)


def size_of(one: Any) -> int:
    """The size of an object by its type's own C code; what a program says of it is not asked."""
    text = 0
    for base in mro_of(type(one)):
        if base is io.StringIO:
            text = _text_in(one)
        method: Callable[[Any], int] | None = namespace_of(base).get(_SIZE)
        if type(method) in _C_METHODS:
            try:
                size = method(one)  # type: ignore[misc]
            except Exception:  # noqa: BLE001 - an extension's code may fail as it likes
                break
            return size + text + _HEADER * gc.is_tracked(one) + _beside(one)
    return object.__sizeof__(one)


def _text_in(buffer: io.StringIO) -> int:
    """The bytes of a buffer's text, which its size leaves out: one a character, as long as nobody reads it."""
    try:
        return io.StringIO.tell(buffer)
    except ValueError:
        return 0  # closed


def _beside(one: Any) -> int:
    """The bytes of an instance that ``__sizeof__`` leaves out: up to 30 attributes need no dict, and lie with it."""
    kind = type(one)
    flags = _flags_of(kind)
    if not flags & (_MANAGED_WEAKREF | _MANAGED_DICT):
        return 0
    has_values = flags & _MANAGED_DICT and entries.container_base(kind) is None
    # A place for each attribute, for two more, and their order; it refers to its class too.
    return _IN_FRONT + (8 * (len(gc.get_referents(one)) + 2) if has_values else 0)


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


def _keys(container: Any, number: int, but: int) -> list[Any]:
    try:
        return list(itertools.islice(dict.__reversed__(container), but, but + number))
    except RuntimeError:
        return []
