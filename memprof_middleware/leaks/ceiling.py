"""The ceiling of growth: a cache that names its maximum size is full before a limit is reached, or after it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from memprof_middleware.leaks.account import Account, Books, in_use
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.room import taken
from memprof_middleware.leaks.weighing import Item

# What grows beside is looked so far ahead, as a part of the period that is known.
_AHEAD = 0.5
# Growth has ended in what was freed if so much of it is free again.
_FREED = 0.5


def ends_before(past: Past, left: float, seconds: float, made: Callable[[], Account] | None = None) -> bool:
    """Whether growth ends by the word of what grows before so much memory is used, or has ended in what was freed.

    Growth beside it must leave that memory free for as long as a forecast reaches: half of the period. A buffer that
    was emptied leaves its memory with Python's allocator, and what grows next uses that first.

    Args:
        past: the past of the process.
        left: bytes until the limit.
        seconds: the period of the growth, up to now.
        made: the account of the past, where somebody else needs it, too.
    """
    if past.size < 2:
        return False
    times, end = past.column("times"), past.size - 1
    begin = min(bisect_left(times, times[-1] - seconds), end - 1)
    total = taken(past)
    free, grown = total[end] - in_use(past)[end], total[end] - total[begin]
    freed = free >= _FREED * grown > 0
    if not freed and all(seen.bound is None for seen in past.containers.values()):
        return False
    books = (made or Books(past).account)()
    bounded = [(item, _room(item)) for item in books.items]
    gained = sum(_gained(item, begin, end) for item, room in bounded if room is not None)
    to_come = sum(item.each * room for item, room in bounded if room is not None)
    beside = max(0.0, books.total[end] - books.total[begin] - gained)
    return (freed or gained > 0) and to_come + _AHEAD * beside < left + (free if freed else 0.0)


def _room(item: Item) -> float | None:
    """The entries that it still takes, by its own word; ``None`` without one, or beyond it."""
    one = item.population
    return one.bound - one.values[-1] if one.bound is not None and one.values[-1] <= one.bound else None


def _gained(item: Item, begin: int, end: int) -> float:
    """Bytes gained by its sample, or by the memory that grows with it where that is less."""
    each = item.population.entry_bytes
    part = 1.0 if each is None or item.each <= 0 else min(1.0, each / item.each)
    return max(0.0, part * item.gained(begin, end))
