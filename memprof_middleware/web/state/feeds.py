"""The routes that feed a leak, with the amount kept per request. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memprof_middleware.model import Leak, MemoryMetrics, RouteGrowth
from memprof_middleware.model.leak import routes_of
from memprof_middleware.model.route import Estimate

_MOST = 3
_BYTES = "bytes"
_MEMORY = frozenset({"native", "mapped", "fragmentation"})


def feeds(leak: Leak, metrics: Sequence[MemoryMetrics]) -> list[dict[str, Any]]:
    """The routes of a leak, else those of its type; the largest share first.

    Args:
        leak: the leak.
        metrics: the figures of every live worker, with growth by route.
    """
    known = [growth for one in metrics for growth in one.route_growth if growth.identified]
    if leak.route:
        return [_feed(leak, leak.route, known)]
    return [_feed(leak, growth.route, known) for growth in routes_of(leak, known)[:_MOST]]


def _feed(leak: Leak, route: str, known: Sequence[RouteGrowth]) -> dict[str, Any]:
    of_it = [growth for growth in known if growth.route == route]
    unit = _BYTES if leak.kind in _MEMORY else leak.name
    counted = next((growth for growth in of_it if growth.unit == unit), None)
    memory = next((growth for growth in of_it if growth.unit == _BYTES), None)
    estimate = leak.route_per_request or (None if counted is None else counted.per_request)
    share = leak.route_share if leak.route else None
    share = counted.share if share is None and counted is not None else share
    return {
        "route": route,
        "unit": unit,
        "per_request": None if estimate is None else estimate.value,
        "low": None if estimate is None else estimate.low,
        "high": None if estimate is None else estimate.high,
        "bytes": _bytes(leak, estimate, memory),
        "share": share,
    }


def _bytes(leak: Leak, estimate: Estimate | None, memory: RouteGrowth | None) -> float | None:
    """The bytes of what a request keeps: by the weight of the leak.

    The figure of the route by itself counts what the C library gives out, and Python's objects lie elsewhere.
    """
    if leak.kind not in _MEMORY and estimate is not None and leak.bytes_per_hour > 0 and leak.growth_per_hour > 0:
        return estimate.value * leak.bytes_per_hour / leak.growth_per_hour
    return None if memory is None else memory.per_request.value
