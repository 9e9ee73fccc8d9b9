"""The bounded past: columns of numbers, and for each type only the moments at which its count changed.

A snapshot as an object weighs some 2.5 kB; as a row here it weighs about 150 bytes, and a type that keeps its count
costs nothing. Names are kept, never types or objects: a kept class would be a leak of our own.
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from memprof_middleware.model import MemorySnapshot

# Programs that make classes as they run would otherwise fill the history with names.
MAX_NAMES = 5_000
_COLUMNS = tuple(
    f.name
    for f in dataclasses.fields(MemorySnapshot)
    if f.name not in {"pid", "heap_size_source", "object_counts", "gc_collections"}
)
_WHOLE = frozenset({"total_objects", "frozen_objects", "allocated_blocks", "requests", "in_flight"})


class History(Sequence[MemorySnapshot]):
    """The last snapshots, oldest first, and the live objects of every type at each of them.

    Args:
        size: how many snapshots are kept.
        top_types: how many types a snapshot names.

    Attributes:
        seen: snapshots ever appended.
    """

    def __init__(self, size: int, top_types: int) -> None:
        self._size, self._top_types = size, top_types
        self._columns = {name: array("d") for name in _COLUMNS}
        self._collections = array("Q")
        self._sources: list[str] = []
        self._types: dict[str, _Steps] = {}
        self._pid = 0
        self.seen = 0  # snapshots ever appended
        self._epoch = 0  # number of the first snapshot after the last discontinuity

    def append(self, snapshot: MemorySnapshot, counts: Mapping[str, int] | None) -> None:
        """Keep a snapshot and the full count by type that belongs to it; ``None``: they could not be counted."""
        if len(self) == self._size:
            self._drop_oldest()
        # Counts before and after gc.freeze() or gc.unfreeze() cannot be compared. A slow decline is neither: frozen
        # objects die too.
        if len(self):
            before, after = self._columns["frozen_objects"][-1], snapshot.frozen_objects
            if after > before or after == 0 < before:
                self._epoch = self.seen
        for name, column in self._columns.items():
            value = getattr(snapshot, name)
            column.append(math.nan if value is None else value)
        self._collections.extend(snapshot.gc_collections)
        # One string for the whole history: it is the same limit nearly always.
        source = snapshot.heap_size_source
        self._sources.append(self._sources[-1] if self._sources and self._sources[-1] == source else source)
        self._pid = snapshot.pid
        if counts is not None:
            self._record(self.seen, counts)
        self.seen += 1

    def series(self, column: str) -> list[float]:
        """One figure of every snapshot, such as ``"heap_used_mb"``; not measured is ``nan``.

        Raises:
            KeyError: no such figure.
        """
        return self._columns[column].tolist()

    @property
    def nbytes(self) -> int:
        """Memory that it takes, but for the types' names, in bytes."""
        figures = len(self) * (8 * len(self._columns) + 8 * 3 + 8)  # columns, collections and the limit's source
        return figures + sum(steps.nbytes for steps in list(self._types.values()))

    def full_collections(self) -> list[int]:
        """Collections of the oldest generation, at every snapshot."""
        return self._collections[2::3].tolist()

    def counts(self, name: str, start: int = 0) -> list[int]:
        """Live objects of a type, from snapshot ``start`` to the last; 0 where it was not seen."""
        steps = self._types.get(name)
        if steps is None:
            return [0] * max(0, len(self) - start)
        return steps.expand(self._first + start, self.seen)

    def grown(self, by: int, start: int = 0) -> list[str]:
        """Types with more than ``by`` objects more now than at snapshot ``start``."""
        first, last = self._first + start, self.seen - 1
        return [name for name, steps in self._types.items() if steps.at(last) - steps.at(first) > by]

    @property
    def comparable_from(self) -> int:
        """Index of the first snapshot whose counts can be compared with the last one's."""
        return max(0, self._epoch - self._first)

    @property
    def _first(self) -> int:
        """Number of the oldest snapshot kept."""
        return self.seen - len(self)

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> MemorySnapshot: ...
    @overload
    def __getitem__(self, index: slice) -> list[MemorySnapshot]: ...
    def __getitem__(self, index: int | slice) -> MemorySnapshot | list[MemorySnapshot]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        index = range(len(self))[index]
        values: dict[str, Any] = {name: _restored(name, column[index]) for name, column in self._columns.items()}
        number = self._first + index
        # A copy, since the profiler's thread may add a type meanwhile; nothing where nothing could be counted.
        types = [] if values["total_objects"] is None else list(self._types.items())
        counts = ((name, steps.at(number)) for name, steps in types)
        top = sorted((pair for pair in counts if pair[1]), key=lambda pair: (-pair[1], pair[0]))[: self._top_types]
        return MemorySnapshot(
            pid=self._pid,
            heap_size_source=self._sources[index],
            object_counts=dict(top),
            gc_collections=tuple(self._collections[3 * index : 3 * index + 3]),
            **values,
        )

    def __iter__(self) -> Iterator[MemorySnapshot]:
        return (self[index] for index in range(len(self)))

    def _record(self, number: int, counts: Mapping[str, int]) -> None:
        for name, steps in self._types.items():
            steps.add(number, counts.get(name, 0))
        new = counts.keys() - self._types.keys()
        if len(self._types) + len(new) > MAX_NAMES:
            # The least numerous go, above all those that live no more: a type that leaks comes back bigger.
            known = sorted(self._types.keys() | new, key=lambda name: (-counts.get(name, 0), name))
            for name in self._types.keys() & known[MAX_NAMES:]:
                del self._types[name]
            new = new.intersection(known[:MAX_NAMES])
        for name in new:
            self._types[name] = _Steps(number, counts[name])

    def _drop_oldest(self) -> None:
        # A tenth at a time: cutting the front of an array moves all of it.
        cut = max(1, self._size // 10)
        for column in self._columns.values():
            del column[:cut]
        del self._collections[: 3 * cut]
        del self._sources[:cut]
        for name in [name for name, steps in self._types.items() if steps.forget_before(self._first)]:
            del self._types[name]


# The object and its two arrays, empty, and its place in the dict of types.
_STEPS_BYTES = 48 + 2 * 80 + 100


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


def _restored(name: str, value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if name in _WHOLE else value
