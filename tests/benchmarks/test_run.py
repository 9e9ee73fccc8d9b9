"""The benchmarks run, each from its own command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import ballast, census, footprint, harness, request_cost
from benchmarks.__main__ import NAMES


@pytest.fixture(scope="module")
def weighed():
    """A quick run of the cheapest benchmark, as the command starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "footprint"],
        cwd=harness.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_quick_run_prints_its_tables(weighed):
    """Import, history and scrape each have a table with a figure in every row."""
    for row in ("memprof_middleware", "every count changes each time", "ratio"):
        line = next(line for line in weighed.splitlines() if line.startswith(f"| {row} |"))
        assert any(character.isdigit() for character in line)


def test_an_unknown_benchmark_is_an_error():
    """The message lists those that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "typo"], cwd=harness.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert all(name in done.stderr for name in NAMES)


def test_the_history_fits_its_megabyte():
    """1,000 snapshots of 20 types take less than 1 MB even if every count changes; not a time, so it may be judged."""
    sizes = harness.in_process("benchmarks.footprint", "history")
    assert len(sizes) == 3
    assert max(size for name, size in sizes.items() if "objects in a list" not in name) < 1
    assert footprint.SNAPSHOTS == 1_000


@pytest.mark.parametrize(("host", "variant"), [("starlette", "ours"), ("wsgi", "ours"), ("flask", "ours")])
def test_a_burst_counts_its_requests(host, variant, monkeypatch):
    """The requests that are timed go through the middleware, every one."""
    made = []
    monkeypatch.setattr("benchmarks.hosts._profiler", lambda: made.append(_profiler()) or made[-1])
    burst = request_cost.burst_of(host, variant)
    burst(7)
    try:
        assert made[0].requests == 7
    finally:
        made[0].stop()


def _profiler():
    from memprof_middleware import Config, MemoryProfiler

    return MemoryProfiler(Config(background=False))


def test_the_ballast_has_so_many_objects():
    """A heap of a given size is one, to a hundredth, and goes again."""
    import gc

    before = len(gc.get_objects())
    held = ballast.build(before + 50_000)
    try:
        assert len(gc.get_objects()) == pytest.approx(before + 50_000, rel=0.01)
    finally:
        held.clear()


def test_a_stall_is_seen_by_both_hearts():
    """A work that never lets go of the interpreter is seen as a stall of about its own length."""
    busy = census.measure(lambda: sum(range(4_000_000)))
    assert busy["wall"] > 5
    assert min(busy["thread_stall"], busy["loop_stall"]) > 0.4 * busy["wall"]


def test_a_preforked_worker_is_weighed():
    """The parent loads Django and 150,000 objects; the child tells what it has of its own after its requests."""
    found = harness.in_process("benchmarks.preload", "bare", "frozen", MEMPROF_METRICS_PATH="")
    assert found["snapshots"] == 0
    assert 0 < found["at_fork_mb"] <= found["uss_mb"] < 30
