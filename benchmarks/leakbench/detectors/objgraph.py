"""``objgraph.growth()`` after each batch. It judges nothing: what it lists six times in a row is accused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import objgraph

from benchmarks.leakbench.plain_rule import accusation
from benchmarks.leakbench.scenario import Scenario

# As many as this profiler takes for a verdict, after as many for warm-up.
_IN_A_ROW, _WARM_UP = 6, 3


class Detector:
    """Calls it as its manual does, with the types' full names."""

    def __init__(self, _scenario: Scenario) -> None:
        self._peaks: dict[str, int] = {}

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        streaks: Counter[str] = Counter()
        for number, requests in enumerate(batches):
            grown = {name for name, _, _ in objgraph.growth(limit=10, peak_stats=self._peaks, shortnames=False)}
            if number >= _WARM_UP:
                streaks = Counter({name: streaks[name] + 1 for name in grown})
            leaks = [accusation(name) for name, streak in streaks.items() if streak >= _IN_A_ROW]
            write({"batch": number, "requests": requests, "leaks": leaks})
