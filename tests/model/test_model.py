"""Values round-trip through JSON, and what is read is looked at before it is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memprof_middleware import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot
from memprof_middleware.model.clean import clean

numbers = st.floats(-1e18, 1e18)
moments = st.floats(0, 2e11)
texts = st.text().map(clean)
counts = st.integers(min_value=0, max_value=2**62)
maybe = st.none() | numbers
severities = st.sampled_from(["low", "medium", "high", "critical"])
tallies = st.dictionaries(texts, counts, max_size=5)

snapshots = st.builds(
    MemorySnapshot,
    timestamp=moments,
    pid=counts,
    heap_size_mb=maybe,
    heap_size_source=texts,
    heap_used_mb=maybe,
    rss_mb=maybe,
    vms_mb=maybe,
    file_mb=maybe,
    shared_mb=maybe,
    native_in_use_mb=maybe,
    native_retained_mb=maybe,
    allocated_blocks=st.none() | counts,
    requests=counts,
    in_flight=counts,
    total_objects=st.none() | counts,
    frozen_objects=counts,
    census_kind=st.sampled_from(["", "pure", "compiled"]),
    object_counts=tallies,
    gc_collections=st.tuples(counts, counts, counts),
    gc_per_hour=maybe,
    gc_pause_seconds=numbers,
    gc_pause_max_seconds=numbers,
    tracemalloc_current_mb=maybe,
    tracemalloc_peak_mb=maybe,
    duration_seconds=numbers,
)
leaks = st.builds(
    Leak,
    name=texts,
    kind=st.sampled_from(["objects", "container", "untracked", "native", "fragmentation"]),
    state=st.sampled_from(["suspected", "confirmed", "resolved"]),
    severity=severities,
    confidence=numbers,
    notable=st.booleans(),
    holder=texts,
    route=texts,
    evidence=st.lists(texts, max_size=3).map(tuple),
    also=st.lists(texts, max_size=3).map(tuple),
    first=counts,
    last=counts,
    growth_percent=numbers,
    growth_per_hour=numbers,
    growth_per_request=maybe,
    since=moments,
    detected_at=moments,
    snapshots=counts,
)
drifts = st.builds(
    DriftReport,
    baseline_timestamp=moments,
    timestamp=moments,
    heap_mb=maybe,
    heap_percent=maybe,
    objects=st.none() | counts,
    objects_percent=maybe,
    gc_per_hour=maybe,
    significant=st.booleans(),
    reasons=st.lists(texts).map(tuple),
)
alerts = st.builds(
    Alert,
    name=texts,
    severity=severities,
    message=texts,
    value=numbers,
    threshold=numbers,
    since=moments,
    timestamp=moments,
    subject=texts,
    active=st.booleans(),
)
metrics = st.builds(
    MemoryMetrics,
    worker=st.integers(0, 1023).map(str),
    pid=counts,
    start_time=moments,
    snapshot=st.none() | snapshots,
    leaks=st.lists(leaks, max_size=3).map(tuple),
    drift=st.none() | drifts,
    leak_detections=tallies,
    snapshots_taken=counts,
    requests=counts,
    failures=tallies,
    cpu_seconds=numbers,
)


@given(value=snapshots | leaks | drifts | alerts | metrics)
def test_values_round_trip_through_json(value: Any) -> None:
    """What ``to_dict`` writes, ``from_dict`` reads back to an equal value, nested values included."""
    text = json.dumps(value.to_dict(), allow_nan=False)
    assert type(value).from_dict(json.loads(text)) == value


def test_keys_of_later_versions_are_ignored() -> None:
    """A file that a later version wrote can be read."""
    snapshot = MemorySnapshot(timestamp=1.0, pid=2)
    assert MemorySnapshot.from_dict({**snapshot.to_dict(), "colour": "red"}) == snapshot


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": None}, "timestamp"),
        ({"pid": 1.5}, "pid"),
        ({"pid": True}, "pid"),
        ({"heap_used_mb": "12"}, "heap_used_mb"),
        ({"object_counts": [1]}, "object_counts"),
        ({"object_counts": {"a": "b"}}, "object_counts"),
        ({"gc_collections": 3}, "gc_collections"),
        ({"gc_collections": ["a"]}, "gc_collections"),
    ],
)
def test_wrong_types_are_refused(change: dict[str, object], word: str) -> None:
    """A value of the wrong type is found when it is read, not when somebody calculates with it; it is not shown."""
    data = {**MemorySnapshot(timestamp=1.0, pid=2).to_dict(), **change}
    with pytest.raises(ValueError, match=rf"MemorySnapshot: {word} is of type"):
        MemorySnapshot.from_dict(data)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": float("nan")},
        {"timestamp": float("inf")},
        {"timestamp": 1e300},
        {"timestamp": 10**400},
        {"heap_used_mb": -(10**400)},
        {"pid": 10**400},
        {"object_counts": {"a": 2**64}},
        {"census_stride": 0},
        {"gc_collections": [1, 2]},
    ],
)
def test_numbers_of_no_use_are_refused(change: dict[str, object]) -> None:
    """A number that no metric can hold, or that somebody would divide by, is found when it is read."""
    data = {**MemorySnapshot(timestamp=1.0, pid=2).to_dict(), **change}
    with pytest.raises(ValueError, match=rf"MemorySnapshot: {next(iter(change))} is out of range"):
        MemorySnapshot.from_dict(data)


@pytest.mark.parametrize("worker", ["", "x", "-1", "1.5", "\u00b2", "\u0663", "1" * 400])
def test_a_worker_is_the_number_of_its_slot(worker: str) -> None:
    """Workers are ordered by number: what is none is refused when it is read."""
    with pytest.raises(ValueError, match="worker is out of range"):
        MemoryMetrics.from_dict({"worker": worker, "pid": 1, "start_time": 1.0})


def test_text_that_is_read_is_clean() -> None:
    """What other processes wrote can forge no line, and can be written as UTF-8."""
    data = {"timestamp": 1.0, "pid": 2, "object_counts": {"a\n\x1b[2J\ud800": 3}, "heap_size_source": "x\u202e"}
    found = MemorySnapshot.from_dict(data)
    assert found.object_counts == {"a??[2J?": 3}
    assert found.heap_size_source == "x?"


@pytest.mark.parametrize("data", [{}, {"pid": 1}, [], [1], "timestamp", None, 5])
def test_wrong_shapes_are_refused(data: Any) -> None:
    """What is no mapping, or lacks a field that has no default, is refused with one kind of error."""
    with pytest.raises(ValueError, match="MemorySnapshot"):
        MemorySnapshot.from_dict(data)


def test_unknown_severities_are_refused() -> None:
    """A severity is one of the four."""
    leak = Leak(
        name="a.B",
        severity="low",
        first=1,
        last=2,
        growth_percent=3,
        growth_per_hour=4,
        since=5,
        detected_at=6,
        snapshots=7,
    )
    assert leak.growth == 1
    with pytest.raises(ValueError, match="severity"):
        Leak.from_dict({**leak.to_dict(), "severity": "dire"})


@pytest.mark.parametrize(
    ("used", "size", "percent"),
    [(50.0, 200.0, 25.0), (None, 200.0, None), (50.0, None, None), (50.0, 0.0, None), (0.0, 200.0, 0.0)],
)
def test_heap_percent(used: float | None, size: float | None, percent: float | None) -> None:
    """Percent is used over size, and unknown when one of them is."""
    snapshot = MemorySnapshot(timestamp=1.0, pid=2, heap_used_mb=used, heap_size_mb=size)
    assert snapshot.heap_percent == percent
