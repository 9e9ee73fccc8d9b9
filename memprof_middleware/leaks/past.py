"""The whole life of a process in a few hundred rows: close together of late, ever wider apart before.

The history keeps the last thousand snapshots, which at five seconds are an hour and a half, and forgets the beginning
of a leak of days. Here a row is dropped when its neighbours are nearer to one another than a part of its age, so that a
week takes some five hundred rows and what happened lately is seen as finely as it was measured.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import compress, pairwise

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.leaks.cohorts import Cohorts
from memprof_middleware.model.value import valueclass

# Rows whose distance is a smaller part of their age than this are thinned out; so many may come before that is done.
_PART_OF_AGE, _SLACK = 64, 48
# A series is followed from when it has so many more than at its least; so many series at the most.
_LEAST_GROWTH, _MOST_SERIES = 8, 320
# A clock that jumps forward has stood for so many intervals at the most: nobody knows what happened meanwhile.
_LONGEST_GAPS, _LONGEST_SECONDS = 10.0, 600.0
_DOUBLE = struct.Struct("d")
_COLUMNS = ("times", "requests", "in_flight", "collections", "heap", "native", "retained", "blocks")


@valueclass(frozen=True, slots=True)
class Reading:
    """One look at a process. Sizes in bytes; ``None``: not measured.

    Attributes:
        time: seconds since the epoch, by a clock that may jump.
        requests: answered so far, by route.
        in_flight: requests that had begun and not ended.
        collections: full collections so far.
        heap: anonymous memory.
        native: what the C library has given out.
        retained: what it holds free for reuse.
        blocks: blocks of Python's allocator.
        counts: live objects by type; ``None``: not counted.
        containers: what was measured of containers by path; ``None``: not measured.
        complete: a container that is not among them is empty, or gone.
        cohorts: what has become of instances that were there at earlier looks, by type.
    """

    time: float
    requests: Mapping[str, int]
    in_flight: int = 0
    collections: int = 0
    heap: float | None = None
    native: float | None = None
    retained: float | None = None
    blocks: float | None = None
    counts: Mapping[str, int] | None = None
    containers: Mapping[str, Seen] | None = None
    complete: bool = True
    cohorts: Mapping[str, Sequence[Cohort]] = dataclasses.field(default_factory=dict)


@valueclass(frozen=True, slots=True)
class Seen:
    """One container at one look.

    Attributes:
        length: entries.
        bound: the most that it takes, by its own word.
        entry_bytes: what one of its newest entries weighs, by a sample.
        oldest: stands for its oldest entry; ``None``: it has no order, or nobody can tell.
        holds: types of its newest entries and of what these hold.
        lifetime: seconds that an entry lives, by its own word.
        cohorts: what has become of entries that were there at earlier looks.
    """

    length: int
    bound: int | None = None
    entry_bytes: float | None = None
    oldest: int | None = None
    holds: tuple[str, ...] = ()
    lifetime: float | None = None
    cohorts: Sequence[Cohort] = ()


class Column:
    """Numbers in a buffer that no collector tracks: an array for each type would look like growth of our own."""

    __slots__ = ("_bytes",)

    def __init__(self, size: int = 0, fill: float = math.nan) -> None:
        self._bytes = bytearray(array("d", [fill]) * size)

    def append(self, value: float) -> None:
        """Add one at the end."""
        self._bytes += _DOUBLE.pack(value)

    def replace(self, index: int, value: float) -> None:
        """Put another one in its place."""
        _DOUBLE.pack_into(self._bytes, _DOUBLE.size * index, value)

    def last(self, fill: float) -> float:
        """The one at the end; without any, another."""
        found: float = _DOUBLE.unpack_from(self._bytes, len(self._bytes) - _DOUBLE.size)[0] if self._bytes else fill
        return found

    def values(self) -> list[float]:
        """All of them."""
        with memoryview(self._bytes) as view:
            return list(map(float, view.cast("d")))

    def keep(self, chosen: Sequence[bool]) -> None:
        """Drop those that are not chosen."""
        self._bytes = bytearray(array("d", compress(self.values(), chosen)))


class Past:
    """What a process was at chosen moments since it began.

    Args:
        interval: the usual seconds between two readings.

    Attributes:
        containers: what each container was when it was measured last, by path.
        size: how many rows there are.
        counted_from: since when types are counted in one way, by the clock of the rows.
        cohorts: what has become of entries and of instances.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.size = 0
        self._columns = {name: Column() for name in _COLUMNS}
        self._routes: dict[str, Column] = {}
        self._least: dict[str, int] = {}
        self._types: dict[str, Column] = {}
        self._lengths: dict[str, Column] = {}
        self._oldest: dict[str, Column] = {}
        self.containers: dict[str, Seen] = {}
        self.cohorts = Cohorts()
        self.counted_from = 0.0
        self._clock = 0.0  # seconds since the first reading, by a clock of its own that never jumps
        self._read: float | None = None
        self._thin_at = _SLACK * 4

    def add(self, reading: Reading) -> None:
        """Keep a reading."""
        if self._read is not None:
            most = _LONGEST_GAPS * self._interval + _LONGEST_SECONDS
            self._clock += min(max(reading.time - self._read, 1e-3), most)
        self._read = reading.time
        values = (
            self._clock,
            sum(reading.requests.values()),
            reading.in_flight,
            reading.collections,
            *(math.nan if value is None else value for value in _sizes(reading)),
        )
        for name, value in zip(_COLUMNS, values, strict=True):
            self._columns[name].append(value)
        _extend(self._routes, reading.requests, self.size, fill=0.0, hold=True)
        if reading.counts is not None:
            self._choose(reading.counts)
        counted = None if reading.counts is None else {name: reading.counts.get(name, 0) for name in self._types}
        _extend(self._types, counted or {}, self.size)
        self._add_containers(reading.containers, complete=reading.complete)
        self.cohorts.add(reading.cohorts, self._clock)
        self.size += 1
        if self.size >= self._thin_at:
            self._thin()

    def forget_counts(self) -> None:
        """Follow the types anew: what was counted so far cannot be compared with what comes."""
        self._types.clear()
        self._least.clear()
        self.counted_from = self._clock

    def now(self) -> float:
        """The clock of the rows."""
        return self._clock

    def column(self, name: str) -> Sequence[float]:
        """``times``, ``requests``, ``in_flight``, ``collections``, ``heap``, ``native``, ``retained`` or ``blocks``."""
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
        return _joined(self._types[name].values(), self.column("times"))

    def lengths(self, path: str) -> list[float]:
        """The length of a container, in the same way."""
        return _joined(self._lengths[path].values(), self.column("times"))

    def oldest(self, path: str) -> list[int | None]:
        """What stands for a container's oldest entry, row by row; ``None`` where nobody looked, or can tell."""
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
        self.cohorts.add({path: seen.cohorts for path, seen in found.items()}, self._clock)
        for path, seen in found.items():
            self.containers[path] = seen
            if path in self._lengths:
                self._lengths[path].replace(self.size - 1, seen.length)
                self._oldest[path].replace(self.size - 1, math.nan if seen.oldest is None else seen.oldest)

    def _choose(self, counts: Mapping[str, int]) -> None:
        """Begin to follow the types that have grown; what was there before is what was the least of them."""
        first = not self._least
        for name, number in counts.items():
            least = self._least.get(name)
            if least is None:
                self._least[name] = number if first else 0
            elif number < least:
                self._least[name] = number
            elif number - least >= _LEAST_GROWTH and name not in self._types:
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
            self.containers[path] = seen
            if path not in self._lengths and len(self._lengths) < _MOST_SERIES:
                self._lengths[path], self._oldest[path] = Column(self.size), Column(self.size)
        lengths = {path: seen.length for path, seen in (found or {}).items()}
        if found is not None and complete:
            lengths |= dict.fromkeys(self._lengths.keys() - lengths.keys(), 0)
        _extend(self._lengths, lengths, self.size)
        first = {path: seen.oldest for path, seen in (found or {}).items() if seen.oldest is not None}
        _extend(self._oldest, first, self.size)

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
        for path in [path for path, lengths in self._lengths.items() if _is_flat(lengths.values())]:
            if len(self._lengths) > _MOST_SERIES // 2:
                del self._lengths[path], self._oldest[path]


