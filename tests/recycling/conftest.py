"""A worker whose time, server and memory the test holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Alert, Config
from memprof_middleware.failures import Failures
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.recycling.detection import Surroundings
from memprof_middleware.recycling.effects import Effects
from memprof_middleware.recycling.recycler import Recycler
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.runtime.snapshotter import Snapshotter, Trace
from memprof_middleware.testing import FakeClock, FakeProbes
from tests.workers.processes import Child, children

GUNICORN = Surroundings(term_owner=frozenset({"gunicorn.workers.base"}), term_handled=True)
PATIENCE_SECONDS = 10.0


class Worker:
    """What a recycler asks of the profiler, and what it did outside of the process."""

    def __init__(self, run_dir: Path, clock: FakeClock, **settings: Any) -> None:
        self.config = Config(**{"recycle": 500, "run_dir": str(run_dir), **settings})
        self.logger = logging.getLogger("memprof.test")
        self.failures = Failures(self.logger)
        self.traffic = Traffic()
        self.alerts: list[Alert] = []
        self.worker = "0"
        self.live = 2
        self.surroundings = GUNICORN
        self.retired: list[str] = []
        self.exits: list[int] = []
        self.trims = 0
        self.probes = FakeProbes(heap_mb=100, limit_mb=10_000)
        self.probes.address = "127.0.0.1:8000"
        self.probes.allocated = AllocatorStats(in_use=0, retained=0, blocks=0, name="glibc")
        self.clock = clock
        self._snapshotter = Snapshotter(
            self.probes, self.config, FakeClock(), self.failures, Traffic(), Trace(wanted=False)
        )
        effects = Effects(
            clock=clock,
            surroundings=lambda: self.surroundings,
            retire=self._retire,
            exit=self.exits.append,
            trim=self._trim,
        )
        self.recycler = Recycler(self, self.probes, effects)  # type: ignore[arg-type]

    @property
    def live_workers(self) -> int:
        return self.live

    def step(self, heap_mb: float, steps: int = 1, seconds: float = 20.0) -> None:
        """So many snapshots with this heap, so far apart; remedies end before the next."""
        for _ in range(steps):
            self.probes.heap_mb = heap_mb
            self._snapshotter._read.clear()
            with self.failures.caught("recycle"):
                self.recycler.step(self._snapshotter.take().snapshot, self.live)
            self.recycler.remedies.join(PATIENCE_SECONDS)
            self.clock.advance(seconds)

    def _retire(self, mechanism: str) -> None:
        self.retired.append(mechanism)

    def _trim(self) -> None:
        self.trims += 1


@pytest.fixture
def clock() -> FakeClock:
    """The machine's clock; a child has a copy of it, as it was when the child was made."""
    return FakeClock(1000.0)


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Worker]]:
    """``make(recycle=500)``: a worker of one server; several in a test are told apart by who holds the lock."""
    made: list[Worker] = []

    def new(**settings: Any) -> Worker:
        made.append(Worker(settings.pop("run_dir", tmp_path / "run"), clock, **settings))
        return made[-1]

    yield new
    for worker in made:
        if worker.recycler._ledger is not None:
            worker.recycler._ledger.release()


@pytest.fixture
def child() -> Iterator[Callable[[Callable[[], Any]], Child]]:
    """``child(work)``: a forked process that did the work and stays."""
    with children() as make:
        yield make


@pytest.fixture(autouse=True)
def no_real_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline's thread would sleep for the rest of the run: here it is only noted."""
    from memprof_middleware.recycling import act

    monkeypatch.setattr(act, "end_after", lambda seconds, in_flight, end: (seconds, in_flight, end))
