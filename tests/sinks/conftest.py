"""What the tests of the sinks share: a stand-in for a profiler, and figures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memprof_middleware.failures import Failures
from memprof_middleware.model import Alert, Leak, MemoryMetrics, MemorySnapshot
from memprof_middleware.sinks import Sink, Sinks

LEAK = Leak(
    name="shop.Cart",
    severity="high",
    state="confirmed",
    first=100,
    last=300,
    growth_percent=200.0,
    growth_per_hour=200.0,
    since=1.0,
    detected_at=2.0,
    snapshots=6,
)


def figures(*, number: int = 1, **changed: Any) -> MemoryMetrics:
    """A worker's figures; ``number`` counts the snapshots."""
    snapshot = MemorySnapshot(
        timestamp=1_700_000_000.0 + number,
        pid=7,
        heap_size_mb=1000.0,
        heap_used_mb=250.0,
        rss_mb=300.0,
        vms_mb=900.0,
        object_counts={"shop.Cart": 300, "builtins.dict": 1000},
        gc_collections=(100, 10, 1),
    )
    given: dict[str, Any] = {"snapshot": snapshot, "snapshots_taken": number, "requests": 10 * number}
    return MemoryMetrics(**({"worker": "3", "pid": 7, "start_time": 1_700_000_000.0} | given | changed))


def alert(*, active: bool = True, **changed: Any) -> Alert:
    """A leak that begins, or ends."""
    given: dict[str, Any] = {
        "name": "leak",
        "subject": "shop.Cart",
        "severity": "high",
        "message": "leak confirmed (90 %): shop.Cart grew from 100 to 300 objects",
        "value": 200.0,
        "threshold": 50.0,
        "since": 1_700_000_000.0,
        "timestamp": 1_700_000_060.0,
        "active": active,
    }
    return Alert(**(given | changed))


class Source:
    """Stands in for a profiler: gives the figures it is told to."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("memprof")
        self.failures = Failures(self.logger)
        self.number = 0

    def now(self) -> float:
        return 1_700_000_000.0 + self.number

    def metrics(self) -> MemoryMetrics:
        return figures(number=self.number)

    def publish(self, sinks: Sinks) -> None:
        """The next snapshot."""
        self.number += 1
        sinks.publish()


def anew(sinks: Sinks, source: Source) -> Sinks:
    """The same sinks in a child, as the monitor of a new process has them."""
    return Sinks([thread.sink for thread in sinks._threads], source)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def running(source: Source) -> Iterator[Callable[..., Sinks]]:
    """``running(sink, ...)``: their threads, ended with the test."""
    made: list[Sinks] = []

    def make(*sinks: Sink) -> Sinks:
        made.append(Sinks(sinks, source))
        return made[-1]

    yield make
    for sinks in made:
        sinks.close()
