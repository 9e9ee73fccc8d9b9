"""python-leak-hunter, as its manual says: two equal windows of calls after a warm-up of three, and one report.

A call is a batch. Its report comes at the end; its ``why_alive`` is asked about the type that it suspects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from leak_hunter import measure_growth, why_alive

from benchmarks.leakbench.plain_rule import accusation
from benchmarks.leakbench.scenario import Scenario

_WARM_UP = 3
_GLOBAL = re.compile(r"module ([\w.]+), global '(\w+)'")


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
        holder = _as_ours(why_alive(report.suspect).format()) if report.suspect else ""
        leaks = [accusation(one.type_name, holder) for one in report.growing]
        for leak in leaks:  # it leaves out "builtins"
            leak["name"] = leak["name"] if "." in leak["name"] else f"builtins.{leak['name']}"
        write({"batch": self._requests // first, "requests": self._requests, "leaks": leaks})


def _as_ours(text: str) -> str:
    """Its answer with the places spelled as the labels spell them, so that it is judged by what it says."""
    text = _GLOBAL.sub(r"\1.\2", text).replace("outside Python:", "held in native memory:")
    return " ".join(text.split())[:500]
