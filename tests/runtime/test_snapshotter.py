"""One look at the process: what fails is left out."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from memprof_middleware import Config
from memprof_middleware.failures import Failures
from memprof_middleware.probes import Census
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.runtime.readings import ProcessInstruments
from memprof_middleware.runtime.snapshotter import Snapshotter, Trace
from memprof_middleware.testing import FakeClock, FakeProbes


def snapshotter(
    probes: ProcessInstruments, config: Config | None = None, clock: FakeClock | None = None
) -> Snapshotter:
    failures = Failures(logging.getLogger("memprof.test"))
    config = config or Config()
    trace = Trace(wanted=config.tracemalloc)
    return Snapshotter(probes, config, clock or FakeClock(), failures, Traffic(), trace)


@pytest.fixture
def real() -> Iterator[Snapshotter]:
    real = snapshotter(Probes(), Config(tracemalloc=True))
    yield real
    real.close()


def test_a_real_snapshot(real: Snapshotter) -> None:
    """On this machine every figure is measured, and the figures fit one another."""
    snapshot, census, _ = real.take()
    assert census is not None
    assert snapshot.pid == os.getpid()
    assert 0 < snapshot.heap_used_mb <= snapshot.rss_mb * 1.1 <= snapshot.vms_mb * 1.1  # type: ignore[operator]
    assert snapshot.heap_used_mb < snapshot.heap_size_mb  # type: ignore[operator]
    assert snapshot.total_objects == census.total >= sum(census.counts.values())
    assert len(snapshot.object_counts) == 20
    assert list(snapshot.object_counts.values()) == sorted(census.counts.values(), reverse=True)[:20]
    assert 0 < snapshot.tracemalloc_current_mb <= snapshot.tracemalloc_peak_mb  # type: ignore[operator]
    assert 0 < snapshot.duration_seconds < 10


class Refusing(FakeProbes):
    """Counts in Python, since the compiled census was refused."""

    def census(self, stride: int = 1) -> Census:
        return dataclasses.replace(super().census(stride), refusal="its layout is odd")


def test_who_counts_is_in_the_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    """The snapshot says whether the compiled census counted; a refusal is logged once, with its reason."""
    probes = Refusing()
    watching = snapshotter(probes)
    with caplog.at_level("WARNING", "memprof.test"):
        kinds = [watching.take().snapshot.census_kind for _ in range(3)]
    assert kinds == ["pure"] * 3
    assert [record.getMessage().partition(". ")[0] for record in caplog.records] == [
        "memprof: internal error in native_census: its layout is odd"
    ]
    assert snapshotter(FakeProbes()).take(None).snapshot.census_kind == ""


def test_the_setting_overrides_the_limit() -> None:
    """``heap_size_mb`` is the heap size, and the snapshot says so."""
    snapshot, _, _ = snapshotter(FakeProbes(heap_mb=50), Config(heap_size_mb=200)).take()
    assert (snapshot.heap_size_mb, snapshot.heap_size_source, snapshot.heap_percent) == (200, "setting", 25)


def test_types_of_one_number_are_named_in_order() -> None:
    """Equal counts are ordered by name, so that the same heap gives the same snapshot."""
    probes = FakeProbes()
    probes.counts = {"b.B": 5, "a.A": 5, "c.C": 9, "d.D": 1}
    snapshot, census, _ = snapshotter(probes, Config(top_types=3)).take()
    assert list(snapshot.object_counts) == ["c.C", "a.A", "b.B"]
    assert census is not None
    assert census.counts == probes.counts


def test_collections_per_hour() -> None:
    """The rate is of the time since the last snapshot; the first has none, and a clock that goes back gives none."""
    probes, clock = FakeProbes(), FakeClock()
    eye = snapshotter(probes, clock=clock)
    assert eye.take()[0].gc_per_hour is None
    clock.advance(60)
    probes.collections = (0, 0, 2)
    assert eye.take()[0].gc_per_hour == 120
    clock.advance(-3600)
    assert eye.take()[0].gc_per_hour is None


def test_a_trace_of_our_own_ends_with_us() -> None:
    """With ``tracemalloc`` on, the trace is one frame deep and stopped at the end."""
    eye = snapshotter(FakeProbes(), Config(tracemalloc=True))
    eye.open()
    assert tracemalloc.is_tracing()
    assert tracemalloc.get_traceback_limit() == 1
    eye.close()
    assert not tracemalloc.is_tracing()


def test_a_trace_of_somebody_else_goes_on() -> None:
    """What the application began is never stopped, and is measured."""
    tracemalloc.start(2)
    try:
        eye = snapshotter(Probes(), Config(tracemalloc=True))
        assert eye.take()[0].tracemalloc_current_mb is not None
        eye.close()
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 2
    finally:
        tracemalloc.stop()


def test_open_and_close_may_be_repeated() -> None:
    """Opening twice and closing twice leaves nothing."""
    before = list(gc.callbacks)
    eye = snapshotter(Probes())
    eye.open()
    eye.open()
    assert len(gc.callbacks) == len(before) + 1
    eye.close()
    eye.close()
    assert gc.callbacks == before


def test_the_free_threaded_build_is_not_supported_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in a process, at the first look; with the interpreter lock nothing is said."""
    for enabled in (True, False):
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda enabled=enabled: enabled, raising=False)
        shots = snapshotter(FakeProbes())
        shots.open()
        shots.open()
        assert [record.levelname for record in caplog.records] == ([] if enabled else ["WARNING"])
    assert "the free-threaded build of Python is not supported" in caplog.text
