"""python-leak-hunter, as its manual says: two equal windows of calls after a warm-up of three, and one report.

A call is a batch. Its report comes at the end; its ``why_alive`` is asked about the type that it suspects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from leak_hunter import measure_growth, why_alive

from benchmarks.leakbench.plain_rule import accusation
from benchmarks.leakbench.scenario import Scenario

_WARM_UP = 3


class Detector:
    """Measures once, over the whole run."""

    def __init__(self, scenario: Scenario) -> None:
        self._requests = scenario.requests

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        next(batches)
        first = next(batches)  # tells how many there will be
        iterations = (self._requests // first - 1 - _WARM_UP) // 2
        report = measure_growth(lambda: next(batches, None), iterations=max(1, iterations), warmup=_WARM_UP)
        holder = why_alive(report.suspect).format() if report.suspect else ""
        leaks = [accusation(one.type_name, holder) for one in report.growing]
        for leak in leaks:  # it leaves out "builtins"
            leak["name"] = leak["name"] if "." in leak["name"] else f"builtins.{leak['name']}"
        write({"batch": self._requests // first, "requests": self._requests, "leaks": leaks})
