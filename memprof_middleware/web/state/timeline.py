"""Memory in use over time: a line for each worker; of many workers, a band and the outliers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model.urgency import ROUGH_SECONDS
from memprof_middleware.text.words import several
from memprof_middleware.web.state.fleet import FEW, is_level
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
from memprof_middleware.workers.timeline import Timeline

_BAND_BUCKETS = 80
_WORST_LINES = 3
_FIGURE = "heap_used_mb"


def timeline(
    rows: Sequence[Mapping[str, Any]],
    timelines: Mapping[str, Timeline],
    shared: Mapping[str, Any] | None,
    limit_mb: float | None,
    now: float,
) -> dict[str, Any]:
    """The lines, the band, the limit, and a sentence about them.

    Args:
        rows: the workers, the first to reach its limit on top.
        timelines: the timeline of every worker.
        shared: the memory in use of all workers together, as ``name`` and ``points``, if that is nearly full;
            ``None``: the workers are shown.
        limit_mb: of what is shown.
        now: the time.
    """
    if shared is not None:
        start = min((point[0] for point in shared["points"]), default=now)
        lines = [{"name": shared["name"], "worker": "", "pid": None, "outlier": False, "points": shared["points"]}]
        return _picture(start, now, limit_mb, lines, [], "", "All workers together.")
    begin = now - SPAN_SECONDS
    points = {worker: part(timeline.times, timeline.figure(_FIGURE), begin) for worker, timeline in timelines.items()}
    shown = [row for row in rows if row["worker"] in points and points[row["worker"]].times]
    alone, others = shown, list[Mapping[str, Any]]()
    if len(shown) > FEW:
        alone = [row for row in shown if row["outlier"] and row["age_seconds"] is None][:_WORST_LINES]
        others = [row for row in shown if row not in alone]
    start = min((points[row["worker"]].times[0] for row in shown), default=now)
    lines = [
        {
            "name": str(row["pid"]),
            "worker": row["worker"],
            "pid": row["pid"],
            "outlier": bool(row["outlier"]) and len(shown) > 1,
            "points": rounded(_line(row, points[row["worker"]], timelines[row["worker"]])),
        }
        for row in alone
    ]
    wide = rounded(band([points[row["worker"]] for row in others], start, now, _BAND_BUCKETS))
    name = f"the other {len(others)}" if alone else several(len(others), "worker")
    return _picture(start, now, limit_mb, lines, wide, name if others else "", _sentence(rows))


def _picture(
    start: float,
    now: float,
    limit_mb: float | None,
    lines: Sequence[Mapping[str, Any]],
    wide: Sequence[Sequence[float | None]],
    name: str,
    sentence: str,
) -> dict[str, Any]:
    return {
        "start": round(start, 1),
        "end": round(max(now, start + 1.0), 1),
        "limit_mb": limit_mb,
        "sentence": sentence,
        "series": list(lines),
        "band": {"name": name, "points": list(wide)},
    }


def _sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    live = [row for row in rows if row["live"] and row["growth_mb_per_hour"] is not None]
    if not live:
        return "Since the start."
    if all((row["growth_seen_seconds"] or 0.0) < ROUGH_SECONDS for row in live):
        return "Since the start."
    growing = [row for row in live if not is_level(row) and row["growth_mb_per_hour"] > 0]
    level = [row for row in live if is_level(row)]
    if len(live) == 1:
        return "It grows." if growing else "It is level." if level else "It shrinks."
    all_ = "Both" if len(live) == 2 else f"All {len(live)}"
    if len(growing) == len(live):
        return f"{all_} workers grow."
    if len(level) == len(live):
        return f"{all_} workers are level."
    grows = f"{len(growing)} {'worker grows' if len(growing) == 1 else 'workers grow'}"
    rest = len(live) - len(growing)
    return f"{grows}, {rest} {'does' if rest == 1 else 'do'} not." if growing else "No worker grows."


def _line(row: Mapping[str, Any], points: Series, timeline: Timeline) -> list[Point]:
    found = thinned(points, BUCKETS, births(timeline.times, timeline.figure("pid")))
    return found if row["live"] else [*found, (found[-1][0] + 1.0, None)]
