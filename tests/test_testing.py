"""The public helpers for tests."""

from __future__ import annotations

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.heap.containers import Container, Containers
from memprof_middleware.heap.retainers import Holding
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder


def test_fake_clock_goes_only_when_told() -> None:
    """Time stands still until it is advanced."""
    clock = FakeClock(5.0)
    assert (clock(), clock()) == (5.0, 5.0)
    clock.advance(2.5)
    assert clock() == 7.5


def test_fake_probes_show_what_they_are_told() -> None:
    """A snapshot holds exactly the figures that the test set."""
    probes = FakeProbes(heap_mb=40, limit_mb=80)
    probes.counts, probes.collections, probes.traced, probes.frozen = {"a.B": 7}, (3, 2, 1), (2**20, 2**21), 9
    snapshot = MemoryProfiler(Config(background=False), clock=FakeClock(5.0), probes=probes).take_snapshot()
    assert (snapshot.timestamp, snapshot.heap_used_mb, snapshot.heap_percent) == (5.0, 40.0, 50.0)
    assert (snapshot.object_counts, snapshot.total_objects, snapshot.frozen_objects) == ({"a.B": 7}, 7, 9)
    assert (snapshot.gc_collections, snapshot.heap_size_source) == ((3, 2, 1), "fake")
    assert (snapshot.tracemalloc_current_mb, snapshot.tracemalloc_peak_mb) == (1.0, 2.0)


def test_fake_probes_tell_who_holds_what() -> None:
    """Containers, holders and populations are those that the test set; any other type is held by nobody."""
    probes = FakeProbes()
    kept = Container("shop.SESSIONS", "dict", 12, None, False, ("shop.Session",))
    probes.kept, probes.growing = Containers((kept,)), {"task shop.watchdog": 3}
    probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    assert probes.containers().found == (kept,)
    assert probes.holders(["shop.Session", "shop.Cart"]) == probes.held | {"shop.Cart": Holding()}
    assert probes.populations() == {"task shop.watchdog": 3}


def test_recorder_hears_leaks_and_alerts() -> None:
    """A recorder keeps what the callbacks were told."""
    clock, probes = FakeClock(), FakeProbes(heap_mb=850)
    profiler = MemoryProfiler(Config(background=False, leak_confirm_hours=0.05), clock=clock, probes=probes)
    recorder = Recorder().attach(profiler)
    for number in range(12):
        probes.collections = (0, 0, number)
        probes.counts = {"shop.Cart": 100 + 100 * number}
        profiler.step()
        clock.advance(60)
    assert [leak.name for leak in recorder.leaks] == ["shop.Cart"]
    assert {alert.name for alert in recorder.alerts} == {"heap_warning", "leak"}
