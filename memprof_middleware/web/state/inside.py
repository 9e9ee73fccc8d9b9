"""The inside of one worker: where its memory is, which types live in it, what its collector and the profiler do."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model import MB, MemoryMetrics
from memprof_middleware.web.state.incidents import beginning, is_open
from memprof_middleware.web.state.series import BUCKETS, SPAN_SECONDS, last_life, part, rounded, thinned, value_at
from memprof_middleware.workers.track import Track

_TYPE_BUCKETS = 30
_HOUR = 3600.0
_RECENT_SECONDS = 2 * _HOUR
# What the ledger says of growth, by where most of it is; it says so from this much on.
_LEVEL_MB, _LEVEL_SHARE = 4.0, 0.05
_LEDGER = {
    "Python objects, stacks": "growth is Python objects, not native memory",
    "native in use, large Python objects": "growth is large objects, buffers or native code",
    "retained by the allocator": "growth is freed memory that the allocator keeps",
    "files": "growth is pages of files, which the system can take back",
    "shared": "growth is shared memory",
}


def ledger(past: Track | None, leaks: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any] | None:
    """Where one worker's memory is, and where its growth is; ``None`` where the C library tells nothing."""
    if past is None:
        return None
    first = max(last_life(past.figure("pid")), bisect_left(past.times, now - SPAN_SECONDS))
    step = max(1, (len(past.times) - first) // BUCKETS)
    shown = slice(first + (len(past.times) - first - 1) % step, None, step)  # the last row is among them
    names = ("heap_used_mb", "native_in_use_mb", "native_retained_mb", "file_mb", "shared_mb")
    columns = zip(past.times[shown], *(past.figure(name)[shown] for name in names), strict=True)
    known = [row for row in columns if not any(map(math.isnan, row[:4]))]
    if len(known) < 2:
        return None
    parts = [_parts(*row) for row in known]
    # What grew while a program warmed up is no news: since the leak began, or of late.
    begin = leaks[0]["since"] if any(map(is_open, leaks[:1])) else parts[-1][0] - _RECENT_SECONDS
    old = next((row for row in parts if row[0] >= begin), parts[0])
    growth = {name: parts[-1][index] - old[index] for index, name in enumerate(_LEDGER, start=1)}
    most = max(growth, key=lambda name: growth[name])
    grows = sum(growth.values()) >= max(_LEVEL_MB, _LEVEL_SHARE * sum(old[1:]))
    return {
        "answer": _LEDGER[most] if grows else "it is level",
        "names": list(_LEDGER),
        "points": rounded(parts),
        "marks": beginning(leaks, parts[0][0], now),
    }


def _parts(time: float, used: float, native: float, retained: float, *mapped: float) -> tuple[float, ...]:
    """The lines of :func:`memprof_middleware.analysis.ledger.ledger`, which add up, from a row of the past."""
    native = min(native, used)
    retained = min(retained, used - native)
    return time, used - native - retained, native, retained, *(0.0 if math.isnan(mb) else mb for mb in mapped)


def types(past: Track | None, leaks: Sequence[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """Objects by type in one worker: what leaks first, then by growth over the last hour."""
    if past is None:
        return []
    states = {leak["name"]: leak["state"] for leak in leaks if leak["kind"] == "objects" and is_open(leak)}
    first = last_life(past.figure("pid"))
    found = []
    for name, counts in past.types.items():
        points = part(past.times, counts, now - SPAN_SECONDS, first)
        if points.times and points.values[-1]:
            last = points.values[-1]
            before = value_at(points, points.times[-1] - _HOUR)
            found.append(
                {
                    "name": name,
                    "state": states.get(name, ""),
                    "count": int(last),
                    "change_hour": int(last - (points.values[0] if before is None else before)),
                    "points": rounded(thinned(points, _TYPE_BUCKETS), 0),
                }
            )
    return sorted(found, key=lambda row: (row["state"] == "", -row["change_hour"], -row["count"]))


def gc(metrics: MemoryMetrics) -> dict[str, Any] | None:
    """What the garbage collector of one worker did; ``None`` before its first snapshot."""
    snapshot = metrics.snapshot
    if snapshot is None:
        return None
    return {
        "collections": list(snapshot.gc_collections),
        "full_per_hour": snapshot.gc_per_hour,
        "pause_seconds": snapshot.gc_pause_seconds,
        "longest_pause_seconds": snapshot.gc_pause_max_seconds,
        "frozen_objects": snapshot.frozen_objects,
    }


def cost(metrics: Sequence[MemoryMetrics], now: float, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the profiler uses in the worker that is dearest, and what this page does in the one that answers."""
    seen = [one for one in metrics if one.snapshot is not None]
    lived = [(one.cpu_seconds, max(1.0, now - one.start_time)) for one in metrics]
    return {
        "cpu_percent": max((100 * used / age for used, age in lived), default=0.0),
        "snapshot_seconds": max((one.snapshot.duration_seconds for one in seen if one.snapshot), default=None),
        "census_cpu_seconds": max((one.snapshot.census_cpu_seconds for one in seen if one.snapshot), default=None),
        "census_stall_seconds": max((one.snapshot.census_stall_seconds for one in seen if one.snapshot), default=None),
        "history_mb": max((one.history_bytes for one in metrics), default=0) / MB,
        "page_ms": about["page_ms"],
        "page_cpu_percent": about["page_cpu_percent"],
        "failures": sum(sum(one.failures.values()) for one in metrics),
    }
