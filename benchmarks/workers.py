"""What a step costs beside other workers, and what the fit of growth to routes costs: processor time of one step.

Every worker has the same past, 120 windows over 60 routes, and publishes again before each step that is measured. The
figures that count are ratios to a step of a worker that is alone, taken in the same run.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import harness
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes

WORKERS = (1, 4, 8, 32)
# Of so many routes, so many are asked for in a window.
ROUTES = ((5, 3), (20, 8), (60, 25), (100, 25))
_WINDOWS, _INTERVAL = 125, 60.0
_ALL, _SOME = 60, 25


class Worker:
    """A profiler whose instruments, clock and requests are made up.

    Args:
        seed: of the requests; each worker has its own.
        run_dir: where the workers find one another; ``None``: alone.
        routes: how many there are, and how many of them come in a window.
    """

    def __init__(self, seed: int, run_dir: str | None, routes: tuple[int, int] = (_ALL, _SOME)) -> None:
        self._dice = random.Random(seed)
        self._routes, self._some = [f"GET /r{n}/{{id}}" for n in range(routes[0])], routes[1]
        self._clock, self._probes = FakeClock(), FakeProbes()
        if run_dir is not None:
            self._probes.address, self._probes.server = "127.0.0.1:18740", "1 1"
        config = Config(
            background=run_dir is not None,
            interval=_INTERVAL,
            warmup_snapshots=1,
            run_dir=run_dir,
            evidence=False,
            log_level="ERROR",
        )
        self.profiler = MemoryProfiler(config, clock=self._clock, probes=self._probes)
        for _ in range(_WINDOWS):
            self.window()
            self.profiler.take_snapshot()
        self.profiler.publish()

    def window(self) -> None:
        """One interval of requests."""
        for route in self._dice.sample(self._routes, self._some):
            for _ in range(1 + self._dice.randrange(5)):
                self.profiler.traffic.started += 1
                self.profiler.traffic.end(route)
        before = self._probes.allocated
        self._probes.allocated = AllocatorStats(
            in_use=(before.in_use or 0) + self._dice.randrange(20_000),
            retained=0,
            blocks=before.blocks + self._dice.randrange(900),
            name="fake",
        )
        self._clock.advance(_INTERVAL)

    def step(self) -> float:
        """Processor milliseconds of one step after one window."""
        self.window()
        began = time.thread_time()
        self.profiler.step()
        return 1000 * (time.thread_time() - began)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure."""
    rounds = 4 if quick else 12
    return {
        "beside": [_beside(number, rounds, leads=leads) for leads in (False, True) for number in WORKERS],
        "fit": [_fit(routes, 20 if quick else 60) for routes in ROUTES],
    }


def show(results: dict[str, Any]) -> str:
    """The tables."""
    steps = [
        (
            one["workers"],
            "yes" if one["leads"] else "no",
            f"{one['base']:.2f}",
            f"{one['variant']:.2f}",
            harness.spread(one["ratio"]),
        )
        for one in results["beside"]
    ]
    fits = [
        (one["routes"], one["in_a_window"], f"{one['most']:.0f}", f"{one['mean']:.1f}", one["answers"])
        for one in results["fit"]
    ]
    return "\n\n".join(
        (
            harness.table(("workers", "judges the routes", "a step alone, CPU ms", "beside them", "ratio"), steps),
            harness.table(
                ("routes", "in a window", "longest step, CPU ms", "mean step", "answers in these steps"), fits
            ),
        )
    )


def _beside(number: int, rounds: int, *, leads: bool) -> dict[str, Any]:
    """The step of the worker with the highest number, or of the one with the lowest, which judges the routes of all.

    In turn with that of a worker alone. It judges its own routes, which costs more than all else, only where the other
    one judges too.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other, _siblings() as siblings:
        alone = Worker(0, other)
        if leads:
            worker = Worker(0, folder)
        siblings.extend(_start(folder, seed) for seed in range(1, number))
        for sibling in siblings:
            _wait(sibling)
        if not leads:
            worker = Worker(0, folder)
            for one in (worker, alone):
                one.profiler._monitor.features.routes.judge = _nothing  # type: ignore[method-assign]
        for _ in range(2):  # the first ones write what is written once, and begin to judge
            worker.step()
            alone.step()

        def beside() -> float:
            _publish(siblings)
            return worker.step()

        found = harness.compared(harness.pairs(alone.step, beside, rounds))
        if len(worker.profiler.workers()) != number:
            raise RuntimeError(f"{number} workers were started and {len(worker.profiler.workers())} are seen")
        worker.profiler.stop()
        alone.profiler.stop()
    return {"workers": number, "leads": leads, **found}


def _fit(routes: tuple[int, int], steps: int) -> dict[str, Any]:
    worker = Worker(1, None, routes)
    taken, answers = [], 0
    for _ in range(steps):
        taken.append(worker.step())
        answers += worker.profiler._monitor.features.routes.judged
    worker.profiler.stop()
    return {
        "routes": routes[0],
        "in_a_window": routes[1],
        "most": max(taken),
        "mean": statistics.mean(taken),
        "answers": answers,
    }


def _nothing(*_given: object, **_named: object) -> None:
    """Judge no routes."""


@contextlib.contextmanager
def _siblings() -> Iterator[list[subprocess.Popen[str]]]:
    found: list[subprocess.Popen[str]] = []
    try:
        yield found
    finally:
        for sibling in found:
            sibling.communicate()


def _start(folder: str, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.workers", folder, str(seed)]
    return subprocess.Popen(command, cwd=harness.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _publish(siblings: Sequence[subprocess.Popen[str]]) -> None:
    for sibling in siblings:
        if sibling.stdin is not None:
            sibling.stdin.write("\n")
            sibling.stdin.flush()
        _wait(sibling)


def _wait(sibling: subprocess.Popen[str]) -> None:
    if sibling.stdout is None or not sibling.stdout.readline():
        raise RuntimeError("a worker beside ended before its time")


def _work(folder: str, seed: int) -> None:
    """What a worker beside does: publish at each line that it is sent."""
    worker = Worker(seed, folder)
    print(worker.profiler.worker, flush=True)
    for _ in sys.stdin:
        worker.window()
        worker.profiler.take_snapshot()
        worker.profiler.publish()
        print(flush=True)
    worker.profiler.stop()


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]))
