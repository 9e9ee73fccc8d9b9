"""The workers of the state: memory, growth, time to the limit, outliers and silent ones. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.analysis.median import median
from memprof_middleware.model import MemoryMetrics, MemorySnapshot
from memprof_middleware.model.urgency import ROUGH_SECONDS
from memprof_middleware.text.words import DASH, hourly, several
from memprof_middleware.web.state.limits import StateContext, limit, middle
from memprof_middleware.web.state.series import SPAN_SECONDS, Series, last_life, part, per_hour, rounded, thinned
from memprof_middleware.web.state.words import span
from memprof_middleware.workers.timeline import Timeline

GROWTH_SECONDS = 2 * 3600.0
# Up to this number, each worker has a row of its own; of more workers, those that differ.
FEW = 4
_SPARK_BUCKETS = 36
# A worker is silent after two intervals and some seconds more, for a busy machine.
_LATE_INTERVALS, _LATE_SECONDS = 2.0, 5.0
_UNKNOWN = ("used_mb", "limit_mb", "used_percent", "growth_mb_per_hour", "growth_seen_seconds", "limit", "objects")
# Seconds for which an ended worker is still shown, so that a killed one is not overlooked.
_GONE_SECONDS = 3600.0
# Workers are alike within this many median distances of the median, or within an insignificant difference.
_ALIKE, _SLACK_PERCENT, _SLACK_MB = 3.0, 3.0, 2.0
_DAY = 86400.0
# Growth below this an hour, or below this share of memory in use, is none.
LEVEL_MB, _LEVEL_SHARE = 1.0, 0.005
# And for a young worker, all growth below this share of memory in use.
_YOUNG_SHARE = 0.02


def workers(
    metrics: Sequence[MemoryMetrics], timelines: Mapping[str, Timeline], context: StateContext
) -> list[dict[str, Any]]:
    """A row for each worker, the first to reach its limit on top and the silent ones at the end."""
    rows = [_live(one, timelines.get(one.worker), context) for one in metrics]
    seen = {one.worker for one in metrics}
    gone = [
        _gone(timeline, context.now)
        for worker, timeline in timelines.items()
        if worker not in seen and len(timeline.times)
    ]
    rows += [row for row in gone if row["age_seconds"] <= _GONE_SECONDS]
    for row, differs in zip(rows, _outliers(rows), strict=True):
        row |= {"outlier": differs, "growth": growth_words(row)}
    return sorted(rows, key=_pressing)


def is_level(row: Mapping[str, Any]) -> bool:
    """Whether the memory of a worker changes no more than normal variation."""
    growth: float = abs(row["growth_mb_per_hour"] or 0.0)
    seen = row["growth_seen_seconds"] or 0.0
    if seen < ROUGH_SECONDS:
        return growth * seen / 3600 <= max(LEVEL_MB, _YOUNG_SHARE * (row["used_mb"] or 0.0))
    return growth <= max(LEVEL_MB, _LEVEL_SHARE * (row["used_mb"] or 0.0))


def growth_words(row: Mapping[str, Any]) -> str:
    """The growth an hour; below half an hour of watching, the growth so far."""
    growth, seen = row["growth_mb_per_hour"], row["growth_seen_seconds"]
    if growth is None:
        return DASH
    if seen and seen < ROUGH_SECONDS:
        return f"{hourly(growth * seen / 3600)} in {span(seen)}"
    return f"{hourly(growth)}/h"


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """All workers in one sentence."""
    live = [row for row in rows if row["live"]]
    alike = [row for row in live if not row["outlier"] and row["used_percent"] is not None]
    few = len(rows) <= FEW
    if few or not alike:
        if len(live) < 2:
            return ""
        level = all(map(is_level, live))
        close = len(alike) == len(live) and level
        return f"All {len(live)} are alike." if close else "First to reach its limit on top."
    shares = sorted(row["used_percent"] for row in alike)
    low, high = f"{shares[0]:.0f}", f"{shares[-1]:.0f}"
    used = f"{low} %" if low == high else f"{low} to {high} %"
    moves = "level" if all(map(is_level, alike)) else "growing" if not any(map(is_level, alike)) else "some grow"
    silent = sum(row["age_seconds"] is not None for row in live)
    others = len(live) - len(alike) - silent
    sentences = [f"{several(len(alike), 'worker')} are alike: {used} of the limit, {moves}."]
    sentences.append(f"{others or 'None'} {'differ' if others > 1 else 'differs'}.")
    sentences += [f"{silent} {'was' if silent == 1 else 'were'} not seen lately."] if silent else []
    return " ".join(sentences)


def _live(metrics: MemoryMetrics, timeline: Timeline | None, context: StateContext) -> dict[str, Any]:
    snapshot, now = metrics.snapshot, context.now
    heard = metrics.start_time if snapshot is None else snapshot.timestamp
    silent = now - heard > _LATE_INTERVALS * context.config.interval + _LATE_SECONDS
    used, size = (None, None) if snapshot is None else (snapshot.heap_used_mb, snapshot.heap_size_mb)
    past = None if timeline is None else _life(timeline, "heap_used_mb", GROWTH_SECONDS)
    growth = None if past is None else per_hour(past)
    seen = past.times[-1] - past.times[0] if past is not None and past.times else None
    forecast = None if metrics.forecast is None else metrics.forecast.worker
    # Ignored leaks are not reported, and fill the memory all the same.
    timed = [leak for one in metrics.ignored for leak in one.leaks if leak.hours_left is not None]
    every = (*metrics.leaks, *timed)
    leaks = [leak for leak in every if leak.notable and leak.state != "resolved"]
    row = _row(metrics.worker, metrics.pid, timeline)
    return row | {
        "live": True,
        "answering": metrics.answering,
        "age_seconds": round(now - heard, 1) if silent else None,
        "rss_mb": None if snapshot is None else snapshot.rss_mb,
        "used_mb": used,
        "limit_mb": size,
        "limit_source": "" if snapshot is None else snapshot.heap_size_source,
        "used_percent": None if snapshot is None else snapshot.heap_percent,
        "growth_mb_per_hour": growth,
        "growth_seen_seconds": seen,
        "limit": limit(
            context,
            forecast,
            leaks,
            pid=metrics.pid,
            used_mb=used,
            limit_mb=size,
            growth_mb=growth,
            seen_seconds=seen,
            unread=snapshot is not None and used is None,
        ),
        "objects": None if snapshot is None else snapshot.total_objects,
        "requests": metrics.requests,
        "snapshots": metrics.snapshots_taken,
        "counts": metrics.censuses_taken,
        "counts_age_seconds": _counts_age(snapshot, now),
        "up_seconds": round(max(0.0, now - metrics.start_time), 1),
    }


def _counts_age(snapshot: MemorySnapshot | None, now: float) -> float | None:
    if snapshot is None or snapshot.census_timestamp is None:
        return None
    return round(max(0.0, now - snapshot.census_timestamp), 1)


def _gone(timeline: Timeline, now: float) -> dict[str, Any]:
    """The row of a worker that has left or was killed, from its last figures."""
    pid = timeline.figure("pid")[-1]
    rss = timeline.figure("rss_mb")[-1]
    row = _row(timeline.worker, 0 if math.isnan(pid) else int(pid), timeline)
    return row | {
        "live": False,
        "answering": False,
        "age_seconds": round(max(0.0, now - timeline.times[-1]), 1),
        "rss_mb": None if math.isnan(rss) else rss,
        **dict.fromkeys(_UNKNOWN),
        "limit_source": "",
        "requests": 0,
        "snapshots": 0,
        "counts": 0,
        "counts_age_seconds": None,
        "up_seconds": None,
    }


def _row(worker: str, pid: int, timeline: Timeline | None) -> dict[str, Any]:
    recent = [] if timeline is None else thinned(_life(timeline, "heap_used_mb", SPAN_SECONDS), _SPARK_BUCKETS)
    return {"worker": worker, "pid": pid, "recent": rounded(recent)}


def _life(timeline: Timeline, name: str, seconds: float) -> Series:
    """The last part of a figure's series, of the slot's present worker only."""
    start = timeline.times[-1] - seconds if timeline.times else 0.0
    return part(timeline.times, timeline.figure(name), start, last_life(timeline.figure("pid")))


def _outliers(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """The outliers: by use, by growth, by a near limit, or by silence."""
    live = [row for row in rows if row["live"]]
    used = _border([row["used_percent"] for row in live], _SLACK_PERCENT)
    grown = _border([row["growth_mb_per_hour"] for row in live], _SLACK_MB)
    return [
        row["age_seconds"] is not None
        or (row["limit"] is not None and row["limit"]["counts"] and middle(row["limit"]) < _DAY)
        or _outside(row["used_percent"], used)
        or _outside(row["growth_mb_per_hour"], grown)
        for row in rows
    ]


def _border(values: Sequence[float | None], slack: float) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    centre = median(known)
    return centre, max(slack, _ALIKE * median([abs(value - centre) for value in known]))


def _outside(value: float | None, border: tuple[float, float] | None) -> bool:
    return value is not None and border is not None and abs(value - border[0]) > border[1]


def _pressing(row: Mapping[str, Any]) -> tuple[Any, ...]:
    found = row["limit"]
    return (
        row["age_seconds"] is not None,
        math.inf if found is None else middle(found),
        -(row["used_percent"] or 0.0),
        -(row["rss_mb"] or 0.0),
        int(row["worker"]),
    )
