"""Readings after equal rounds of work, in arrays that do not grow."""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Iterator, Mapping
from itertools import pairwise

from memprof_middleware.probes.census import take_census

# Full collections after a round until one finds nothing: what a finalizer frees may need a second one.
_MOST_COLLECTIONS = 3
# Types that have come later than the first reading are rare.
_ROOM = 256


class Series:
    """Counts of live objects by type, and of allocated blocks, one reading a round.

    A list of dictionaries would grow by a dictionary each round and look like a leak of the code that is tested. So
    each name is kept once, and the numbers stand in arrays that were made before.

    Args:
        readings: how many there will be.

    Attributes:
        own: blocks that whoever compares the readings keeps beside them, and that are not counted.
    """

    def __init__(self, readings: int) -> None:
        self.own = 0
        self._readings, self._taken = readings, 0
        self._places: dict[str, int] = {}
        self._counts = array("q", bytes(8 * readings * _ROOM))
        self._blocks = array("q", bytes(8 * readings))

    def take(self) -> None:
        """Collect what is garbage, then count what is left, in this process as it is now."""
        collect()
        self._blocks[self._taken] = sys.getallocatedblocks() - self.own
        for name, number in take_census(pause=_no_pause).counts.items():
            place = self._places.setdefault(name, len(self._places))
            while place * self._readings >= len(self._counts):
                self._counts.frombytes(bytes(8 * self._readings * _ROOM))
            self._counts[place * self._readings + self._taken] = number
        self._taken += 1

    @property
    def counts(self) -> Iterator[tuple[str, list[int]]]:
        """For each type its counts so far."""
        for name, place in list(self._places.items()):
            first = place * self._readings
            yield name, list(self._counts[first : first + self._taken])

    @property
    def blocks(self) -> list[int]:
        """Blocks of Python's allocator so far."""
        return list(self._blocks[: self._taken])


def collect() -> None:
    """Collect all garbage."""
    for _ in range(_MOST_COLLECTIONS):
        if not gc.collect():
            break


def increments(values: list[int]) -> list[int]:
    """The growth of each round."""
    return [after - before for before, after in pairwise(values)]


def steady(values: list[int], requests: int, share: float, pace: float = 0.0) -> float | None:
    """The growth per request, if all rounds agree; ``None`` if they do not.

    Args:
        values: a count before the first round and after each.
        requests: of one round.
        share: of its requests that must leave something.
        pace: what each request had added before, of which half must go on.
    """
    added = increments(values)
    if not added:
        return None
    median = sorted(added)[len(added) // 2]
    least = max(2.0, share * requests, 0.5 * pace * requests)
    if min(added) < least or min(added) < 0.5 * median or max(added) > 2 * median:
        return None
    return (values[-1] - values[0]) / (len(added) * requests)


def in_step(some: Mapping[str, list[int]], one: str, other: str) -> bool:
    """Whether two series have risen together in each round."""
    if one not in some or other not in some:
        return False
    first, second = increments(some[one]), increments(some[other])
    return all(a * sum(second) == b * sum(first) for a, b in zip(first, second, strict=False))


def _no_pause(_seconds: float) -> None:
    """Nothing else runs that would have to wait."""
