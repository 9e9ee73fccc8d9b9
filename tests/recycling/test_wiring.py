"""The profiler steps it, registers for it, tells its figures, and is not harmed by it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from memprof_middleware import Config, ConfigError, MemoryCollector, MemoryProfiler
from memprof_middleware.testing import FakeProbes


@pytest.fixture
def make() -> Iterator[Callable[..., MemoryProfiler]]:
    """``make(remedies="callbacks")``: a profiler at 90 % of its limit."""
    made: list[MemoryProfiler] = []

    def new(**settings: object) -> MemoryProfiler:
        probes = FakeProbes(heap_mb=900, limit_mb=1000)
        probes.address = "127.0.0.1:8000"
        made.append(MemoryProfiler(Config(background=False, **settings), probes=probes))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for profiler in made:
        profiler.stop()


def scraped(profiler: MemoryProfiler) -> list[str]:
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and ("remed" in line or "recycle" in line)]


def test_a_registered_remedy_is_called_at_high_memory(make) -> None:
    """A heap warning begins the round, in a thread of its own; a scrape shows it from the next snapshot on."""
    profiler = make(remedies="callbacks")
    probes = profiler._setup.probes()

    @profiler.register_remedy
    def drop_cache() -> None:
        probes.heap_mb = 500

    profiler.step()
    profiler._monitor.recycler.remedies.join(10)
    assert probes.heap_mb == 500
    profiler.step()
    assert scraped(profiler) == [
        'fogcompute_memory_remedies_total{remedy="callbacks",worker="0"} 1.0',
        'fogcompute_memory_remedy_freed_bytes_total{remedy="callbacks",worker="0"} 4.194304e+08',
    ]
    assert profiler.failures.counts == {}


def test_what_is_not_callable_is_refused(make) -> None:
    """The error says what was given and what is wanted."""
    with pytest.raises(ConfigError, match="of type str: pass a function with no argument"):
        make(remedies="callbacks").register_remedy("drop_cache")


def test_a_remedy_that_nobody_asked_for_is_told(make, caplog) -> None:
    """A callback that the settings leave out is never called, and the log says so when it is registered."""
    caplog.set_level(logging.INFO, "memprof")
    profiler = make()
    profiler.register_remedy(lambda: 1 / 0)
    assert 'register_remedy() has no effect: add "callbacks" to the setting remedies' in caplog.text
    profiler.step()
    assert profiler.failures.counts == {}


def test_off_it_shows_nothing(make) -> None:
    """No metric of it has a sample unless it is on."""
    profiler = make()
    profiler.step()
    assert scraped(profiler) == []


def test_here_nobody_is_recycled(make, tmp_path, caplog) -> None:
    """A test's process is no server's worker: the refusal is a log line and a metric, and the process goes on."""
    profiler = make(recycle=500, run_dir=str(tmp_path))
    for _ in range(3):
        profiler.step()
    assert caplog.text.count("memprof: recycling is off: unknown server") == 1
    assert 'fogcompute_memory_recycles_total{worker="all"} 0.0' in scraped(profiler)


def test_a_step_is_a_step_whatever_happens_in_it(make, monkeypatch) -> None:
    """What fails in it is counted, and the snapshot, the alerts and the next step are there."""
    profiler = make(recycle=500)
    monkeypatch.setattr(profiler._monitor.recycler, "step", lambda snapshot, workers: 1 / 0)
    profiler.step()
    profiler.step()
    assert profiler.failures.counts == {"recycle": 2}
    assert profiler.statistics()["snapshots_taken"] == 2
    assert "heap_warning" in {alert.name for alert in profiler.alerts}
