"""How far a process has drifted from its baseline."""

from __future__ import annotations

from memprof_middleware.model import DriftReport, MemorySnapshot

# The contract's limits: percent of heap, percent of objects, full collections per hour.
HEAP_PERCENT = 20.0
OBJECTS_PERCENT = 30.0
GC_PER_HOUR = 10.0


def drift(baseline: MemorySnapshot, snapshot: MemorySnapshot) -> DriftReport:
    """Compare a snapshot with the baseline. Growth beyond a limit is significant; shrinking never is."""
    heap, heap_percent = _change(baseline.heap_used_mb, snapshot.heap_used_mb)
    objects, objects_percent = _change(baseline.total_objects, snapshot.total_objects)
    gc_per_hour, _ = _change(baseline.gc_per_hour, snapshot.gc_per_hour)
    reasons = [
        f"{what} {value:+.0f}{unit}, above {limit:.0f}{unit}"
        for what, value, limit, unit in (
            ("heap", heap_percent, HEAP_PERCENT, " %"),
            ("objects", objects_percent, OBJECTS_PERCENT, " %"),
            ("full collections", gc_per_hour, GC_PER_HOUR, " per hour"),
        )
        if value is not None and value > limit
    ]
    return DriftReport(
        baseline_timestamp=baseline.timestamp,
        timestamp=snapshot.timestamp,
        heap_mb=heap,
        heap_percent=heap_percent,
        objects=None if objects is None else int(objects),
        objects_percent=objects_percent,
        gc_per_hour=gc_per_hour,
        significant=bool(reasons),
        reasons=tuple(reasons),
    )


def _change(before: float | None, after: float | None) -> tuple[float | None, float | None]:
    """The difference, and the same in percent of what was before."""
    if before is None or after is None:
        return None, None
    return after - before, 100.0 * (after - before) / before if before else None
