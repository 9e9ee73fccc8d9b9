"""The thresholds and the figures that are compared with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.median import median
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.limits.levels import Level, Levels, fixed_levels
from memprof_middleware.model import MB, Condition, Leak, MemorySnapshot, Severity
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.urgency import Urgency, fill_urgency, urgency
from memprof_middleware.text.conditions import (
    cause_of,
    collections_message,
    growth_message,
    process_message,
    raise_limit,
    restart,
    shared_message,
)
from memprof_middleware.text.headline import limit

# A young worker grows for good reasons; growth is judged over at most six hours, at least half an hour.
_GROWTH_HOURS = (0.5, 6.0)
_LEARNED_GROWTH_HOURS = 3.0
# A rate of collections is compared with its own recent past, and a handful of collections is no spike.
_GC_PAST = 10
_GC_MIN_COLLECTIONS = 10

# The system ends no process there: a number that the application was given, and one at which it is slowed down.
_ENDS_NOTHING = frozenset({"setting", "cgroup v2 memory.high"})
# What fills a limit later than this is not why memory is high.
_SOON_HOURS = 24.0

CONDITIONS = ("heap_warning", "heap_critical", "shared_warning", "shared_critical", "heap_growth", "gc_spike")


def measured(
    history: History,
    config: Config,
    others: Sequence[MemorySnapshot] = (),
    levels: Levels | None = None,
    growing: bool = True,
    ahead: Ahead | None = None,
    leaks: Iterable[Leak] = (),
    how_to_restart: Callable[[int], str] = restart,
) -> list[Condition]:
    """The conditions of the last snapshot, unmet thresholds included.

    A learned threshold decides what is reported, since it is unusual; how soon somebody has to act is decided by those
    of the configuration, which are shares of the limit.

    Args:
        history: the past, the last snapshot included.
        config: the thresholds.
        others: the last snapshots of the server's other workers, which share a limit with this one.
        levels: the thresholds in force; by default those of the configuration.
        growing: all memory grows as a leak does, by the tests; else it is the warm-up of each deploy, or a cache.
        ahead: the limit that is reached first.
        leaks: what is reported of this process, suspicions included.
        how_to_restart: returns what to do about a process for which there is no time; asked only then.
    """
    last = history.latest
    if last is None:
        return []
    levels = levels or fixed_levels(config)
    if (last.heap_percent or 0.0) <= min(levels.heap_warning.value, levels.heap_critical.value):
        how_to_restart = restart  # said to nobody
    return [
        *_heap(last, levels, config, lambda: _advice(history, last, how_to_restart), leaks),
        *_shared([last, *others], levels, config),
        *(_growth(history, config, levels, ahead or Ahead()) if growing else ()),
        *_gc_spike(history, config, levels),
    ]


def _compared(
    name: str,
    severity: Severity,
    value: float,
    threshold: float,
    message: str,
    urgent: Urgency = "none",
    advice: str = "",
    seconds: float | None = None,
) -> Condition:
    met = value > threshold
    return Condition(
        name, severity, value, threshold, message, met=met, urgency=urgent, advice=advice, limit_seconds=seconds
    )


def _levels(
    what: str,
    percent: float,
    levels: tuple[Level, Level],
    message: str,
    end: str,
    advice: Callable[[], str],
    config: Config,
    most: Leak | None = None,
    in_flight: int = 0,
) -> Iterator[Condition]:
    """Both thresholds of one limit.

    Args:
        what: the first word of their names.
        percent: memory in use, of the limit.
        levels: the lower threshold and the upper one.
        message: what is used.
        end: what the system does at the limit; empty: nothing.
        advice: returns what to do where somebody has to act now; empty: nothing is known.
        config: the thresholds that are shares of the limit.
        most: the leak that fills it soon; ``None``: none is known.
        in_flight: requests that have begun and not ended.
    """
    named: tuple[tuple[str, Severity, Level], ...] = (
        ("warning", "medium", levels[0]),
        ("critical", "critical", levels[1]),
    )
    for name, severity, level in named:
        # A learned one may be far from the limit: nobody has to act because of what is only unusual.
        fill = fill_urgency(level.value, config.heap_warning_percent, config.heap_critical_percent)
        hours = None if most is None or fill == "none" else most.hours_left
        urgent = urgency(hours, fill=fill)
        told = [] if most is None or hours is None else [_sentence(limit(hours, most.hours_latest)), cause_of(most)]
        told += [cause_of(None, in_flight)] if not told and fill != "none" else []
        told += [end] if fill == "now" else []
        told += [advice()] if urgent == "now" else []
        seconds = None if hours is None else 3600 * hours
        advised = ". ".join(filter(None, told))
        yield _compared(f"{what}_{name}", severity, percent, level.value, message, urgent, advised, seconds)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _advice(history: History, last: MemorySnapshot, how_to_restart: Callable[[int], str]) -> str:
    """A restart; not where the process was above its limit at its first snapshot: the next one would be, too."""
    begins = history.series("heap_used_mb")[0] if history.seen == len(history) else 0.0
    if last.heap_size_mb is not None and begins >= last.heap_size_mb:
        return f"{_sentence(raise_limit(last.heap_size_source))}: a restart does not help"
    return how_to_restart(last.pid)


def _heap(
    snapshot: MemorySnapshot, levels: Levels, config: Config, advice: Callable[[], str], leaks: Iterable[Leak] = ()
) -> Iterator[Condition]:
    used, size, percent = snapshot.heap_used_mb, snapshot.heap_size_mb, snapshot.heap_percent
    if used is None or size is None or percent is None:
        return
    message = process_message(snapshot.pid, percent, used, size, snapshot.heap_size_source)
    end = "" if snapshot.heap_size_source in _ENDS_NOTHING else "At 100 % the system ends it"
    timed = (leak for leak in leaks if leak.hours_left is not None and leak.hours_left < _SOON_HOURS)
    most = max((leak for leak in timed if not leak.shared_limit), key=lambda leak: leak.bytes_per_hour, default=None)
    both = levels.heap_warning, levels.heap_critical
    yield from _levels("heap", percent, both, message, end, advice, config, most, snapshot.in_flight)


def _shared(snapshots: Sequence[MemorySnapshot], levels: Levels, config: Config) -> Iterator[Condition]:
    """Eight workers at 12 % each are a container at 96 %."""
    shared = shared_memory(snapshots)
    percent = None if shared is None else shared.percent
    if shared is None or percent is None or (not shared.contained and len(snapshots) == 1):
        return  # alone, the heap's own thresholds say it all
    message = shared_message(len(snapshots), percent, shared.used_mb, shared.size_mb or 0.0, contained=shared.contained)
    both = levels.shared_warning, levels.shared_critical
    yield from _levels("shared", percent, both, message, "At 100 % the system ends a process", str, config)


class Growth(NamedTuple):
    """Growth of the heap per hour, in MB and in percent of where it began, and over how many hours it was seen."""

    mb: float
    percent: float
    hours: float


def heap_growth(history: History, warmup_snapshots: int) -> Growth | None:
    """Growth by the median of the slopes between thirds of the period: a single transient does not move it."""
    shortest, longest = (hours * 3600 for hours in _GROWTH_HOURS)
    now = history.series("timestamp")[-1]
    points = [
        (time, heap)
        for number, (time, heap) in enumerate(
            zip(history.series("timestamp"), history.series("heap_used_mb"), strict=True),
            start=history.seen - len(history),
        )
        if number >= warmup_snapshots and now - time <= longest and not math.isnan(heap)
    ]
    if len(points) < 6 or points[-1][0] - points[0][0] < shortest:
        return None
    third = len(points) // 3
    slopes = [
        (heap_b - heap_a) / (time_b - time_a) * 3600
        for (time_a, heap_a), (time_b, heap_b) in zip(points[:third], points[-third:], strict=True)
        if time_b > time_a
    ]
    start = median(heap for _, heap in points[:third])
    if not slopes or start <= 0:
        return None
    per_hour = median(slopes)
    return Growth(per_hour, 100.0 * per_hour / start, (points[-1][0] - points[0][0]) / 3600)


def _growth(history: History, config: Config, levels: Levels, ahead: Ahead) -> Iterator[Condition]:
    found, last = heap_growth(history, config.warmup_snapshots), history.latest
    if found is None or last is None:
        return
    # Seen over an hour, noise is growth; what was learned rests on longer looks.
    learned = found.hours >= _LEARNED_GROWTH_HOURS
    threshold = levels.heap_growth.value if learned else config.heap_growth_percent_per_hour
    hours, latest = ahead.reached(found.mb * MB, alone=True)
    fill = fill_urgency(last.heap_percent, config.heap_warning_percent, config.heap_critical_percent)
    urgent = urgency(hours, fill=fill, watched_seconds=3600 * found.hours if latest is None else None)
    message = growth_message(found.mb, found.percent, found.hours, hours, latest)
    yield _compared("heap_growth", "medium", found.percent, threshold, message, urgent)


def _gc_spike(history: History, config: Config, levels: Levels) -> Iterator[Condition]:
    """Full collections in the last interval against the median rate of the intervals before."""
    rates = [rate for rate in history.series("gc_per_hour")[-_GC_PAST - 1 :] if not math.isnan(rate)]
    if len(rates) < 3:
        return
    *past, now = rates
    before, after = history.full_collections()[-2:]
    if after - before < _GC_MIN_COLLECTIONS:
        return
    learned, usual = levels.gc_per_hour, median(past)
    if learned is None:
        yield _compared("gc_spike", "medium", now, config.gc_spike_factor * usual, collections_message(now, usual))
    else:
        yield _compared("gc_spike", "medium", now, learned.value, collections_message(now, usual, learned.reason))
