"""How many there are by name, over time: only the moments at which a number changed are kept.

A name that keeps its number costs nothing. Names are kept, never types or objects: a kept class would be a leak of our
own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping

# Programs that make classes as they run would otherwise fill the history with names.
MAX_NAMES = 5_000
# The object and its two arrays, empty, and its place in the dict of names.
_STEPS_BYTES = 48 + 2 * 80 + 100


class Tallies:
    """The numbers of all names at each snapshot, by the snapshot's number."""

    def __init__(self) -> None:
        self._steps: dict[str, _Steps] = {}

    def record(self, number: int, counts: Mapping[str, int]) -> None:
        """Keep what was counted at a snapshot; a name that is not among it has none left."""
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
            self._steps[name] = _Steps(number, counts[name])

    def update(self, number: int, counts: Mapping[str, int]) -> None:
        """Keep what was counted of some names only; the others keep their number."""
        known = {name: steps.last for name, steps in self._steps.items()}
        self.record(number, {**known, **counts})

    def counts(self, name: str, first: int, end: int) -> list[int]:
        """The numbers of a name at the snapshots from ``first`` to before ``end``; 0 where it was not seen."""
        steps = self._steps.get(name)
        return [0] * max(0, end - first) if steps is None else steps.expand(first, end)

    def since(self, name: str) -> int:
        """The snapshot from which on a name's number is known; 0 for one that was not seen."""
        steps = self._steps.get(name)
        return 0 if steps is None else steps.first

    def grown(self, by: float, first: int, last: int, *, from_first_seen: bool = False) -> list[str]:
        """Names that have more than ``by`` more at snapshot ``last`` than at ``first``.

        Args:
            by: how many.
            first: the earlier snapshot.
            last: the later one.
            from_first_seen: a name that came later than ``first`` counts from there and not from nothing.
        """
        return [
            name
            for name, steps in self._steps.items()
            if steps.at(last) - steps.at(max(first, steps.first) if from_first_seen else first) > by
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
        return sum(steps.nbytes for steps in list(self._steps.values()))

    def __len__(self) -> int:
        return len(self._steps)


class _Steps:
    """A count over time, kept as its changes."""

    __slots__ = ("_counts", "_numbers")

    def __init__(self, number: int, count: int) -> None:
        self._numbers = array("I", [number])
        self._counts = array("I", [count])

    def add(self, number: int, count: int) -> None:
        if count != self._counts[-1]:
            self._numbers.append(number)
            self._counts.append(count)

    @property
    def first(self) -> int:
        return self._numbers[0]

    @property
    def last(self) -> int:
        return self._counts[-1]

    @property
    def nbytes(self) -> int:
        return _STEPS_BYTES + 8 * len(self._numbers)

    def at(self, number: int) -> int:
        index = bisect_right(self._numbers, number) - 1
        return self._counts[index] if index >= 0 else 0

    def expand(self, first: int, end: int) -> list[int]:
        values: list[int] = []
        index = bisect_right(self._numbers, first) - 1
        number = first
        while number < end:
            until = min(end, self._numbers[index + 1] if index + 1 < len(self._numbers) else end)
            values.extend([self._counts[index] if index >= 0 else 0] * (until - number))
            number, index = until, index + 1
        return values

    def forget_before(self, number: int) -> bool:
        """Cut what is older than a snapshot that is kept; true if nothing but zeros is left."""
        index = bisect_right(self._numbers, number) - 1
        if index > 0:
            del self._numbers[:index]
            del self._counts[:index]
        return len(self._counts) == 1 and self._counts[0] == 0
