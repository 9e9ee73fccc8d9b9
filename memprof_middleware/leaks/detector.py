"""Detect leaking types by the counts of their live objects over time."""

from __future__ import annotations

import dataclasses
import functools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.model import Leak, Severity

# The contract's table: growth in percent that must be passed.
_SEVERITIES: tuple[tuple[float, Severity], ...] = ((200.0, "critical"), (150.0, "high"), (100.0, "medium"))
# A plateau must not live on the growth before it: the last part of a period has to rise by this share of the mean.
_STILL_RISING = 0.25
# Noise around a level reaches this far up or down; a trend's floor carries more of the growth than that.
_FLOOR_SHARE = 0.5


def find_leaks(history: History, config: Config, known: Iterable[Leak] = ()) -> list[Leak]:
    """Types whose live objects keep growing, the fastest-grown first.

    The contract: growth from first to last above ``leak_growth_percent`` and above ``leak_min_objects``, with a
    consistent trend. Consistent means that the floor rises: the period is cut into parts, and the lowest count of
    each part lies above that of the part before. Collections make counts dip, and peaks come with load; only a
    leak lifts the floor. The last part must still rise, so that a cache that is full is not a leak.

    The whole past after warm-up is judged first, then ever shorter ends of it: a leak that is hours old stays
    called although its growth in the last minutes is a small share of what is there, and a young one is not hidden
    by the flat hours before it. Such an end must break new ground: garbage that waits for its collection rises as
    steadily as a leak, but to where it has been before.

    Args:
        history: the past, the last snapshot included.
        config: the limits.
        known: the leaks of the last verdict. One that still rises stays, measured from where it began: the bounded
            history forgets that beginning, and after days the growth inside it is a small share of what is there.
    """
    start = max(history.comparable_from, config.warmup_snapshots - (history.seen - len(history)))
    all_times = history.series("timestamp")
    called = {leak.name: leak for leak in known}
    goes_on = (_continued(leak, history, all_times, config) for leak in called.values())
    leaks = {leak.name: leak for leak in goes_on if leak is not None}
    risen = history.risen(config.leak_min_objects, start)
    counts_of = functools.cache(lambda name: history.counts(name, start))
    for begin in _periods(start, len(history), config.leak_min_snapshots):
        times = all_times[begin:]
        for name in history.grown(config.leak_min_objects, begin, risen):
            if name not in leaks:
                counts = counts_of(name)
                leak = judge_type(name, times, counts[begin - start :], config)
                if leak is not None and leak.last > max(counts[: begin - start], default=-1):
                    before = called.get(name, leak)
                    leaks[name] = dataclasses.replace(leak, detected_at=before.detected_at)
    return sorted(leaks.values(), key=lambda leak: -leak.growth_percent)


def judge_type(name: str, times: Sequence[float], counts: Sequence[int], config: Config) -> Leak | None:
    """The leak of a type in the counts of one period; ``None`` without one."""
    first, last = counts[0], counts[-1]
    percent = 100.0 * (last - first) / max(first, 1)
    severity = severity_of(percent, config.leak_growth_percent)
    if severity is None or last - first <= config.leak_min_objects or not rises(counts):
        return None
    hours = (times[-1] - times[0]) / 3600
    return Leak(
        name=name,
        severity=severity,
        first=first,
        last=last,
        growth_percent=percent,
        growth_per_hour=(last - first) / hours if hours > 0 else 0.0,
        since=times[0],
        detected_at=times[-1],
        snapshots=len(counts),
    )


def _continued(leak: Leak, history: History, times: Sequence[float], config: Config) -> Leak | None:
    """A leak that was detected before, if it has grown since its beginning."""
    comparable = history.comparable_from
    if comparable and leak.since < times[comparable]:
        return None
    begin = bisect_left(times, leak.since)
    counts = history.counts(leak.name, begin)
    if len(counts) < config.leak_min_snapshots or counts[-1] - leak.first <= config.leak_min_objects:
        return None
    percent = 100.0 * (counts[-1] - leak.first) / max(leak.first, 1)
    severity = severity_of(percent, config.leak_growth_percent)
    if severity is None or not rises(counts):
        return None
    hours = (times[-1] - leak.since) / 3600
    return dataclasses.replace(
        leak,
        severity=severity,
        last=counts[-1],
        growth_percent=percent,
        growth_per_hour=(counts[-1] - leak.first) / hours if hours > 0 else 0.0,
        snapshots=max(leak.snapshots, len(counts)),
    )


def severity_of(growth_percent: float, threshold: float = 50.0) -> Severity | None:
    """Above 200 % critical, 150 % high, 100 % medium, the threshold low; ``None`` at or below it."""
    if growth_percent <= threshold:
        return None
    return next((severity for limit, severity in _SEVERITIES if growth_percent > limit), "low")


def rises(counts: Sequence[float]) -> bool:
    """Whether the minimum of a series rises from part to part until its end."""
    parts = 4 if len(counts) >= 12 else 3 if len(counts) >= 6 else 2
    edges = [len(counts) * part // parts for part in range(parts + 1)]
    floors = [min(counts[a:b]) for a, b in pairwise(edges)]
    steps = [b - a for a, b in pairwise(floors)]
    lifted = floors[-1] - floors[0]
    return (
        all(step > 0 for step in steps)
        and steps[-1] >= _STILL_RISING * lifted / len(steps)
        # Measured between the parts' middles, so the whole growth is parts/(parts-1) of what the floors show.
        and lifted * parts / (parts - 1) >= _FLOOR_SHARE * (counts[-1] - counts[0])
    )


def _periods(start: int, end: int, shortest: int) -> Iterator[int]:
    """The beginnings of the periods: all, the last half, quarter and so on, down to the shortest."""
    length = end - start
    while length >= shortest:
        yield end - length
        length = length // 2 if length // 2 >= shortest or length == shortest else shortest
