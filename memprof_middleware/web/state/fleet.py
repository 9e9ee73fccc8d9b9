"""The workers as the page shows them: how large, how fast, how long to go, and who is silent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from memprof_middleware.config import Config
from memprof_middleware.model import Forecast, MemoryMetrics, MemorySnapshot, Outlook
from memprof_middleware.web.state.series import Series, last_life, part, per_hour, rounded, thinned
from memprof_middleware.workers.track import Track

GROWTH_SECONDS = 2 * 3600.0
_SPARK_BUCKETS = 24
# A worker that is late by this is silent: twice its interval, and what a busy machine may add.
_LATE_INTERVALS, _LATE_SECONDS = 2.0, 5.0
# A day ahead of two hours: enough for a night on call, and not a month ahead of a minute.
_AHEAD = 12.0
_UNKNOWN = ("used_mb", "limit_mb", "used_percent", "growth_mb_per_hour", "growth_seen_seconds", "time_left", "objects")
# How long a worker that is gone is still shown, so that who was killed is not overlooked.
_GONE_SECONDS = 3600.0


def workers(
    metrics: Sequence[MemoryMetrics], tracks: Mapping[str, Track], config: Config, now: float
) -> list[dict[str, Any]]:
    """A row for each worker, the first to reach its limit on top and the silent ones at the end."""
    rows = [_live(one, tracks.get(one.worker), config, now) for one in metrics]
    seen = {one.worker for one in metrics}
    gone = [_gone(track, now) for worker, track in tracks.items() if worker not in seen and len(track.times)]
    rows += [row for row in gone if row["silent_seconds"] <= _GONE_SECONDS]
    return sorted(rows, key=_urgency)


def _live(metrics: MemoryMetrics, track: Track | None, config: Config, now: float) -> dict[str, Any]:
    snapshot = metrics.snapshot
    heard = metrics.start_time if snapshot is None else snapshot.timestamp
    silent = now - heard > _LATE_INTERVALS * config.interval + _LATE_SECONDS
    used, limit = (None, None) if snapshot is None else (snapshot.heap_used_mb, snapshot.heap_size_mb)
    past = None if track is None else _life(track, "heap_used_mb", GROWTH_SECONDS)
    growth = None if past is None else per_hour(past)
    seen = past.times[-1] - past.times[0] if past is not None and past.times else None
    leaks = any(leak.state == "confirmed" for leak in metrics.leaks)
    row = _row(metrics.worker, metrics.pid, track)
    return row | {
        "live": True,
        "answering": metrics.answering,
        "silent_seconds": round(now - heard, 1) if silent else None,
        "rss_mb": None if snapshot is None else snapshot.rss_mb,
        "used_mb": used,
        "limit_mb": limit,
        "limit_source": "" if snapshot is None else snapshot.heap_size_source,
        "used_percent": None if snapshot is None else snapshot.heap_percent,
        "growth_mb_per_hour": growth,
        "growth_seen_seconds": seen,
        "time_left": time_left(metrics.forecast, "worker", used, limit, growth if leaks else None, seen),
        "objects": None if snapshot is None else snapshot.total_objects,
        "requests": metrics.requests,
        "snapshots": metrics.snapshots_taken,
        "censuses": metrics.censuses_taken,
        "census_age_seconds": _census_age(snapshot, now),
        "up_seconds": round(max(0.0, now - metrics.start_time), 1),
    }


def _census_age(snapshot: MemorySnapshot | None, now: float) -> float | None:
    if snapshot is None or snapshot.census_timestamp is None:
        return None
    return round(max(0.0, now - snapshot.census_timestamp), 1)


def _gone(track: Track, now: float) -> dict[str, Any]:
    """A worker that has left or was killed, as its last row says."""
    pid = track.figure("pid")[-1]
    rss = track.figure("rss_mb")[-1]
    row = _row(track.worker, 0 if math.isnan(pid) else int(pid), track)
    return row | {
        "live": False,
        "answering": False,
        "silent_seconds": round(max(0.0, now - track.times[-1]), 1),
        "rss_mb": None if math.isnan(rss) else rss,
        **dict.fromkeys(_UNKNOWN),
        "limit_source": "",
        "requests": 0,
        "snapshots": 0,
        "censuses": 0,
        "census_age_seconds": None,
        "up_seconds": None,
    }


def _row(worker: str, pid: int, track: Track | None) -> dict[str, Any]:
    recent = [] if track is None else thinned(_life(track, "rss_mb", GROWTH_SECONDS), _SPARK_BUCKETS)
    return {"worker": worker, "pid": pid, "recent": rounded(recent)}


def _life(track: Track, name: str, seconds: float) -> Series:
    """The last part of a past, of the slot's present worker only."""
    start = track.times[-1] - seconds if track.times else 0.0
    return part(track.times, track.figure(name), start, last_life(track.figure("pid")))


def time_left(
    forecast: Forecast | None,
    whose: Literal["worker", "shared"],
    used_mb: float | None,
    limit_mb: float | None,
    leak_mb_per_hour: float | None,
    seen_seconds: float | None,
) -> dict[str, Any] | None:
    """When a limit is reached: the forecast's range; while it has none, by the pace of a confirmed leak.

    Args:
        forecast: as the worker tells it; ``None`` while it tells nothing.
        whose: of the worker's own limit, or of the one that all share.
        used_mb: what is used now.
        limit_mb: the limit.
        leak_mb_per_hour: growth; ``None`` where no leak is confirmed: what grows for good reasons stops.
        seen_seconds: how long growth was watched; it is trusted twelve times as far ahead.
    """
    outlook: Outlook | None = None if forecast is None else getattr(forecast, whose)
    if outlook is not None and outlook.low_seconds is not None:
        return {"low_seconds": outlook.low_seconds, "high_seconds": _finite(outlook.high_seconds), "by": "forecast"}
    if used_mb is None or limit_mb is None or not leak_mb_per_hour or leak_mb_per_hour <= 0:
        return None
    seconds = max(0.0, limit_mb - used_mb) / leak_mb_per_hour * 3600
    if seconds > _AHEAD * (seen_seconds or 0.0):
        return None
    return {"low_seconds": seconds, "high_seconds": seconds, "by": "pace"}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _urgency(row: Mapping[str, Any]) -> tuple[Any, ...]:
    left = row["time_left"]
    return (
        row["silent_seconds"] is not None,
        math.inf if left is None else left["low_seconds"],
        -(row["used_percent"] or 0.0),
        -(row["rss_mb"] or 0.0),
        int(row["worker"]),
    )
