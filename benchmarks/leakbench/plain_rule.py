"""The rule of the specification by itself, as many a dashboard has it: the yardstick that a diagnosis must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

Line = Mapping[str, Any]
WINDOW = 10
_PERCENT, _OBJECTS = 50.0, 100
# Consistent: of the steps of a window, as many go up.
_RISES = 7
# What a profiler holds itself is no verdict on its host.
_OWN = "memprof_middleware."


def verdicts(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines with the verdicts of the plain rule: types that grew by 50 % and by 100 objects in ten snapshots."""
    return [{**line, "leaks": _leaks(lines[max(0, i + 1 - WINDOW) : i + 1])} for i, line in enumerate(lines)]


def accusation(name: str, holder: str = "") -> dict[str, Any]:
    """A verdict of a tool that knows types only, in the form of ``Leak.to_dict()``."""
    return {"name": name, "state": "confirmed", "kind": "objects", "also": [], "holder": holder, "route": ""}


def _leaks(window: Sequence[Line]) -> list[dict[str, Any]]:
    if len(window) < WINDOW:
        return []
    return [
        accusation(name)
        for name in window[-1]["types"]
        if not name.startswith(_OWN) and _grows([line["types"].get(name, 0) for line in window])
    ]


def _grows(counts: Sequence[int]) -> bool:
    gained = counts[-1] - counts[0]
    rises = sum(b > a for a, b in pairwise(counts))
    return gained > _OBJECTS and 100.0 * gained / max(counts[0], 1) > _PERCENT and rises >= _RISES
