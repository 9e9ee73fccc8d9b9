"""No profiler at all: what memory an application takes as it serves, so that a limit can be set by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.leakbench.scenario import Scenario
from memprof_middleware.model import MB
from memprof_middleware.probes.process import process_memory


class Detector:
    """Weighs the process."""

    serves = True

    def __init__(self, _scenario: Scenario) -> None:
        pass

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        for number, requests in enumerate(batches):
            anonymous = process_memory(Path("/proc")).anonymous or 0
            write({"batch": number, "requests": requests, "heap_mb": anonymous / MB})
