"""Drift from a baseline: the limits at their edges."""

from __future__ import annotations

from typing import Any

import pytest

from memprof_middleware import MemorySnapshot
from memprof_middleware.analysis.baseline import drift


def snapshot(timestamp: float = 1.0, **values: Any) -> MemorySnapshot:
    return MemorySnapshot(timestamp=timestamp, pid=1, **values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"heap_used_mb": 120.0}, None),
        ({"heap_used_mb": 120.01}, "heap"),
        ({"total_objects": 13_000}, None),
        ({"total_objects": 13_001}, "objects"),
        ({"gc_per_hour": 15.0}, None),
        ({"gc_per_hour": 15.01}, "full collections"),
        ({"heap_used_mb": 10.0, "total_objects": 10, "gc_per_hour": 0.0}, None),
    ],
)
def test_limits_are_exact(values: dict[str, float], reason: str | None) -> None:
    """Heap above 20 %, objects above 30 %, collections above 10 an hour; shrinking is never significant."""
    baseline = {"heap_used_mb": 100.0, "total_objects": 10_000, "gc_per_hour": 5.0}
    report = drift(snapshot(**baseline), snapshot(2.0, **baseline | values))
    assert report.significant is (reason is not None)
    assert [text.split(" +")[0] for text in report.reasons] == ([] if reason is None else [reason])


def test_figures() -> None:
    """Changes are told in their own unit and in percent of the baseline, with both times."""
    report = drift(
        snapshot(1.0, heap_used_mb=200.0, total_objects=1000, gc_per_hour=2.0),
        snapshot(9.0, heap_used_mb=150.0, total_objects=1500, gc_per_hour=20.0),
    )
    assert (report.heap_mb, report.heap_percent) == (-50.0, -25.0)
    assert (report.objects, report.objects_percent, report.gc_per_hour) == (500, 50.0, 18.0)
    assert (report.baseline_timestamp, report.timestamp) == (1.0, 9.0)
    assert report.reasons == ("objects +50 %, above 30 %", "full collections +18 per hour, above 10 per hour")


def test_what_was_not_measured_is_unknown() -> None:
    """A figure that one side lacks is ``None``, and no reason."""
    report = drift(snapshot(heap_used_mb=1.0), snapshot(2.0, total_objects=5))
    assert (report.heap_mb, report.objects, report.gc_per_hour, report.significant) == (None, None, None, False)


def test_a_baseline_of_nothing_has_no_percentage() -> None:
    """Growth from zero is told in its own unit only."""
    report = drift(snapshot(heap_used_mb=0.0, total_objects=0), snapshot(2.0, heap_used_mb=5.0, total_objects=5))
    assert (report.heap_mb, report.heap_percent, report.objects, report.objects_percent) == (5.0, None, 5, None)
