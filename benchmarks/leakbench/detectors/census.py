"""No detector at all: the application by itself and what grows in it, for labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.leakbench.runner import series
from benchmarks.leakbench.scenario import Scenario

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Detector:
    """Counts."""

    def __init__(self, _scenario: Scenario) -> None:
        return

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        for number, requests in enumerate(batches):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
            write({"batch": number, "requests": requests, "rss_mb": resident / 2**20, "leaks": [], **series()})
