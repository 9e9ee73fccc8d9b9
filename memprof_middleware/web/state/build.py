"""Everything that the page shows, as one JSON-ready value: what ``api/state.json`` gives and the page is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.web.state.fleet import time_left, workers
from memprof_middleware.web.state.incidents import beginning, incidents, is_open
from memprof_middleware.web.state.inside import cost, gc, ledger, types
from memprof_middleware.web.state.series import (
    BUCKETS,
    SPAN_SECONDS,
    Point,
    Series,
    band,
    births,
    part,
    rounded,
    thinned,
)
from memprof_middleware.web.state.verdict import verdict
from memprof_middleware.workers.track import Track

SCHEMA = 1
"""Grows when a field is renamed, removed or comes to mean something else; new fields alone do not change it."""

# The figures of every worker's past that a state needs; of one worker all are asked for.
NEEDED = ("pid", "rss_mb", "heap_used_mb")
_BAND_BUCKETS = 80
_MOST_LINES, _WORST_LINES = 8, 3


def build_state(
    metrics: Sequence[MemoryMetrics],
    tracks: Mapping[str, Track],
    detail: Callable[[str], Track | None],
    config: Config,
    alerts: Sequence[Alert] = (),
    *,
    now: float,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The state, as docs/page.md describes it and ``state.schema.json`` beside this module defines it.

    Args:
        metrics: the figures of every live worker.
        tracks: the past of every worker, by worker, with the figures in :data:`NEEDED`; those of workers that have
            ended may be among them.
        detail: gives all that is known of one worker's past.
        config: the settings of the worker that answers.
        alerts: the conditions that hold in the worker that answers.
        now: the time, in seconds since the epoch.
        about: what else is known: ``host``, ``version``, ``page_ms``, ``page_cpu_percent``, ``actions``, ``bundles``.
    """
    rows = workers(metrics, tracks, config, now)
    leaks = incidents(metrics)
    shared = _shared(metrics, rows, leaks)
    started = min((one.start_time for one in metrics), default=now)
    focus = _focus(rows, leaks)
    past = detail(focus["worker"]) if focus else None
    told = next((one for one in metrics if focus and one.worker == focus["worker"]), None)
    about = {"host": "", "version": "", "actions": [], "bundles": [], "page_ms": None, "page_cpu_percent": None} | {
        **(about or {})
    }
    return {
        "schema": SCHEMA,
        "version": about["version"],
        "host": about["host"],
        "now": round(now, 3),
        "started": round(started, 3),
        "interval_seconds": config.interval,
        "answering": next((row["pid"] for row in rows if row["answering"]), None),
        "actions": list(about["actions"]),
        "verdict": verdict(rows, leaks, shared, config, now, started),
        "workers": rows,
        "shared": shared,
        "timeline": _timeline(rows, tracks, leaks, shared, started, now),
        "leaks": leaks,
        "alerts": [alert.to_dict() for alert in alerts],
        "focus": focus and {"worker": focus["worker"], "pid": focus["pid"]},
        "ledger": ledger(past, leaks, now),
        "types": types(past, leaks, now),
        "bundles": list(about["bundles"]),
        "gc": told and gc(told),
        "cost": cost(metrics, now, about),
    }


def _shared(
    metrics: Sequence[MemoryMetrics], rows: Sequence[Mapping[str, Any]], leaks: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    found = shared_memory([one.snapshot for one in metrics if one.snapshot])
    if found is None:
        return None
    forecast = next((one.forecast for one in metrics if one.forecast and one.forecast.shared), None)
    confirmed = any(leak["state"] == "confirmed" for leak in leaks)
    growth = sum(row["growth_mb_per_hour"] or 0.0 for row in rows if row["live"])
    seen = max((row["growth_seen_seconds"] or 0.0 for row in rows), default=0.0)
    return {
        "used_mb": found.used_mb,
        "size_mb": found.size_mb,
        "percent": found.percent,
        "contained": found.contained,
        "time_left": time_left(forecast, "shared", found.used_mb, found.size_mb, growth if confirmed else None, seen),
    }


def _focus(rows: Sequence[Mapping[str, Any]], leaks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The worker whose inside is shown: of those with the worst leak the first to end, else the first of all."""
    having = leaks[0]["workers"] if leaks and is_open(leaks[0]) else []
    live = [row for row in rows if row["live"]]
    return next((row for row in live if row["worker"] in having), live[0] if live else None)


def _timeline(
    rows: Sequence[Mapping[str, Any]],
    tracks: Mapping[str, Track],
    leaks: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None,
    started: float,
    now: float,
) -> dict[str, Any]:
    """Resident memory of every worker; of many workers, the worst ones and a band around the others."""
    begin = now - SPAN_SECONDS
    points = {worker: part(track.times, track.figure("rss_mb"), begin) for worker, track in tracks.items()}
    shown = [row for row in rows if row["worker"] in points and points[row["worker"]].times]
    lines, others = shown, list[Mapping[str, Any]]()
    if len(shown) > _MOST_LINES:
        lines, others = shown[:_WORST_LINES], shown[_WORST_LINES:]
    start = min((points[row["worker"]].times[0] for row in shown), default=now)
    series = [
        {
            "name": f"worker {row['pid']}",
            "worker": row["worker"],
            "points": rounded(_line(row, points[row["worker"]], tracks[row["worker"]])),
        }
        for row in lines
    ]
    marks = [{"time": started, "text": "started", "kind": "start"}] if start + 60 < started <= now else []
    limits = [row["limit_mb"] for row in rows if row["limit_mb"]]
    return {
        "start": round(start, 1),
        "end": round(max(now, start + 1.0), 1),
        "limit_mb": min(limits, default=None if shared is None else shared["size_mb"]),
        "series": series,
        "band": {
            "name": f"{len(others)} others, lowest to highest",
            "points": rounded(band([points[row["worker"]] for row in others], start, now, _BAND_BUCKETS)),
        },
        "marks": [*marks, *beginning(leaks, start, now)],
    }


def _line(row: Mapping[str, Any], points: Series, track: Track) -> list[Point]:
    found = thinned(points, BUCKETS, births(track.times, track.figure("pid")))
    return found if row["live"] else [*found, (found[-1][0] + 1.0, None)]
