"""This profiler, behind the middleware, stepped by hand once a batch."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.leakbench.runner import series
from benchmarks.leakbench.scenario import Scenario
from memprof_middleware import Config, MemoryProfiler, MemorySnapshot
from memprof_middleware.testing import FakeClock

# A batch stands for a minute of traffic.
_SECONDS = 60.0


class Detector:
    """Steps a profiler."""

    def __init__(self, _scenario: Scenario) -> None:
        self._clock = FakeClock()
        self._profiler = MemoryProfiler(Config(background=False, metrics_path=None), clock=self._clock)

    def wrap(self, app: Any, interface: str) -> Any:
        return importlib.import_module(f"{interface}_memprof").MemProfMiddleware(app, profiler=self._profiler)

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        for number, requests in enumerate(batches):
            began = time.process_time()
            snapshot, leaks = self._step()
            seconds = time.process_time() - began
            write(
                {
                    "batch": number,
                    "requests": requests,
                    "leaks": leaks,
                    "failures": dict(self._profiler.failures.counts),
                    "seconds": seconds,
                    "native_mb": snapshot.native_in_use_mb,
                    **series(),
                }
            )

    def _step(self) -> tuple[MemorySnapshot, list[dict[str, Any]]]:
        self._clock.advance(_SECONDS)
        snapshot = self._profiler.take_snapshot()
        leaks = [leak.to_dict() for leak in self._profiler.detect_leaks()]
        self._profiler.check_thresholds()
        self._profiler.judge_routes()
        return snapshot, leaks
