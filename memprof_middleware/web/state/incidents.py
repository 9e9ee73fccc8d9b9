"""Leaks and suspects as the page shows them: one line an incident, whichever workers have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model import SEVERITIES, Leak, MemoryMetrics

# What first, last and growth count, by kind; memory is counted in bytes.
UNITS = {
    "objects": "objects",
    "container": "entries",
    "untracked": "blocks",
    "native": "bytes",
    "mapped": "bytes",
    "fragmentation": "bytes",
}
STATES = ("confirmed", "suspected", "resolved")
KINDS = {
    "objects": "",
    "container": "a container that only grows",
    "untracked": "bytes, strings or numbers, which are not counted by type",
    "native": "memory outside Python: memray shows it, this page's flame graph does not",
    "mapped": "memory mapped outside the allocators, owner unknown: a C extension, thread stacks or mapped files",
    "fragmentation": "freed memory that the allocator keeps: nothing leaks, and it is not given back",
}


def incidents(metrics: Sequence[MemoryMetrics]) -> list[dict[str, Any]]:
    """A row for each thing that grows, confirmed ones first, then the most certain, then the fastest."""
    found: dict[tuple[str, str], list[tuple[str, Leak]]] = {}
    for one in metrics:
        for leak in one.leaks:
            found.setdefault((leak.kind, leak.name), []).append((one.worker, leak))
    rows = [_incident(metrics, pairs) for pairs in found.values()]
    return sorted(
        rows,
        key=lambda row: (STATES.index(row["state"]), not row["notable"], -row["confidence"], -row["growth_per_hour"]),
    )


def beginning(leaks: Sequence[Mapping[str, Any]], start: float, end: float) -> list[dict[str, Any]]:
    """The mark of a picture where the worst incident begins, if it is open and the picture shows that moment."""
    return [
        {
            "time": leak["since"],
            "text": "leak starts" if leak["state"] == "confirmed" else "suspect grows",
            "kind": "bad" if leak["state"] == "confirmed" else "warn",
        }
        for leak in leaks[:1]
        if is_open(leak) and start <= leak["since"] <= end
    ]


def is_open(leak: Mapping[str, Any]) -> bool:
    """Whether it still has to be looked after."""
    return bool(leak["state"] != "resolved")


def _incident(metrics: Sequence[MemoryMetrics], pairs: Sequence[tuple[str, Leak]]) -> dict[str, Any]:
    leaks = [leak for _, leak in pairs]
    state = min((leak.state for leak in leaks), key=STATES.index)
    telling = [leak for leak in leaks if leak.state == state]
    kind = leaks[0].kind
    kept = [value for leak in leaks if (value := leak.growth_per_request) is not None]
    return {
        "state": state,
        "notable": any(leak.notable for leak in telling),
        "confidence": max(leak.confidence for leak in telling),
        "name": leaks[0].name,
        "kind": kind,
        "severity": max((leak.severity for leak in telling), key=SEVERITIES.index),
        "first": sum(leak.first for leak in leaks),
        "last": sum(leak.last for leak in leaks),
        "growth_per_hour": sum(leak.growth_per_hour for leak in leaks),
        "holder": next((leak.holder for leak in telling if leak.holder), ""),
        "route": _route(metrics, telling),
        "growth_per_request": max(kept, default=None),
        "since": min(leak.since for leak in telling),
        "workers": [worker for worker, _ in pairs],
        "unit": UNITS.get(kind, ""),
        "also": list(dict.fromkeys(name for leak in telling for name in leak.also)),
        "evidence": list(telling[0].evidence),
        "note": KINDS.get(kind, ""),
    }


def _route(metrics: Sequence[MemoryMetrics], leaks: Sequence[Leak]) -> str:
    """The route that feeds it, as the leak itself says, or as the attribution does for this type."""
    told = next((leak.route for leak in leaks if leak.route), "")
    if told:
        return told
    names = {leak.name for leak in leaks}
    for one in metrics:
        for growth in one.route_growth:
            if growth.unit in names and growth.identified:
                return growth.route
    return ""
