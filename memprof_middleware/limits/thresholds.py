"""Which thresholds are passed now."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.median import median
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.limits.levels import Levels, fixed_levels
from memprof_middleware.model import Breach, MemorySnapshot

# A value that hovers at a threshold must not ring on and off: a condition ends only below this share of it.
_RELEASE = 0.95
# A young worker grows for good reasons; growth is judged over at most six hours, at least half an hour.
_GROWTH_HOURS = (0.5, 6.0)
_LEARNED_GROWTH_HOURS = 3.0
# A rate of collections is compared with its own recent past, and a handful of collections is no spike.
_GC_PAST = 10
_GC_MIN_COLLECTIONS = 10

CONDITIONS = ("heap_warning", "heap_critical", "shared_warning", "shared_critical", "heap_growth", "gc_spike")


def breaches(
    history: History,
    config: Config,
    active: Collection[str] = (),
    others: Sequence[MemorySnapshot] = (),
    levels: Levels | None = None,
    growing: bool = True,
) -> list[Breach]:
    """The thresholds that the last snapshot passes.

    Args:
        history: the past, the last snapshot included.
        config: the thresholds.
        others: the last snapshots of the server's other workers, which share a limit with this one.
        active: names of the conditions that hold already; they are released a little below their threshold.
        levels: the thresholds in force; by default those of the configuration.
        growing: all memory grows as a leak does, by the tests; else it is the warm-up of each deploy, or a cache.
    """
    last = history.latest
    if last is None:
        return []
    levels = levels or fixed_levels(config)
    found = [
        *_heap(last, levels),
        *_shared([last, *others], levels),
        *(_growth(history, config, levels) if growing else ()),
        *_gc_spike(history, config, levels),
    ]
    return [
        breach for breach in found if breach.value > breach.threshold * (_RELEASE if breach.name in active else 1.0)
    ]


def _heap(snapshot: MemorySnapshot, levels: Levels) -> Iterator[Breach]:
    percent = snapshot.heap_percent
    if percent is None:
        return
    message = (
        f"heap at {percent:.1f} % of its limit: {snapshot.heap_used_mb:.0f} of {snapshot.heap_size_mb:.0f} MB "
        f"(limit from {snapshot.heap_size_source})"
    )
    yield Breach("heap_warning", "medium", percent, levels.heap_warning.value, message)
    yield Breach("heap_critical", "critical", percent, levels.heap_critical.value, message)


def _shared(snapshots: Sequence[MemorySnapshot], levels: Levels) -> Iterator[Breach]:
    """Eight workers at 12 % each are a container at 96 %."""
    shared = shared_memory(snapshots)
    percent = None if shared is None else shared.percent
    if shared is None or percent is None or (not shared.contained and len(snapshots) == 1):
        return  # alone, the heap's own thresholds say it all
    who = "the container is" if shared.contained else f"{len(snapshots)} workers together are"
    message = f"{who} at {percent:.1f} % of the limit: {shared.used_mb:.0f} of {shared.size_mb:.0f} MB"
    yield Breach("shared_warning", "medium", percent, levels.shared_warning.value, message)
    yield Breach("shared_critical", "critical", percent, levels.shared_critical.value, message)


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


def _growth(history: History, config: Config, levels: Levels) -> Iterator[Breach]:
    found = heap_growth(history, config.warmup_snapshots)
    if found is not None:
        yield Breach(
            "heap_growth",
            "medium",
            found.percent,
            # Seen over an hour, noise is growth; what was learned rests on longer looks.
            levels.heap_growth.value if found.hours >= _LEARNED_GROWTH_HOURS else config.heap_growth_percent_per_hour,
            f"heap grows by {found.mb:.1f} MB ({found.percent:.1f} %) per hour, seen over {found.hours:.1f} h",
        )


def _gc_spike(history: History, config: Config, levels: Levels) -> Iterator[Breach]:
    """Full collections in the last interval against the median rate of the intervals before."""
    rates = [rate for rate in history.series("gc_per_hour")[-_GC_PAST - 1 :] if not math.isnan(rate)]
    if len(rates) < 3:
        return
    *past, now = rates
    before, after = history.full_collections()[-2:]
    if after - before < _GC_MIN_COLLECTIONS:
        return
    if levels.gc_per_hour is not None:
        level = levels.gc_per_hour
        yield Breach("gc_spike", "medium", now, level.value, f"{now:.0f} full collections per hour, {level.reason}")
        return
    usual = median(past)
    factor = now / usual if usual else math.inf
    yield Breach(
        "gc_spike",
        "medium",
        now,
        config.gc_spike_factor * usual,
        f"{now:.0f} full collections per hour, {factor:.1f} times the rate before ({usual:.0f})"
        if usual
        else f"{now:.0f} full collections per hour, none before",
    )
