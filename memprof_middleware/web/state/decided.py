"""Decisions of people: acknowledged incidents, and what is ignored. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memprof_middleware.model import Leak, MemoryMetrics
from memprof_middleware.model.urgency import URGENCIES, Urgency
from memprof_middleware.text.headline import from_to, holder, subject
from memprof_middleware.web.state.words import at, listed


def acknowledged(leak: Leak, urgent: Urgency, metrics: Sequence[MemoryMetrics], now: float) -> dict[str, Any] | None:
    """The time since when an incident is acknowledged; ``None``: it is not."""
    names = {subject(leak), leak.name}
    known = [one for worker in metrics for one in worker.acknowledged if one.incident in names]
    if not known:
        return None
    last = max(known, key=lambda one: one.since)
    words = f"acknowledged {at(last.since, now)}"
    if URGENCIES.index(urgent) > URGENCIES.index(last.urgency):
        words += ", more urgent since"
    return {"time": last.since, "words": words}


def ignorable(leak: Leak) -> list[dict[str, str]]:
    """The parts of an incident that can be ignored: holder, type and route, as in the setting ``ignore``."""
    place, found = holder(leak), []
    if place:
        found.append({"item": place, "name": place, "words": "this holder"})
    if leak.kind == "objects":
        found.append({"item": f"type:{leak.name}", "name": leak.name, "words": "this type"})
    elif not place:
        found.append({"item": leak.name, "name": leak.name, "words": "this incident"})
    if len(leak.routes) == 1:
        found.append({"item": f"route:{leak.route}", "name": leak.route, "words": "what this route keeps"})
    return found


def ignored(metrics: Sequence[MemoryMetrics]) -> list[dict[str, Any]]:
    """All ignored names of all workers, with their growth."""
    found: dict[str, list[Any]] = {}
    for one in metrics:
        for item in one.ignored:
            found.setdefault(item.item, []).append(item)
    return [
        {
            "item": name,
            "why": next((one.reason for one in items if one.reason), ""),
            "by": items[0].by,
            "until": "restart" if items[0].run else "",
            "growth": _growth([leak for one in items for leak in one.leaks]),
        }
        for name, items in found.items()
    ]


def _growth(leaks: Sequence[Leak]) -> str:
    """The growth of the worst few of some leaks, from how much to how much."""
    growing = {leak.name: leak for leak in sorted(leaks, key=lambda leak: leak.last - leak.first)}
    if not growing:
        return "does not grow"
    return listed([from_to(leak) for leak in growing.values()], 2)
