"""How many there are by name, over time: only the moments at which a number changed are kept.

A name that keeps its number costs nothing. Names are kept, never types or objects: a kept class would be a leak of our
own.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import compress
from operator import sub

# Programs that make classes as they run would otherwise fill the history with names.
MAX_NAMES = 5_000
# The object with its bytes, empty, and its least; and its place in the dict of names.
_STEPS_BYTES = 48 + 33 + 28 + 100
_PAIR = struct.Struct("II")


class Tallies:
    """The numbers of all names at each snapshot, by the snapshot's number."""

    def __init__(self) -> None:
        self._steps: dict[str, _Steps] = {}
        self._began: int | None = None

    def record(self, number: int, counts: Mapping[str, int]) -> None:
        """Keep what was counted at a snapshot; a name that is not among it has none left."""
        if self._began is None:
            self._began = number
        for name, steps in self._steps.items():
            steps.add(number, counts.get(name, 0))
        new = counts.keys() - self._steps.keys()
        if len(self._steps) + len(new) > MAX_NAMES:
            # The least numerous go, above all those that live no more: what leaks comes back bigger.
            known = sorted(self._steps.keys() | new, key=lambda name: (-counts.get(name, 0), name))
            for name in self._steps.keys() & known[MAX_NAMES:]:
                del self._steps[name]
            new = new.intersection(known[:MAX_NAMES])
        for name in new:
            self._steps[name] = _Steps(number, counts[name], least=counts[name] if number == self._began else 0)

    def update(self, number: int, counts: Mapping[str, int]) -> None:
        """Keep what was counted of some names only; the others keep their number."""
        known = {name: steps.last for name, steps in self._steps.items()}
        self.record(number, {**known, **counts})

    def counts(self, name: str, first: int, end: int) -> list[int]:
        """The numbers of a name at the snapshots from ``first`` to before ``end``; 0 where it was not seen."""
        steps = self._steps.get(name)
        return [0] * max(0, end - first) if steps is None else steps.expand(first, end)

    def number(self, name: str, snapshot: int) -> int:
        """The number of a name at one snapshot."""
        steps = self._steps.get(name)
        return 0 if steps is None else steps.at(snapshot)

    def since(self, name: str) -> int:
        """The snapshot from which on a name's number is known; 0 for one that was not seen."""
        steps = self._steps.get(name)
        return 0 if steps is None else steps.first

    def least(self, name: str) -> int:
        """The least number that a name ever had; 0 for one that was not seen from the beginning."""
        steps = self._steps.get(name)
        return 0 if steps is None else steps.least

    def levels(self, name: str, first: int, end: int) -> list[int]:
        """The numbers that a name had from one snapshot to before another, in their order, each change once."""
        steps = self._steps.get(name)
        return [0] if steps is None else steps.levels(first, end)

    def risen(self, by: float, first: int, last: int) -> list[str]:
        """Names that may have more than ``by`` more at a snapshot than at some other from ``first`` on.

        By the least that they ever had: a quick look, for who then looks closer.
        """
        if self._began is None or first < self._began:
            return list(self._steps)
        return [name for name, steps in self._steps.items() if steps.at(last) - steps.least > by]

    def grown(
        self, by: float, first: int, last: int, *, among: Iterable[str] | None = None, from_first_seen: bool = False
    ) -> list[str]:
        """Names that have more than ``by`` more at snapshot ``last`` than at ``first``.

        Args:
            by: how many.
            first: the earlier snapshot.
            last: the later one.
            among: only these; by default all.
            from_first_seen: a name that came later than ``first`` counts from there and not from nothing.
        """
        return [
            name
            for name in (self._steps if among is None else among)
            if (steps := self._steps.get(name)) is not None
            and steps.at(last) - steps.at(max(first, steps.first) if from_first_seen else first) > by
        ]

    def at(self, number: int) -> list[tuple[str, int]]:
        """All names with their numbers at a snapshot."""
        # A copy, since the profiler's thread may add a name meanwhile.
        return [(name, steps.at(number)) for name, steps in list(self._steps.items())]

    def forget_before(self, number: int) -> None:
        """Drop what is older than a snapshot."""
        for name in [name for name, steps in self._steps.items() if steps.forget_before(number)]:
            del self._steps[name]

    @property
    def nbytes(self) -> int:
        """Memory that it takes, but for the names, in bytes."""
        kept = list(self._steps.values())
        return _STEPS_BYTES * len(kept) + sum([len(steps.pairs) for steps in kept])

    def __len__(self) -> int:
        return len(self._steps)


class _Steps:
    """A count over time, kept as its changes: pairs of a snapshot's number and the count from there on.

    In one ``bytes``, which the collector does not track: arrays would show in the census as somebody's leak. A change
    makes it anew, so that a thread that reads meanwhile sees the old one whole.
    """

    __slots__ = ("least", "pairs")

    def __init__(self, number: int, count: int, least: int) -> None:
        self.pairs, self.least = _PAIR.pack(number, count), least

    def add(self, number: int, count: int) -> None:
        if count != self.last:
            self.pairs += _PAIR.pack(number, count)
            if count < self.least:
                self.least = count

    @property
    def first(self) -> int:
        number: int = _PAIR.unpack_from(self.pairs)[0]
        return number

    @property
    def last(self) -> int:
        count: int = _PAIR.unpack_from(self.pairs, len(self.pairs) - _PAIR.size)[1]
        return count

    def at(self, number: int) -> int:
        since, count = _PAIR.unpack_from(self.pairs, len(self.pairs) - _PAIR.size)
        if number >= since:  # what is asked most
            return int(count)
        numbers, counts = self._columns()
        index = bisect_right(numbers, number) - 1
        return counts[index] if index >= 0 else 0

    def expand(self, first: int, end: int) -> list[int]:
        if end <= first:
            return []
        numbers, levels = self._changes(first, end)
        if len(levels) == end - first:  # it changes each time
            return levels
        edges = [first, *numbers.tolist(), end]
        held = list(map(sub, edges[1:], edges))  # for so many snapshots each: most types change at each, or hardly ever
        found: list[int] = []
        done = 0
        for index in compress(range(len(held)), map((1).__ne__, held)):
            found += levels[done:index]
            found += held[index] * levels[index : index + 1]
            done = index + 1
        return found + levels[done:]

    def levels(self, first: int, end: int) -> list[int]:
        return self._changes(first, end)[1]

    def forget_before(self, number: int) -> bool:
        """Cut what is older than a snapshot that is kept; true if nothing but zeros is left."""
        index = bisect_right(self._columns()[0], number) - 1
        if index > 0:
            self.pairs = self.pairs[index * _PAIR.size :]
        return len(self.pairs) == _PAIR.size and self.last == 0

    def _changes(self, first: int, end: int) -> tuple[memoryview, list[int]]:
        """The snapshots after ``first`` and before ``end`` at which it changed, and its counts from ``first`` on."""
        numbers, counts = self._columns()
        begin, stop = bisect_right(numbers, first), bisect_left(numbers, end)
        return numbers[begin:stop], [counts[begin - 1] if begin else 0, *counts[begin:stop].tolist()]

    def _columns(self) -> tuple[memoryview, memoryview]:
        pairs = memoryview(self.pairs).cast("I")
        return pairs[::2], pairs[1::2]
