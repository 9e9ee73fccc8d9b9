"""This profiler as a service runs it: its own step once a minute, its budget, a limit, and nobody who collects.

Time is made fast and nothing else: the instruments are the real ones, a batch of requests stands for a minute. What is
told is what reaches the log; INFO is listed, and counted by nobody.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.leakbench.scenario import Scenario
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.model import MB
from memprof_middleware.probes.limits import MemoryLimit
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.testing import FakeClock

ROOM = "LEAKBENCH_ROOM_MB"
_SECONDS = 60.0


class _Limited(Probes):
    """The real instruments, beneath a limit that leaves a given room once the process is warm."""

    def __init__(self, room: float) -> None:
        super().__init__()
        self._room, self._size, self.warm = room, 0, False

    def limit(self) -> MemoryLimit:
        if not self.warm:
            self._size = int((self.process().anonymous or 0) + self._room)
        return MemoryLimit(self._size, "cgroup v2")

    def container(self) -> None:
        """The machine's own limit is none of the scenario's."""


class _Told(logging.Handler):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        what = getattr(record, "memprof_name", "")
        self.lines.append({"level": record.levelname, "what": what, "text": record.getMessage()})


class Detector:
    """Lets a profiler take its own steps."""

    serves = True

    def __init__(self, _scenario: Scenario) -> None:
        self._clock, self._probes, self._told = FakeClock(), _Limited(float(os.environ[ROOM]) * MB), _Told()
        self._config = Config(background=False, metrics_path=None, interval=_SECONDS)
        logger = logging.getLogger("leakbench.service")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(self._told)
        self._profiler = MemoryProfiler(self._config, clock=self._clock, probes=self._probes, logger=logger)

    def wrap(self, app: Any, interface: str) -> Any:
        return importlib.import_module(f"{interface}_memprof").MemProfMiddleware(app, profiler=self._profiler)

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        for number, requests in enumerate(batches):
            began = time.process_time()
            self._clock.advance(_SECONDS)
            self._profiler.step()
            seconds = time.process_time() - began
            self._probes.warm = number >= self._config.warmup_snapshots
            metrics = self._profiler.metrics()
            write(
                {
                    "batch": number,
                    "requests": requests,
                    "leaks": [leak.to_dict() for leak in metrics.leaks],
                    "told": self._told.lines,
                    "failures": dict(self._profiler.failures.counts),
                    "seconds": seconds,
                    "heap_mb": None if metrics.snapshot is None else metrics.snapshot.heap_used_mb,
                    "limit_mb": None if metrics.snapshot is None else metrics.snapshot.heap_size_mb,
                }
            )
            self._told.lines = []
