"""The report that a person reads."""

from __future__ import annotations

import math

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.evidence.report import render_report
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.text.sparkline import sparkline


def test_the_report_tells_what_was_found() -> None:
    """Memory, timeline, leak, drift, alerts, types, cost and failures, each in a line."""
    clock, probes = FakeClock(), FakeProbes(heap_mb=850)
    config = Config(background=False, leak_confirm_hours=0.05)
    profiler = MemoryProfiler(config, clock=clock, probes=probes)
    probes.traced, probes.frozen = (2 << 20, 3 << 20), 5000
    for number in range(12):
        probes.heap_mb = 850 + 10 * number
        probes.collections = (0, 0, number)
        probes.counts = {"shop.Cart": 100 + 100 * number, "builtins.dict": 1000}
        profiler.step()
        clock.advance(60)
    probes.broken = {"limit"}
    profiler.step()
    text = render_report(profiler)
    profiler.stop()
    for line in (
        "13 snapshots, 0 requests",
        "In use   960.0 of ? MB (? %, limit from nowhere)",
        "RSS      1,920.0 MB, virtual 2,880.0 MB",
        "Objects  2,200, and 5,000 frozen",
        "Traced   2.0 MB now, 3.0 MB at most",
        "Leaks: 1",
        "[high] confirmed, 90 % sure: Cart objects are never freed: +5,333 an hour (400 to 1,200 in 9 min)",
        "Survived 8 full collections",
        "Since the baseline of 2023-11-14 22:16:20 UTC: memory in use +80.0 MB (+9.1 %)",
        "leak [medium] leak confirmed (90 %), act now: Cart objects are never freed: ",
        "1,200  shop.Cart",
        "Internal errors of the profiler: probe_limit 1",
    ):
        assert line in text, f"{line!r} is not in\n{text}"
    assert "█" in text


def test_before_the_first_snapshot() -> None:
    """Nothing measured yet is said in words."""
    assert render_report(MemoryProfiler(Config(background=False))).endswith("no snapshot yet\n")


def test_nothing_found() -> None:
    """A healthy process is told so."""
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())
    profiler.take_snapshot()
    text = render_report(profiler)
    profiler.stop()
    assert "Leaks: none found" in text
    assert "Failures" not in text
    assert "Alert" not in text


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([math.nan], ""),
        ([5.0], "▁"),
        ([5.0, 5.0], "▁▁"),
        ([0.0, 7.0], "▁█"),
        ([0.0, math.nan, 7.0], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        (list(range(100)), "▁▂▃▃▄▅▆▆▇█"),
    ],
)
def test_sparklines(values: list[float], bars: str) -> None:
    """From the lowest to the highest value, squeezed into the width, without what is missing."""
    assert sparkline(values, 10) == bars
