"""The whole life of a process in a few hundred rows: close together of late, ever wider apart before.

The history keeps the last thousand snapshots, which at five seconds are an hour and a half, and forgets the beginning
of a leak of days. Here a row is dropped when its neighbours are nearer to one another than a part of its age, so that a
week takes some five hundred rows and what happened lately is seen as finely as it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from memprof_middleware.leaks.cohorts import Cohorts
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.leaks.series import LEAST_GROWTH, Column, extend, is_flat, joined

# Rows whose distance is a smaller part of their age than this are thinned out; so many may come before that is done.
_PART_OF_AGE, _SLACK = 64, 48
# A series is followed from when it has so many more than at its least; so many series at the most.
_MOST_SERIES = 320
# A clock that jumps forward has stood for so many intervals at the most: nobody knows what happened meanwhile.
_LONGEST_GAPS, _LONGEST_SECONDS = 10.0, 600.0
_COLUMNS = ("times", "requests", "failed", "in_flight", "collections", "heap", "native", "retained", "blocks")


class Past:
    """The readings of a process at chosen moments since its start.

    Args:
        interval: the usual seconds between two readings.

    Attributes:
        containers: what each container was when it was measured last, by path.
        size: how many rows there are.
        version: a number that changes with all that is kept.
        counted_from: since when types are counted in one way, by the clock of the rows.
        cohorts: what has become of entries and of instances.
        arenas: bytes of the arenas of Python's allocator, when they were looked at last; ``None``: they were not.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.size = self.version = 0
        self._columns = {name: Column() for name in _COLUMNS}
        self._routes: dict[str, Column] = {}
        self._least: dict[str, int] = {}
        self._types: dict[str, Column] = {}
        self._lengths: dict[str, Column] = {}
        self._oldest: dict[str, Column] = {}
        self.containers: dict[str, Seen] = {}
        self.cohorts = Cohorts()
        self.arenas: float | None = None
        self.counted_from = 0.0
        self._all_seen = False  # at the last row: what was not seen there was empty, or was not
        self._clock = 0.0  # seconds since the first reading, by a clock of its own that never jumps
        self._read: float | None = None
        self._thin_at = _SLACK * 4
        self._known: dict[int, list[float]] = {}  # by identity of the column

    def add(self, reading: Reading) -> None:
        """Keep a reading."""
        self._change()
        if self._read is not None:
            most = _LONGEST_GAPS * self._interval + _LONGEST_SECONDS
            self._clock += min(max(reading.time - self._read, 1e-3), most)
        self._read = reading.time
        values = (
            self._clock,
            sum(reading.requests.values()),
            reading.failed,
            reading.in_flight,
            reading.collections,
            *(math.nan if value is None else value for value in _sizes(reading)),
        )
        for name, value in zip(_COLUMNS, values, strict=True):
            self._columns[name].append(value)
        extend(self._routes, reading.requests, self.size, fill=0.0, hold=True)
        if reading.counts is not None:
            self._choose(reading.counts)
        counted = None if reading.counts is None else {name: reading.counts.get(name, 0) for name in self._types}
        extend(self._types, counted or {}, self.size)
        self._add_containers(reading.containers, complete=reading.complete)
        self.cohorts.add(reading.cohorts, self._clock)
        self.size += 1
        if self.size >= self._thin_at:
            self._thin()

    def forget_counts(self) -> None:
        """Follow the types anew: what was counted so far cannot be compared with what comes."""
        self._change()
        self._types.clear()
        self._least.clear()
        self.counted_from = self._clock

    def now(self) -> float:
        """The clock of the rows."""
        return self._clock

    def column(self, name: str) -> Sequence[float]:
        """``times``, ``requests``, ``failed``, ``in_flight``, ``collections``, or a size as a reading has it."""
        return self._columns[name].values()

    def routes(self) -> Mapping[str, Sequence[float]]:
        """Requests so far by route, at each row."""
        return {route: column.values() for route, column in self._routes.items()}

    def types(self, most: int = _MOST_SERIES) -> list[str]:
        """The types that have grown, so many at the most: those by which there are most more."""
        grown = {name: column.last(0.0) - self._least.get(name, 0) for name, column in self._types.items()}
        return sorted(grown, key=lambda name: (math.isnan(grown[name]), -grown[name], name))[:most]

    def paths(self, most: int = _MOST_SERIES) -> list[str]:
        """The containers that are followed, so many at the most: those whose entries weigh most."""
        weights = {path: seen.length * (seen.entry_bytes or 64.0) for path, seen in self.containers.items()}
        return sorted(self._lengths, key=lambda path: (-weights.get(path, 0.0), path))[:most]

    def counts(self, name: str) -> list[float]:
        """Live objects of a type, from the first row to the last at which they were counted."""
        return self._joined(self._types[name])

    def lengths(self, path: str) -> list[float]:
        """The length of a container, in the same way."""
        return self._joined(self._lengths[path])

    def measured(self, path: str) -> list[int]:
        """The rows at which a container was measured: between them its length lies on a line."""
        return [row for row, value in enumerate(self._lengths[path].values()) if value == value]

    def oldest(self, path: str) -> list[int | None]:
        """The number of a container's oldest entry, row by row; ``None`` where it is not known."""
        seen = self._oldest[path].values() if path in self._oldest else []
        return [None if math.isnan(one) else int(one) for one in seen]

    def is_type(self, name: str) -> bool:
        """Whether a name is that of a type that is followed."""
        return name in self._types

    def series(self, name: str) -> list[float]:
        """The series of a type or of a container; empty if neither is followed."""
        if name in self._types:
            return self.counts(name)
        return self.lengths(name) if name in self._lengths else []

    def correct(self, found: Mapping[str, Seen]) -> None:
        """Take what was measured of containers since the last reading for its own."""
        self._change()
        self.cohorts.add({path: seen.cohorts for path, seen in found.items()}, self._clock)
        for path, seen in found.items():
            self.containers[path] = seen
            if path in self._lengths:
                self._lengths[path].replace(self.size - 1, seen.length)
                self._oldest[path].replace(self.size - 1, math.nan if seen.oldest is None else seen.oldest)

    def see_arenas(self, size: float | None) -> None:
        """Keep the bytes of the arenas as of now."""
        self._change()
        self.arenas = size

    def release(self) -> None:
        """Let go of what was worked out for those who asked: it would weigh more than the past itself."""
        self._known.clear()

    def _change(self) -> None:
        self.version += 1
        self._known.clear()

    def _joined(self, column: Column) -> list[float]:
        """The values of a series: worked out once for all who ask for it in one look."""
        known = self._known.get(id(column))
        if known is None:
            values = column.values()
            known = joined(values, self.column("times")) if math.isnan(sum(values)) else values
            self._known[id(column)] = known
        return known

    def _choose(self, counts: Mapping[str, int]) -> None:
        """Begin to follow the types that have grown; what was there before is what was the least of them."""
        first = not self._least
        for name, number in counts.items():
            least = self._least.get(name)
            if least is None:
                self._least[name] = number if first else 0
            elif number < least:
                self._least[name] = number
            elif number - least >= LEAST_GROWTH and name not in self._types:
                self._follow(self._types, name, float(least))
        if len(self._types) > _MOST_SERIES:
            grown = sorted(self._types, key=lambda name: counts.get(name, 0) - self._least.get(name, 0))
            for name in grown[: len(grown) - _MOST_SERIES]:
                del self._types[name]

    def _follow(self, series: dict[str, Column], name: str, level: float) -> None:
        series[name] = Column(self.size)
        if self.size:
            series[name].replace(0, level)

    def _add_containers(self, found: Mapping[str, Seen] | None, *, complete: bool) -> None:
        self.cohorts.add({path: seen.cohorts for path, seen in (found or {}).items()}, self._clock)
        for path, seen in (found or {}).items():
            if path not in self._lengths and len(self._lengths) < _MOST_SERIES:
                self._lengths[path], self._oldest[path] = Column(self.size), Column(self.size)
                if self._all_seen and path not in self.containers:
                    self._lengths[path].replace(self.size - 1, 0)
            self.containers[path] = seen
        lengths = {path: seen.length for path, seen in (found or {}).items()}
        if found is not None and complete:
            lengths |= dict.fromkeys(self._lengths.keys() - lengths.keys(), 0)
        extend(self._lengths, lengths, self.size)
        first = {path: seen.oldest for path, seen in (found or {}).items() if seen.oldest is not None}
        extend(self._oldest, first, self.size)
        self._all_seen = found is not None and complete

    def _thin(self) -> None:
        times = self.column("times")
        keep = [False] * self.size
        keep[0] = keep[-1] = True
        last, now = times[-1], times[-1]
        for index in range(self.size - 2, 0, -1):
            # Dropped if the gap that this leaves is a small part of the age.
            if last - times[index - 1] > (now - times[index]) / _PART_OF_AGE:
                keep[index], last = True, times[index]
        for columns in (self._columns, self._routes, self._types, self._lengths, self._oldest):
            for column in columns.values():
                column.keep(keep)
        self.size = sum(keep)
        self._thin_at = self.size + _SLACK
        self._drop_idle()

    def _drop_idle(self) -> None:
        """Containers that do not grow make room for others."""
        for path in [path for path, lengths in self._lengths.items() if is_flat(lengths.values())]:
            if len(self._lengths) > _MOST_SERIES // 2:
                del self._lengths[path], self._oldest[path]


def _sizes(reading: Reading) -> tuple[float | None, ...]:
    # A C library that has given out nothing at all was not asked.
    return reading.heap, reading.native or None, reading.retained, reading.blocks
