"""The details of one worker: breakdown of memory, types, garbage collection, and the cost of the profiler. Pure.

Each part has an answer in one sentence, for the closed fold, and a table for readers who open it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.config import Config
from memprof_middleware.model import MB, MemoryMetrics
from memprof_middleware.model.counts import STALE_INTERVALS
from memprof_middleware.model.urgency import ROUGH_SECONDS
from memprof_middleware.text.things import short_type
from memprof_middleware.text.words import DASH, clock, count, mib, several, signed, size
from memprof_middleware.web.state.series import BUCKETS, SPAN_SECONDS, last_life, part, rounded, thinned, value_at
from memprof_middleware.web.state.words import Parts, at, code, listed, marked, span, whole
from memprof_middleware.workers.timeline import Timeline

_TYPE_BUCKETS = 30
_HOUR = 3600.0
_LATE_SECONDS = 5.0  # what a busy machine may add
_RECENT_SECONDS = 2 * _HOUR
# The parts of memory: name, and name in the answer. The order is that of the columns of a row below.
_OWNERS = (
    ("Python objects", "Python objects"),
    ("Native memory in use, large Python objects", "native"),
    ("Free, kept by the allocator", "kept by the allocator"),
    ("Files (can be given back)", "files"),
    ("Shared memory", "shared"),
)
_COLUMNS = ("heap_used_mb", "native_in_use_mb", "native_retained_mb", "file_mb", "shared_mb")
_LEAST_CHANGE_MB = 1.0


def ledger(past: Timeline | None, begin: float | None, now: float) -> dict[str, Any] | None:
    """The breakdown of one worker's memory, with its growth; ``None`` without figures of the C library.

    Args:
        past: the timeline of the worker.
        begin: when the worst incident began; ``None``: there is none, so recent change is shown.
        now: the time.
    """
    if past is None:
        return None
    first = max(last_life(past.figure("pid")), bisect_left(past.times, now - SPAN_SECONDS))
    step = max(1, (len(past.times) - first) // BUCKETS)
    shown = slice(first + (len(past.times) - first - 1) % step, None, step)  # the last row is among them
    columns = zip(past.times[shown], *(past.figure(name)[shown] for name in _COLUMNS), strict=True)
    known = [row for row in columns if not any(map(math.isnan, row[:4]))]
    if len(known) < 2:
        return None
    parts = [_parts(*row) for row in known]
    since = begin if begin is not None else parts[-1][0] - _RECENT_SECONDS
    old = next((row for row in parts if row[0] >= since), parts[0])
    rows = [
        {
            "name": name,
            "mb": round(parts[-1][column], 3),
            "change_mb": round(parts[-1][column] - old[column], 3),
            "points": rounded([(row[0], row[column]) for row in parts]),
        }
        for column, (name, _) in enumerate(_OWNERS, start=1)
    ]
    rows = [row for row in rows if row["mb"] or row["change_mb"]]
    return {"since": round(old[0], 1), "answer": _where(rows, now, old[0]), "rows": rows}


def _where(rows: Sequence[Mapping[str, Any]], now: float, since: float) -> str:
    short = dict(_OWNERS)
    ordered = sorted(rows, key=lambda row: -row["mb"])
    changes = []
    for row in ordered:
        grown = f" ({signed(mib(row['change_mb']))})" if abs(row["change_mb"]) >= _LEAST_CHANGE_MB else ""
        changes.append(f"{short[row['name']]} {mib(row['mb'])}{grown}")
    moved = any("(" in words for words in changes)
    return ", ".join(changes) + (f" since {clock(since, now)} UTC" if moved else "")


def _parts(time: float, used: float, native: float, retained: float, *mapped: float) -> tuple[float, ...]:
    """The lines of :func:`memprof_middleware.analysis.breakdown.breakdown`, from a row of the timeline."""
    native = min(native, used)
    retained = min(retained, used - native)
    return time, used - native - retained, native, retained, *(0.0 if math.isnan(mb) else mb for mb in mapped)


def types(past: Timeline | None, states: Mapping[str, str], now: float) -> list[dict[str, Any]]:
    """Objects by type in one worker: leaking types first, then by growth over the last hour.

    Args:
        past: the timeline of the worker.
        states: of the types that leak.
        now: the time.
    """
    if past is None:
        return []
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


def types_answer(rows: Sequence[Mapping[str, Any]], objects: int | None) -> Parts:
    """The types that grew most in the last hour, in a sentence."""
    if not rows:
        return marked("not counted yet")
    total = "" if objects is None else f"; {count(objects)} objects in all"
    if all(len(row["points"]) < 2 for row in rows):
        return marked(f"counted once{total}")
    grown = [row for row in rows if row["change_hour"] > max(10, 0.02 * row["count"])][:3]
    if not grown:
        return marked(f"level{total}")
    changes = [f"{code(short_type(row['name']))} {signed(whole(row['change_hour']))}" for row in grown]
    return marked(f"{listed(changes)} in the last hour{total}")


def gc(metrics: MemoryMetrics, now: float) -> dict[str, Any] | None:
    """The garbage collections of one worker; ``None`` before its first snapshot."""
    snapshot = metrics.snapshot
    if snapshot is None:
        return None
    longest = milliseconds(snapshot.gc_pause_max_seconds)
    age = max(1.0, now - metrics.start_time)
    # A rate of one interval would make thousands an hour of a single collection.
    full = several(snapshot.gc_collections[-1], "full collection")
    return {
        "answer": f"{full} in {span(age)}, longest pause {longest}",
        "collections": list(snapshot.gc_collections),
        "full_per_hour": snapshot.gc_per_hour,
        "pause_seconds": snapshot.gc_pause_seconds,
        "pause_percent": 100 * snapshot.gc_pause_seconds / age,
        "longest_pause_seconds": snapshot.gc_pause_max_seconds,
        "frozen_objects": snapshot.frozen_objects,
    }


def cost(metrics: Sequence[MemoryMetrics], config: Config, now: float, about: Mapping[str, Any]) -> dict[str, Any]:
    """The cost of the profiler in the worker with the highest, and of this page in the answering one."""
    seen = [one.snapshot for one in metrics if one.snapshot is not None]
    lived = [(one.cpu_seconds, max(1.0, now - one.start_time)) for one in metrics]
    used = max(map(_share, lived), default=0.0)
    failures = sum(sum(one.failures.values()) for one in metrics)
    failed = f"; {several(failures, 'internal error')}: see the log" if failures else ""
    return {
        "answer": f"{_used(lived, config.cpu_budget)}{failed}",
        "cpu_percent": used,
        "cpu_budget_percent": config.cpu_budget,
        "snapshot_seconds": max((one.duration_seconds for one in seen), default=None),
        "count_cpu_seconds": max((one.census_cpu_seconds for one in seen), default=None),
        "count_pause_seconds": max((one.census_stall_seconds for one in seen), default=None),
        "pause_allowed_seconds": config.max_stall / 1000,
        "history_mb": max((one.history_bytes for one in metrics), default=0) / MB,
        "page_ms": about["page_ms"],
        "page_cpu_percent": about["page_cpu_percent"],
        "failures": failures,
    }


def _share(lived: tuple[float, float]) -> float:
    """Processor time in percent of the time lived."""
    used, age = lived
    return 100 * used / age


def _used(lived: Sequence[tuple[float, float]], budget: float) -> str:
    """What was used and over what time. The start costs more once, so a share of a short life says nothing."""
    used, age = max(lived, key=_share, default=(0.0, 1.0))
    figure = f"{100 * used / age:.2f} % of one core" if age >= ROUGH_SECONDS else f"{used:.2f} s of CPU time"
    return f"{figure} in {span(age)}, {budget:g} % of one core allowed in the long run"


def evidence_answer(bundles: Sequence[Mapping[str, Any]], metrics: Sequence[MemoryMetrics], now: float) -> str:
    """The number of evidence files and the newest one, in a sentence, and why others were not written.

    Args:
        bundles: the files of these workers, the newest first.
        metrics: the figures of every live worker.
        now: the time.
    """
    missing = []
    if refused := sum(one.evidence_refused for one in metrics):
        missing.append(f"{refused} not written: two were within the hour")
    if any(one.failures.get("evidence") for one in metrics):
        missing.append("writing one failed: see the log, and evidence_dir")
    if not bundles:
        return "; ".join(["none", *(missing or ["they are written when a leak is confirmed or memory is nearly full"])])
    newest = bundles[0]
    words = f"{len(bundles)}: {newest['why']} at {at(newest['time'], now)} ({size(newest['bytes'] / MB)})"
    return "; ".join([words, *missing])


def watching_answer(number: int, *, judged: bool) -> str:
    """The number of watched incidents, in a sentence.

    Args:
        number: how many.
        judged: there was a first verdict.
    """
    if not number:
        return "nothing grows below the limits" if judged else "too early to say"
    return f"{'thing grows' if number == 1 else 'things grow'} a little; no action needed"


def milliseconds(seconds: float | None) -> str:
    """``11 ms``, ``0.4 ms``."""
    if seconds is None:
        return DASH
    ms = 1000 * seconds
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def counts_age(row: Mapping[str, Any] | None, metrics: MemoryMetrics | None, config: Config) -> dict[str, Any] | None:
    """The age of a worker's counts and the reason for it, above two intervals.

    Args:
        row: the worker's.
        metrics: its figures.
        config: the interval, and the limits on the cost of a count.
    """
    age = None if row is None else row["counts_age_seconds"]
    if age is None or age <= STALE_INTERVALS * config.interval + _LATE_SECONDS:
        return None
    skipped = {} if metrics is None else metrics.census_skipped
    stall = None if metrics is None or metrics.snapshot is None else metrics.snapshot.census_stall_seconds
    why = ""
    if skipped.get("stall", 0) > skipped.get("budget", 0) and stall:
        allowed = f"{config.max_stall:g} ms allowed"
        why = f"a count would pause requests for {milliseconds(stall)} ({allowed}), so counts run less often"
    elif skipped.get("budget", 0):
        why = f"a count would exceed the CPU budget ({config.cpu_budget:g} % of one core), so counts run less often"
    return {"seconds": age, "why": why, "words": f"objects counted {span(age)} ago"}
