"""The bounded past: columns of numbers, and the counts of types and containers as they change.

A snapshot as an object weighs some 2.5 kB; as a row here it weighs about 200 bytes.
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from memprof_middleware.analysis.tallies import Tallies
from memprof_middleware.model import CensusKind, MemorySnapshot

_COLUMNS = tuple(
    f.name
    for f in dataclasses.fields(MemorySnapshot)
    if f.name not in {"pid", "heap_size_source", "census_kind", "object_counts", "gc_collections"}
)
_WHOLE = frozenset({"total_objects", "frozen_objects", "allocated_blocks", "requests", "in_flight"})


class History(Sequence[MemorySnapshot]):
    """The last snapshots, oldest first, and the live objects of every type at each of them.

    Args:
        size: how many snapshots are kept.
        top_types: how many types a snapshot names.

    Attributes:
        seen: snapshots ever appended.
        latest: the last one, which an index would put together anew; ``None`` before the first.
    """

    def __init__(self, size: int, top_types: int) -> None:
        self._size, self._top_types = size, top_types
        self._columns = {name: array("d") for name in _COLUMNS}
        self._collections = array("Q")
        self._sources: list[str] = []
        self._types = Tallies()
        self._paths = Tallies()
        self._measured = array("I")  # numbers of the snapshots at which the paths were
        self._pid = 0
        self._kind: CensusKind = ""
        self.latest: MemorySnapshot | None = None
        self.seen = 0  # snapshots ever appended
        self._epoch = 0  # number of the first snapshot after the last discontinuity

    def append(self, snapshot: MemorySnapshot, counts: Mapping[str, int] | None) -> None:
        """Keep a snapshot and the full count by type that belongs to it; ``None``: they could not be counted."""
        if len(self) == self._size:
            self._drop_oldest()
        # Counts before and after gc.freeze() or gc.unfreeze() cannot be compared. A slow decline is neither: frozen
        # objects die too. The compiled census counts frozen objects as well.
        if len(self) and snapshot.census_kind != "compiled":
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
        self._pid, self._kind, self.latest = snapshot.pid, snapshot.census_kind, snapshot
        if counts is not None:
            self._types.record(self.seen, counts)
        self.seen += 1

    def record_paths(self, lengths: Mapping[str, int], *, complete: bool) -> None:
        """Keep the lengths of containers by path, and of other populations by name, for the last snapshot.

        Args:
            lengths: what was measured.
            complete: what is not among them is not there (any more); else it only was not looked at.
        """
        if self.seen:
            (self._paths.record if complete else self._paths.update)(self.seen - 1, lengths)
            self._measured.append(self.seen - 1)

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
        return figures + self._types.nbytes + self._paths.nbytes

    def full_collections(self) -> list[int]:
        """Collections of the oldest generation, at every snapshot."""
        return self._collections[2::3].tolist()

    def counts(self, name: str, start: int = 0) -> list[int]:
        """Live objects of a type, from snapshot ``start`` to the last; 0 where it was not seen."""
        return self._types.counts(name, self._first + start, self.seen)

    def count(self, name: str) -> int:
        """Live objects of a type now; 0 where it was not seen."""
        return self._types.number(name, self.seen - 1)

    def least(self, name: str) -> int:
        """The fewest live objects of a type that there ever were; 0 for one that came later than others."""
        return self._types.least(name)

    def levels(self, name: str, start: int, end: int) -> list[int]:
        """The numbers of a type's live objects from snapshot ``start`` to before ``end``, each change once."""
        return self._types.levels(name, self._first + start, self._first + end)

    def risen(self, by: int, start: int = 0) -> list[str]:
        """Types that may have more than ``by`` objects more now than at some snapshot from ``start`` on."""
        return self._types.risen(by, self._first + start, self.seen - 1)

    def grown(self, by: int, start: int = 0, among: Iterable[str] | None = None) -> list[str]:
        """Types with more than ``by`` objects more now than at snapshot ``start``; of some only, by default of all."""
        return self._types.grown(by, self._first + start, self.seen - 1, among=among)

    def lengths(self, path: str, start: int = 0) -> list[int]:
        """The lengths of a container, from snapshot ``start`` to the last."""
        return self._paths.counts(path, self._first + start, self.seen)

    def grown_paths(self, by: int, start: int = 0) -> list[str]:
        """Containers with more than ``by`` entries more now than at ``start``, or than when they were first seen."""
        return self._paths.grown(by, self._first + start, self.seen - 1, from_first_seen=True)

    def counted(self, start: int = 0) -> list[int]:
        """Indices of the snapshots from ``start`` on that have a census of their own."""
        times, counted = self._columns["timestamp"], self._columns["census_timestamp"]
        return [index for index in range(start, len(self)) if times[index] == counted[index]]

    def measured(self, start: int = 0) -> list[int]:
        """Indices of the snapshots from ``start`` on at which containers were measured."""
        return [number - self._first for number in self._measured if number - self._first >= start]

    def types_grown(self, most: int) -> list[tuple[str, int, int]]:
        """The types that grew most, with their first and last count."""
        return _most_grown(self._types, self._first, self.seen - 1, most)

    def paths_grown(self, most: int) -> list[tuple[str, int, int]]:
        """The same of containers, from when each was first measured."""
        return _most_grown(self._paths, self._first, self.seen - 1, most)

    def known_from(self, path: str) -> int:
        """Index of the first snapshot at which a container's length is known."""
        return max(0, self._paths.since(path) - self._first)

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
        counts = [] if values["total_objects"] is None else self._types.at(number)  # nothing could be counted
        top = sorted((pair for pair in counts if pair[1]), key=lambda pair: (-pair[1], pair[0]))[: self._top_types]
        return MemorySnapshot(
            pid=self._pid,
            heap_size_source=self._sources[index],
            census_kind=self._kind,
            object_counts=dict(top),
            gc_collections=tuple(self._collections[3 * index : 3 * index + 3]),
            **values,
        )

    def __iter__(self) -> Iterator[MemorySnapshot]:
        return (self[index] for index in range(len(self)))

    def _drop_oldest(self) -> None:
        # A tenth at a time: cutting the front of an array moves all of it.
        cut = max(1, self._size // 10)
        for column in self._columns.values():
            del column[:cut]
        del self._collections[: 3 * cut]
        del self._sources[:cut]
        self._types.forget_before(self._first)
        self._paths.forget_before(self._first)
        del self._measured[: bisect_left(self._measured, self._first)]


def _most_grown(tallies: Tallies, first: int, last: int, most: int) -> list[tuple[str, int, int]]:
    found = [(name, tallies.number(name, max(first, tallies.since(name))), number) for name, number in tallies.at(last)]
    grown = (one for one in found if one[2] > one[1])
    return sorted(grown, key=lambda one: (one[1] - one[2], one[0]))[:most]


def _restored(name: str, value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if name in _WHOLE else value
