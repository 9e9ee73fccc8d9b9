"""memalot, as its manual says for work that comes in calls: what is made in one call and outlives the next.

It judges nothing: it lists whatever lived. A type that is in two reports in a row is accused. It is not asked for
referrers, which it looks for up to five minutes for each object that it lists, nor for untracked objects: with the
default of three levels one of its snapshots of a small application took 15 to 30 s.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memalot import create_leak_monitor

from benchmarks.leakbench.plain_rule import accusation
from benchmarks.leakbench.scenario import Scenario

# More than two calls before a report end in an error of its own (2.0.3), so a call is some batches;
# one for warm-up, and twice two make the forty of a run.
_BATCHES, _CALLS = 8, 2


class Detector:
    """Puts its monitor around each batch and reads the reports that it writes."""

    def __init__(self, _scenario: Scenario) -> None:
        self._folder = tempfile.TemporaryDirectory()

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        monitor = create_leak_monitor(
            warmup_calls=1,
            max_object_age_calls=_CALLS,
            check_referrers=False,
            max_untracked_search_depth=0,
            report_directory=Path(self._folder.name),
            output_func=lambda _text: None,
            max_object_details=0,
            str_func=lambda _value, _length: "",
        )
        requests, before, read = next(batches), set[str](), 0
        write({"batch": 0, "requests": requests, "leaks": []})
        for number in itertools.count(_BATCHES, _BATCHES):
            with monitor:
                done = list(itertools.islice(batches, _BATCHES))
            reports = sorted(Path(self._folder.name).glob("**/iteration_report_*.json"), key=_number)
            if len(reports) > read:
                read, listed = len(reports), _types(json.loads(reports[-1].read_text()))
                leaks = [accusation(name) for name in sorted(listed & before)]
                before = listed
                write({"batch": number, "requests": done[-1] if done else requests, "leaks": leaks})
            if len(done) < _BATCHES:
                return


def _number(report: Path) -> int:
    return int(report.stem.rpartition("_")[2])


def _types(report: dict[str, Any]) -> set[str]:
    found = set()
    for one in report["leak_summary"]["type_summaries"]:
        name = one["object_type"]
        found.add(name if "." in name else f"builtins.{name}")
    return found
