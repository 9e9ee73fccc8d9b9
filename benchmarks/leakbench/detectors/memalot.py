"""memalot, as its manual says for work that comes in calls: what is made in one batch and lives for nine more.

It judges nothing: it lists whatever lived. A type that is in two reports in a row is accused. It is not asked for
referrers, which it looks for up to five minutes for each object that it lists, nor for untracked objects: with the
default of three levels one of its snapshots of a small application took 15 to 30 s.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memalot import create_leak_monitor

from benchmarks.leakbench.plain_rule import accusation
from benchmarks.leakbench.scenario import Scenario

_WARM_UP, _LIVES = 3, 10


class Detector:
    """Puts its monitor around each batch and reads the reports that it writes."""

    def __init__(self, _scenario: Scenario) -> None:
        self._folder = tempfile.TemporaryDirectory()

    def wrap(self, app: Any, _interface: str) -> Any:
        return app

    def watch(self, batches: Iterator[int], write: Callable[[dict[str, Any]], None]) -> None:
        monitor = create_leak_monitor(
            warmup_calls=_WARM_UP,
            max_object_age_calls=_LIVES,
            check_referrers=False,
            max_untracked_search_depth=0,
            report_directory=Path(self._folder.name),
            output_func=lambda _text: None,
            max_object_details=0,
            str_func=lambda _value, _length: "",
        )
        number, requests, before, leaks, read = 0, next(batches), set[str](), [], 0
        while requests is not None:
            write({"batch": number, "requests": requests, "leaks": leaks})
            with monitor:
                requests = next(batches, None)
            number += 1
            reports = list(Path(self._folder.name).glob("**/iteration*.json"))
            if len(reports) > read:
                read, newest = len(reports), max(reports, key=lambda path: int("".join(filter(str.isdigit, path.stem))))
                listed = _types(json.loads(newest.read_text()))
                leaks = [accusation(name) for name in sorted(listed & before)]
                before = listed


def _types(report: dict[str, Any]) -> set[str]:
    found = set()
    for one in report["leak_summary"]["type_summaries"]:
        name = one["object_type"]
        found.add(name if "." in name else f"builtins.{name}")
    return found
