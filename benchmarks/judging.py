"""What it costs to judge the types: processor time of one beat, by how many types a process has and what it is asked.

One type of a hundred grows; the others go up and down by twenty objects, as what is in use does. All memory grows, so
each beat is judged. The floor is a single pass over the same numbers, taken in turn with the beats: the sum of each
series.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import harness
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes

# Types, and the most requests that are in flight at a snapshot.
SIZES = ((100, 0), (500, 0), (2000, 0), (2000, 25))
_SNAPSHOTS, _INTERVAL, _SCATTER, _ROUTES = 1000, 60.0, 20, 8
_GROWS, _MB = 0.01, 2**20


class Process:
    """A process whose types are counted at each snapshot.

    Args:
        types: how many.
        in_flight: the most requests in flight at a snapshot; 0: none.
    """

    def __init__(self, types: int, in_flight: int) -> None:
        self._dice, self._in_flight, self._flight, self._number = random.Random(1), in_flight, 0, 0
        self._clock, self._probes = FakeClock(), FakeProbes(limit_mb=4000)
        config = Config(background=False, cpu_budget=100, evidence=False, interval=_INTERVAL, log_level="ERROR")
        self.profiler = MemoryProfiler(config, clock=self._clock, probes=self._probes)
        self._types = {
            f"library{n % 40}.Type{n}": (self._dice.randrange(10, 5000), self._dice.random() < _GROWS)
            for n in range(types)
        }
        for _ in range(_SNAPSHOTS):
            self.snapshot()

    def snapshot(self) -> None:
        """One interval, and the snapshot at its end."""
        dice, traffic, number = self._dice, self.profiler.traffic, self._number
        for route in range(_ROUTES):
            for _ in range(dice.randrange(5, 20)):
                traffic.started += 1
                traffic.end(f"GET /r{route}")
        before, self._flight = self._flight, dice.randrange(self._in_flight + 1)
        traffic.started += self._flight - before
        self._probes.counts = {
            name: level + dice.randrange(_SCATTER) + (number * (1 + level % 3) if grows else 0)
            for name, (level, grows) in self._types.items()
        }
        self._probes.heap_mb = 100 + 0.8 * number
        self._probes.allocated = AllocatorStats(int((50 + 0.8 * number) * _MB), _MB, 250_000 + 100 * number, "fake")
        self._probes.collections = (0, 0, number // 5)
        self.profiler.take_snapshot()
        self._clock.advance(_INTERVAL)
        self._number += 1

    def judge(self) -> float:
        """Processor milliseconds of judging once, without the search for routes and holders."""
        leaks, history = self.profiler._monitor.features.leaks, self.profiler.history

        def judging() -> None:
            leaks.judge(history, lambda _kind, _name: None, by_hand=False)
            leaks.is_growing(history)

        return _milliseconds(judging)

    def floor(self) -> float:
        """Processor milliseconds of a single pass over all numbers."""
        series = [self.profiler.history.counts(name) for name in self._types]
        return _milliseconds(lambda: [sum(one) for one in series])


def run(*, quick: bool) -> dict[str, Any]:
    """Measure."""
    return {"types": [_judged(types, in_flight, 10 if quick else 40) for types, in_flight in SIZES]}


def show(results: dict[str, Any]) -> str:
    """The table."""
    rows = [
        (
            one["types"],
            one["in_flight"],
            f"{one['most']:.0f}",
            f"{one['variant']:.1f}",
            f"{one['base']:.1f}",
            harness.spread(one["ratio"]),
        )
        for one in results["types"]
    ]
    header = ("types", "requests in flight", "longest beat, CPU ms", "a beat", "one pass over the numbers", "ratio")
    return harness.table(header, rows)


def _judged(types: int, in_flight: int, rounds: int) -> dict[str, Any]:
    process = Process(types, in_flight)
    process.judge()  # the first one sees the growth, and measures what is measured once
    beats: list[float] = []

    def beat() -> float:
        process.snapshot()
        beats.append(process.judge())
        return beats[-1]

    found = harness.compared(harness.pairs(process.floor, beat, rounds))
    process.profiler.stop()
    return {"types": types, "in_flight": in_flight, "most": max(beats), "mean": statistics.mean(beats), **found}


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return 1000 * (time.thread_time() - began)
