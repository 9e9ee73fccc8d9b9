"""Bad input to the whole product: a leak is reported by its name or not at all, and a healthy process never."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable

import pytest

from memprof_middleware import Alert, Config, MemoryProfiler
from memprof_middleware.heap.containers import Container, Containers
from memprof_middleware.model import MB
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes

LEAK, CACHE = "app.KEPT", "app.CACHE"
EACH = 10_000  # bytes
Entries = Callable[[float], float]


class Service:
    """A service whose memory is a function of the minutes that it has served, whatever its clock says."""

    def __init__(self, path: str, entries: Entries, **settings: object) -> None:
        self.path, self.entries, self.settings = path, entries, settings
        self.probes, self.clock = FakeProbes(limit_mb=500), FakeClock()
        self.minute, self.rate, self.platform = 0.0, 60, "glibc"
        self.types: Callable[[float], dict[str, int]] = lambda _: {}
        self.told: list[str] = []
        self.start()

    def start(self) -> None:
        """A new process."""
        config = Config(**{"background": False, "cpu_budget": 100, "evidence": False} | self.settings)  # type: ignore[arg-type]
        self.profiler = MemoryProfiler(config, clock=self.clock, probes=self.probes)
        self.profiler.register_alert_callback(self._hear)

    def _hear(self, alert: Alert) -> None:
        if alert.active and alert.name in {"leak", "route_leak", "heap_growth"}:
            self.told.append(f"{alert.name} {alert.subject}")

    def run(self, minutes: int, *, seconds: float = 60.0, judged: int = 6) -> None:
        """Serve for so many snapshots."""
        for number in range(minutes):
            self.minute += seconds / 60
            requests = int(self.rate * seconds / 60)
            collections.deque(map(self.profiler.traffic.end, itertools.repeat("GET /", requests)), maxlen=0)
            self.profiler.traffic.started += requests
            self._show()
            self.clock.advance(seconds)
            self.profiler.take_snapshot()
            if number % judged == 0:
                self.profiler.detect_leaks()
                self.profiler.check_thresholds()
                self.profiler.judge_routes()

    def _show(self) -> None:
        length = int(self.entries(self.minute))
        kept = Container(self.path, "dict", length, None, False, (), oldest=7, entry_bytes=EACH)
        self.probes.kept = Containers((kept,) if length >= 8 else (), 10_000)
        self.probes.counts = {"builtins.function": 4_000} | self.types(self.minute)
        self.probes.collections = (0, 0, int(self.minute / 20))
        memory = length * EACH / MB
        self.probes.heap_mb = 100 + memory
        known = self.platform == "glibc"
        blocks = 250_000 + 2 * length
        self.probes.allocated = AllocatorStats(
            int((12 + memory) * MB) if known else None, 2 * MB if known else None, blocks, "fake"
        )


def leaking(minute: float) -> float:
    """1 MB a minute, so a third of the room in 2.3 hours."""
    return 100 * minute


def filling(minute: float) -> float:
    """A cache that takes half of the room, and bends as it fills."""
    return 20_000 * (1 - 0.985**minute)


def jumps_forward(service: Service) -> None:
    """A day, in the middle."""
    service.run(80)
    service.clock.advance(86_400)
    service.run(160)


def jumps_back(service: Service) -> None:
    """A day back, in the middle."""
    service.run(80)
    service.clock.advance(-86_400)
    service.run(160)


def restarts(service: Service) -> None:
    """The worker is replaced while it grows: another process, which begins with what the service keeps anew."""
    service.run(100)
    service.profiler.stop()
    service.minute = 0.0
    service.start()
    service.run(240)


def sleeps(service: Service) -> None:
    """Nobody comes for a night; then the day goes on."""
    service.run(150)
    rate, entries, evening = service.rate, service.entries, service.minute
    service.rate, service.entries = 0, lambda _: entries(evening)
    service.run(96, seconds=300)
    morning = service.minute
    service.rate, service.entries = rate, lambda minute: entries(evening + minute - morning)
    service.run(100)


def counts_nothing(service: Service) -> None:
    """A worker of a queue: no request is ever seen."""
    service.rate = 0
    service.run(240)


def knows_no_allocator(service: Service) -> None:
    """A platform without mallinfo2."""
    service.platform = "musl"
    service.run(240)


def changes_its_interval(service: Service) -> None:
    """A minute, five seconds, five minutes."""
    service.run(60)
    service.run(240, seconds=5, judged=12)
    service.run(40, seconds=300)


def has_many_types(service: Service) -> None:
    """2,000 types, of which each third goes up and down with the load and each seventh grows for a while."""

    def types(minute: float) -> dict[str, int]:
        load = 1 + int(minute) % 7
        found = {f"lib.Type{number}": 50 + (load * number % 40 if number % 3 == 0 else 0) for number in range(2_000)}
        return found | {f"lib.Type{number}": 50 + int(min(minute, number / 20)) for number in range(0, 2_000, 7)}

    service.types = types
    service.run(180, judged=18)


def forgets(service: Service) -> None:
    """The history keeps 60 snapshots of some 300."""
    service.run(240)


DAYS = (
    jumps_forward,
    jumps_back,
    restarts,
    sleeps,
    counts_nothing,
    knows_no_allocator,
    changes_its_interval,
    has_many_types,
    forgets,
)


@pytest.fixture(params=DAYS, ids=lambda day: day.__name__)
def day(request: pytest.FixtureRequest) -> Callable[[Service], None]:
    chosen: Callable[[Service], None] = request.param
    return chosen


def _settings(day: Callable[[Service], None]) -> dict[str, object]:
    return {"history_size": 60} if day is forgets else {}


def test_a_leak_is_told_by_its_name(day: Callable[[Service], None]) -> None:
    """Late at the most: no other name, no memory without an owner, and nothing is over while it goes on."""
    service = Service(LEAK, leaking, **_settings(day))
    try:
        day(service)
        assert f"leak {LEAK}" in service.told
        assert {one.partition(" ")[2] for one in service.told if one.startswith("leak")} == {LEAK}
        [leak] = [leak for leak in service.profiler.detect_leaks() if leak.state == "confirmed"]
        assert (leak.name, leak.kind) == (LEAK, "container")
    finally:
        service.profiler.stop()


def test_a_cache_that_fills_is_told_to_nobody(day: Callable[[Service], None]) -> None:
    """The same days: no leak, no route, no growth."""
    service = Service(CACHE, filling, **_settings(day))
    try:
        day(service)
        assert service.told == []
    finally:
        service.profiler.stop()
