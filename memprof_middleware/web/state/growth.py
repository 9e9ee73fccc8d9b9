"""The growth of a leak over time, with its fitted line and the expected time of the limit. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from memprof_middleware.analysis.median import median
from memprof_middleware.model import MB, Leak
from memprof_middleware.text.headline import memory
from memprof_middleware.text.things import short_type
from memprof_middleware.text.words import figure, signed, size
from memprof_middleware.web.state.limits import middle
from memprof_middleware.web.state.series import (
    BUCKETS,
    SPAN_SECONDS,
    Series,
    last_life,
    part,
    per_hour,
    rounded,
    thinned,
)
from memprof_middleware.web.state.words import Parts, code, marked, whole
from memprof_middleware.workers.timeline import Timeline

# The picture extends to the limit if that is nearer than this many times the time watched.
_AHEAD = 4.0
# It begins before the leak by this share of the time since.
_BEFORE = 0.1
# A moment by arithmetic is uncertain by this share of the time until then.
_WIDTH = 0.1
_FIT_POINTS = 40
_MOST = 0.5
_LEAST_POINTS = 3
_FIGURES = {"native": "native_in_use_mb", "fragmentation": "native_retained_mb"}
_NAMES = {
    "native_in_use_mb": "Native memory in use",
    "native_retained_mb": "Free, kept by the allocator",
    "heap_used_mb": "Memory in use",
}


def growth(leak: Leak, past: Timeline | None, limit: Mapping[str, Any], pid: int | None, now: float) -> dict[str, Any]:
    """``series``, ``fit`` and ``hit`` of an incident; each ``None`` where it cannot be drawn.

    Args:
        leak: the leak.
        past: the timeline of the worker that has it worst.
        limit: when its limit is reached.
        pid: that worker.
        now: the time.
    """
    nothing: dict[str, Any] = {"series": None, "fit": None, "hit": None}
    chosen = None if past is None else _chosen(leak, past, now)
    if chosen is None:
        return nothing
    name, in_mb, counted, points = chosen
    fit = _fit(leak, points, in_mb=in_mb, named=counted) if leak.state != "resolved" else None
    ends = (points.values[0], points.values[-1])
    write = size if in_mb else whole
    return {
        "series": {
            "name": name,
            "unit": "MB" if in_mb else "objects",
            "pid": pid,
            "points": rounded(thinned(points, BUCKETS)),
            "first": write(ends[0]),
            "last": write(ends[1]),
        },
        "fit": fit,
        "hit": _hit(limit, points, now) if fit is not None else None,
    }


def _chosen(leak: Leak, past: Timeline, now: float) -> tuple[Parts, bool, bool, Series] | None:
    """What the headline names, where its past is kept; else what grows with it; else memory in use.

    With its words: whether it is memory, whether it is what the headline names, and its past.
    """
    first = last_life(past.figure("pid"))
    begin = max(now - SPAN_SECONDS, leak.since - _BEFORE * max(0.0, now - leak.since))
    if leak.kind in {"objects", "container"}:
        for name in (leak.name, *leak.also):
            points = _known(past, past.types.get(name), begin, first)
            if points is not None:
                return marked(f"{code(short_type(name))} objects"), False, name == leak.name, points
    figure = _FIGURES.get(leak.kind, "heap_used_mb")
    for name in (figure, "heap_used_mb"):
        points = _known(past, past.figure(name), begin, first)
        if points is not None:
            return marked(_NAMES[name]), True, False, points
    return None


def _known(past: Timeline, values: array[float] | None, begin: float, first: int) -> Series | None:
    if values is None:
        return None
    points = part(past.times, values, begin, first)
    return points if len(points.times) >= _LEAST_POINTS else None


def _fit(leak: Leak, points: Series, *, in_mb: bool, named: bool) -> dict[str, Any] | None:
    """The line through the growth: its slope is the median of many, and it goes through the middle."""
    grown = part(points.times, points.values, leak.since)
    slope = per_hour(grown)
    if slope is None or slope <= 0:
        return None
    step = 1 + len(grown.times) // _FIT_POINTS
    each = slope / 3600
    pairs = list(zip(grown.times[::step], grown.values[::step], strict=True))
    base = median([value - each * (time - grown.times[0]) for time, value in pairs])
    begin, end = grown.times[0], grown.times[-1]
    # The headline's own figure: two that differ a little are one too many. Of all memory, too, if most of it leaks.
    if in_mb:
        own = leak.bytes_per_hour / MB
        told = memory(MB * (own if _MOST * slope <= own <= slope / _MOST else slope))
    else:
        told = _hourly(leak.growth_per_hour if named else slope)
    return {
        "t0": begin,
        "v0": round(base, 3),
        "t1": end,
        "v1": round(base + each * (end - begin), 3),
        "words": f"{signed(told)} an hour",
    }


def _hourly(value: float) -> str:
    return figure(value, 2) if value < 10 else whole(value)


def _hit(limit: Mapping[str, Any], points: Series, now: float) -> dict[str, float] | None:
    low, high = limit["seconds_low"], limit["seconds_high"]
    watched = points.times[-1] - points.times[0]
    if low is None or not 0 < middle(limit) < _AHEAD * watched:
        return None
    high = 1.5 * low if high is None else high
    if high - low < _WIDTH * low:
        centre = (low + high) / 2
        low, high = (1 - _WIDTH / 2) * centre, (1 + _WIDTH / 2) * centre
    return {"low": round(now + low, 1), "high": round(now + high, 1)}
