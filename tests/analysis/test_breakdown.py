"""The breakdown of resident memory adds up and names the line that grew."""

from __future__ import annotations

import dataclasses

import pytest

from memprof_middleware import MemorySnapshot
from memprof_middleware.analysis.breakdown import breakdown, changes, growth_sentence

NOW = MemorySnapshot(
    timestamp=0.0,
    pid=1,
    heap_used_mb=100.0,
    rss_mb=130.0,
    file_mb=25.0,
    shared_mb=5.0,
    native_in_use_mb=30.0,
    native_retained_mb=10.0,
    allocated_blocks=500_000,
    total_objects=200_000,
)


def test_the_lines_add_up_to_resident_memory() -> None:
    """Native in use, retained, Python's own, files and shared memory are all there is."""
    lines = {line.name: line.mb for line in breakdown(NOW)}
    assert sum(lines.values()) == NOW.rss_mb
    assert lines["free, kept by the allocator"] == 10
    assert lines["Python objects, stacks"] == 60


def test_no_line_is_negative() -> None:
    """What was trimmed is still counted by the allocator, and swapped memory is in use: no line goes below zero."""
    odd = dataclasses.replace(NOW, native_in_use_mb=120.0, native_retained_mb=50.0)
    assert all(line.mb >= 0 for line in breakdown(odd))


def test_another_allocator_tells_less() -> None:
    """Where the C library's figures mean nothing, anonymous memory is one line."""
    other = dataclasses.replace(NOW, native_in_use_mb=None, native_retained_mb=None)
    assert [line.name for line in breakdown(other)] == ["Python and native data", "files", "shared"]
    assert breakdown(MemorySnapshot(timestamp=0.0, pid=1)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "memory is level"),
        ({"heap_used_mb": 150.0, "allocated_blocks": 900_000, "total_objects": 300_000},
         "50.0 MB more, 50.0 of it Python objects, stacks (+100,000 tracked objects, +400,000 blocks)"),
        ({"heap_used_mb": 150.0, "native_in_use_mb": 80.0}, "50.0 of it native in use"),
        ({"heap_used_mb": 150.0, "native_retained_mb": 60.0}, "50.0 of it free, kept by the allocator"),
        ({"heap_used_mb": 120.0, "native_in_use_mb": 40.0, "file_mb": 35.0}, "30.0 MB more, on several lines"),
    ],
)  # fmt: skip
def test_the_answer(change: dict[str, float], words: str) -> None:
    """One sentence says which line carries the growth."""
    assert words in growth_sentence(NOW, dataclasses.replace(NOW, **change))  # type: ignore[arg-type]


def test_changes_by_line() -> None:
    """Each line's change; none where one of the snapshots could not be measured."""
    found = {line.name: line.mb for line in changes(NOW, dataclasses.replace(NOW, file_mb=30.0))}
    assert found["files"] == 5
    assert changes(MemorySnapshot(timestamp=0.0, pid=1), NOW) == []
