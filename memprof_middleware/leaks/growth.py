"""Growth of types, containers, other populations, blocks, native and resident memory, each by itself."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.memory import MAPPED, NATIVE, RETAINED, UNTRACKED, memory_of
from memprof_middleware.analysis.retention import find_retention, pace_of
from memprof_middleware.config import Config
from memprof_middleware.leaks.candidates import Peaks, Turns, candidates, grown
from memprof_middleware.leaks.detector import find_leaks, rises
from memprof_middleware.model import MB, Leak, LeakKind
from memprof_middleware.model.value import valueclass

# So many objects or entries are growth at the least, if each request adds its share.
LEAST_OBJECTS = 8
# Populations of bytes in a buffer, by path; kept in units of so many bytes.
BUFFER, BUFFER_UNIT = "buffer ", 1024


@valueclass(frozen=True, slots=True)
class Growth:
    """One series that grows up to now.

    Attributes:
        name: the type, the container's path, or what else it is.
        kind: as in :class:`Leak`.
        first: the level when it began.
        last: the level now.
        since: when it began, seconds since the epoch.
        snapshots: over how many snapshots.
        served: requests served meanwhile.
        per_request: what each of them added; ``None`` if there were none.
        per_hour: growth per hour.
        steadiness: 1 is a straight line, 0 wild.
        pace: growth of the last third as a share of that of the first.
        collections: full collections meanwhile.
    """

    name: str
    kind: LeakKind
    first: float
    last: float
    since: float
    snapshots: int
    served: float
    per_request: float | None
    per_hour: float
    steadiness: float
    pace: float
    collections: int

    @property
    def amount(self) -> float:
        """The amount of growth."""
        return self.last - self.first

    @property
    def rate(self) -> float:
        """The rate by which growths are compared: per request, or per hour without requests."""
        return self.per_hour if self.per_request is None else self.per_request


def find_growths(
    history: History, config: Config, known: Mapping[str, Leak], turns: Turns | None = None
) -> list[Growth]:
    """Everything that grows, by the requests served or by the contract's rule over time.

    Args:
        history: the past, the last snapshot included.
        config: the limits.
        known: the open leaks by name: they are measured from where they began.
        turns: whose turn it is, where many types may grow; by default all are looked at.
    """
    start = max(history.comparable_from, config.warmup_snapshots - (history.seen - len(history)))
    if len(history) - start < 2:
        return []
    return [
        *_types(history, start, config, known, turns),
        *_containers(history, start, config, known),
        *_memory(history, start, config, known),
    ]


def _types(
    history: History, start: int, config: Config, known: Mapping[str, Leak], turns: Turns | None
) -> Iterator[Growth]:
    by_rule = {
        leak.name: leak for leak in find_leaks(history, config, [k for k in known.values() if k.kind == "objects"])
    }
    # A skipped count is that of the snapshot before, and would look as if nothing grew.
    indices = history.counted(start)
    if len(indices) < 2:
        return
    judge = _Judge(Load.of(history, indices), config, known)
    peaks = Peaks() if turns is None else turns.peaks
    may = candidates(history, start, indices, judge.load, LEAST_OBJECTS, config.leak_min_snapshots, peaks)
    always = {*by_rule, *grown(history, start, LEAST_OBJECTS, known)}
    for name in sorted({*always, *(may if turns is None else turns.next(may, history.count))}):
        values = _at(indices, history.counts(name))
        growth = judge.grows(name, "objects", values, LEAST_OBJECTS)
        if growth is None and name in by_rule:
            growth = judge.by_rule(by_rule[name], values)
        if growth is not None:
            yield growth


def _containers(history: History, start: int, config: Config, known: Mapping[str, Leak]) -> Iterator[Growth]:
    judges: dict[int, tuple[list[int], _Judge]] = {}  # by the snapshot from which on a length is known
    for path in history.grown_paths(LEAST_OBJECTS - 1, start):
        begin = max(start, history.known_from(path))
        if begin not in judges:
            measured = history.measured(begin)
            judges[begin] = measured, _Judge(Load.of(history, measured), config, known)
        indices, judge = judges[begin]
        kind: LeakKind = "native" if path.startswith(BUFFER) else "container"
        unit = BUFFER_UNIT if kind == "native" else 1
        lengths = _at(indices, history.lengths(path))
        growth = judge.grows(path, kind, [unit * length for length in lengths], unit * LEAST_OBJECTS)
        if growth is not None:
            yield growth


def _at(indices: Sequence[int], values: Sequence[int]) -> Sequence[int]:
    """The values at some indices."""
    if indices and indices[-1] - indices[0] == len(indices) - 1:
        return values[indices[0] : indices[-1] + 1]
    return [values[index] for index in indices]


def _memory(history: History, start: int, config: Config, known: Mapping[str, Leak]) -> Iterator[Growth]:
    """Growth of memory that object counts do not see; tracing of allocations splits the series."""
    traced = [math.isnan(value) for value in history.series("tracemalloc_current_mb")]
    begin = next((i + 1 for i in range(len(traced) - 2, start - 1, -1) if traced[i] != traced[i + 1]), start)
    judge = _Judge(Load.of(history, range(begin, len(history))), config, known)
    windows = len(history) - begin
    for name, kind, least, per_window, per_request in _MEMORY:
        values = memory_of(name, history)[begin:]
        if windows < 2 or any(map(math.isnan, values)):
            continue
        growth = judge.grows(name, kind, values, max(least, per_window * windows))
        if growth is not None and (growth.per_request or 0.0) >= per_request:
            yield growth


# What is judged of memory: its name and kind, and the least growth in all, for each window and for each request.
_MEMORY: tuple[tuple[str, LeakKind, float, float, float], ...] = (
    (UNTRACKED, "untracked", 300.0, 100.0, 0.75),
    (NATIVE, "native", 262_144.0, 8_192.0, 100.0),
    (MAPPED, "mapped", 8 * MB, 65_536.0, 1_024.0),
    (RETAINED, "fragmentation", 8 * MB, 65_536.0, 1_024.0),
)


class _Judge:
    """The growth of series over one period."""

    def __init__(self, load: Load, config: Config, known: Mapping[str, Leak]) -> None:
        self.load, self._shortest, self._known = load, config.leak_min_snapshots, known

    def grows(self, name: str, kind: LeakKind, values: Sequence[float], least: float) -> Growth | None:
        """The growth of a series with the requests served, from where it is known to have begun."""
        known = self._known.get(name)
        begin = 0 if known is None else bisect_left(self.load.times, known.since)
        found = find_retention(values[begin:], self.load.since(begin), least=least, shortest=self._shortest)
        if known is not None and (found is None or found.begin):
            begin, known = 0, None
            found = find_retention(values, self.load, least=least, shortest=self._shortest)
        if found is None:
            return None
        begin += found.begin
        first, since = (found.first, self.load.times[begin]) if known is None else (known.first, known.since)
        hours = (self.load.times[-1] - since) / 3600
        return Growth(
            name=name,
            kind=kind,
            first=first,
            last=found.last,
            since=since,
            snapshots=max(len(values) - begin, known.snapshots if known else 0),
            served=self.load.since(begin).served,
            per_request=found.per_request,
            per_hour=(found.last - first) / hours if hours > 0 else 0.0,
            steadiness=found.steadiness,
            pace=found.pace,
            collections=self.load.collections[-1] - self.load.collections[begin],
        )

    def by_rule(self, leak: Leak, counts: Sequence[float]) -> Growth | None:
        """A leak by the rule over time, unless the requests in flight explain it."""
        begin = bisect_left(self.load.times, leak.since)
        if len(counts) - begin < 2 or not rises(self.load.unloaded(counts)):
            return None
        load = self.load.since(begin)
        return Growth(
            name=leak.name,
            kind="objects",
            first=leak.first,
            last=leak.last,
            since=leak.since,
            snapshots=leak.snapshots,
            served=load.served,
            per_request=leak.growth / load.served if load.served > 0 else None,
            per_hour=leak.growth_per_hour,
            steadiness=0.5,
            pace=pace_of(counts[begin:], load),
            collections=load.collections[-1] - load.collections[0],
        )
