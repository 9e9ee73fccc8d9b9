"""The figures of a state without incidents: memory in use, growth, time to the limit, and the highest. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model.urgency import ROUGH_SECONDS
from memprof_middleware.text.words import clock, hourly, mib, several
from memprof_middleware.web.state.fleet import is_level
from memprof_middleware.web.state.limits import StateContext
from memprof_middleware.web.state.series import SPAN_SECONDS, part
from memprof_middleware.web.state.words import at, of_limit, span, whole
from memprof_middleware.workers.timeline import Timeline


def overview(
    rows: Sequence[Mapping[str, Any]],
    limits: Sequence[Mapping[str, Any]],
    first: Mapping[str, Any] | None,
    timelines: Mapping[str, Timeline],
    context: StateContext,
    started: float,
) -> list[dict[str, str]]:
    """The figures, each with name, value and note.

    Args:
        rows: the workers.
        limits: every limit, the shared one among them.
        first: the limit that the status is about; ``None``: of none.
        timelines: the timeline of every worker.
        context: the settings and the time.
        started: when the oldest worker began to be watched.
    """
    live = [row for row in rows if row["live"] and row["used_mb"] is not None]
    fullest = max(live, key=lambda row: row["used_mb"], default=None)
    requests = sum(row["requests"] for row in rows if row["live"])
    nearest = first or next((one for one in limits if fullest is not None and one["pid"] == fullest["pid"]), None)
    if fullest is None or nearest is None:
        later = "too early to say"
        pairs = [_pair("Memory in use", later), _pair("Memory limit reached", later)]
        return [*pairs, _requests(requests, started, context)]
    early = context.verdict_at is not None
    pairs = [_used(nearest, fullest, context), _growth(live, early=early)]
    pairs.append(_pair("Memory limit reached", nearest["words"], nearest["note"].replace("`", "")))
    if early:
        pairs.append(_requests(requests, started, context))
    elif nearest["pid"] is None:
        pairs.append(_pair("Largest worker", mib(fullest["used_mb"]), f"worker {fullest['pid']}"))
    else:
        pairs.append(_highest(rows, timelines, context))
    return pairs


def _used(nearest: Mapping[str, Any], fullest: Mapping[str, Any], context: StateContext) -> dict[str, str]:
    names = {"container": "Container", "workers": "All workers together"}
    many = context.workers > 1
    name = names.get(nearest["subject"], "Most memory in use" if many else "Memory in use")
    notes = [] if nearest["percent"] is None else [_share(nearest["percent"])]
    if nearest["pid"] is None and many:
        notes.append(f"{several(context.workers, 'worker')} together")
    elif many:
        notes.append(f"worker {fullest['pid']}")
    return _pair(name, of_limit(nearest["used_mb"], nearest["limit_mb"]), ", ".join(notes))


def _growth(live: Sequence[Mapping[str, Any]], *, early: bool) -> dict[str, str]:
    known = [row for row in live if row["growth_mb_per_hour"] is not None]
    if early or not known:
        return _pair("Growth", "too early to say", "growth during warm-up is normal")
    most = max(known, key=lambda row: row["growth_mb_per_hour"])
    note = "within the usual variation" if is_level(most) else f"worker {most['pid']}"
    mb, seen = most["growth_mb_per_hour"], most["growth_seen_seconds"] or 0.0
    if seen < ROUGH_SECONDS:
        return _pair("Growth", f"{hourly(mb * seen / 3600)} in {span(seen)}", note)
    return _pair(f"Growth, last {span(seen)}", f"{hourly(mb)} an hour", note)


def _highest(
    rows: Sequence[Mapping[str, Any]], timelines: Mapping[str, Timeline], context: StateContext
) -> dict[str, str]:
    found = (-math.inf, 0.0, 0.0)
    for timeline in timelines.values():
        points = part(timeline.times, timeline.figure("heap_used_mb"), context.now - SPAN_SECONDS)
        if points.times:
            top = max(points.values)
            found = max(found, (top, points.times[points.values.index(top)], points.times[0]))
    top, when, begin = found
    if not math.isfinite(top):
        return _pair("Highest", "too early to say")
    size_mb = next((row["limit_mb"] for row in rows if row["limit_mb"]), None)
    share = f"{_share(100 * top / size_mb)} of a worker's limit, " if size_mb else ""
    return _pair(f"Highest in {span(context.now - begin)}", mib(top), f"{share}{at(when, context.now)}")


def _requests(requests: int, started: float, context: StateContext) -> dict[str, str]:
    note = (
        f"since {clock(started, context.now)} UTC"
        if requests
        else "none yet: a leak that requests cause shows only under load"
    )
    return _pair("Requests", whole(requests), note)


def _share(percent: float) -> str:
    return f"{percent:.1f} %" if percent < 1 else f"{percent:.0f} %"


def _pair(name: str, value: str, note: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "note": note}