def _sizes(reading: Reading) -> tuple[float | None, ...]:
    # A C library that has given out nothing at all was not asked.
    return reading.heap, reading.native or None, reading.retained, reading.blocks


def _extend(
    series: dict[str, Column],
    values: Mapping[str, float],
    size: int,
    *,
    fill: float = math.nan,
    hold: bool = False,
) -> None:
    """Add a value to each series; what is new began with the fill, what is missing holds its value or has none."""
    if hold:
        for name in values.keys() - series.keys():
            series[name] = Column(size, fill)
    for name, column in series.items():
        column.append(values[name] if name in values else column.last(fill) if hold else fill)


def _is_flat(values: Sequence[float]) -> bool:
    known = [value for value in values if not math.isnan(value)]
    return not known or max(known) - min(known) < _LEAST_GROWTH


def _joined(values: Sequence[float], times: Sequence[float]) -> list[float]:
    """The values up to the last that is known; one that is not lies on the line between its neighbours."""
    known = [index for index, value in enumerate(values) if value == value]
    if len(known) == len(values) or not known:
        return list(values) if known else []
    found = [values[known[0]]] * known[0]
    for a, b in pairwise(known):
        found.append(values[a])
        if b - a > 1:
            slope = (values[b] - values[a]) / max(times[b] - times[a], 1e-9)
            found.extend(values[a] + slope * (times[index] - times[a]) for index in range(a + 1, b))
    found.append(values[known[-1]])
    return found


def at(times: Sequence[float], values: Sequence[float], when: float) -> float:
    """A value between two rows, on the line."""
    index = bisect_left(times, when, hi=len(values))
    if index <= 0:
        return values[0]
    if index >= len(values):
        return values[-1]
    width = times[index] - times[index - 1]
    share = (when - times[index - 1]) / width if width > 0 else 1.0
    return values[index - 1] + share * (values[index] - values[index - 1])
