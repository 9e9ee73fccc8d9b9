"""Decide when a route that keeps memory is reported as a leak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memprof_middleware.config import Config
from memprof_middleware.model import MB, Condition, MemoryMetrics, RouteGrowth
from memprof_middleware.model.urgency import hours_left, urgency
from memprof_middleware.text.conditions import route_message

# The interval's ends are within this factor of one another; nobody can read a wider one.
_WITHIN = 3.0
# Requests of its own that a route has answered at the least.
_LEAST_REQUESTS = 1000


def route_conditions(
    growths: Iterable[RouteGrowth], config: Config, heap_size_mb: float | None, left: float | None = None
) -> list[Condition]:
    """The routes that keep memory for certain, as conditions: one for each, by bytes where known, else by objects.

    Even the low end of the interval must reach ``route_min_bytes``, or one object, and a third of the high end: a wider
    one is worth a line in the report and no alert. High is a route that by itself passes the limit of growth per
    hour, medium any other.

    Args:
        growths: what requests keep.
        config: the limits.
        heap_size_mb: memory that the process may use.
        left: bytes until a limit is reached.
    """
    found: dict[tuple[str, ...], Condition] = {}
    for growth in growths:
        least = config.route_min_bytes if growth.unit == "bytes" else 1.0
        routes = (growth.worker, growth.route, *growth.together_with)
        low, high = growth.per_request.low, growth.per_request.high
        if low < least or high > _WITHIN * low or growth.requests < _LEAST_REQUESTS or routes in found:
            continue
        in_bytes = growth.unit == "bytes"
        percent = 100 * growth.per_hour / (heap_size_mb * MB) if heap_size_mb and in_bytes else 0.0
        hours = hours_left(left, growth.per_hour) if in_bytes else None
        found[routes] = Condition(
            "route_leak",
            "high" if percent > config.heap_growth_percent_per_hour else "medium",
            growth.per_request.value,
            least,
            route_message(growth),
            subject=" + ".join(routes[1:]) + (f" in worker {growth.worker}" if growth.worker else ""),
            urgency=urgency(hours, leaking=True),
            limit_seconds=None if hours is None else 3600 * hours,
            route=" + ".join(routes[1:]),
            per_hour=growth.per_hour if in_bytes else None,
        )
    return list(found.values())


def group_growth(workers: Sequence[MemoryMetrics]) -> tuple[RouteGrowth, ...]:
    """The growth by route of all workers, as the worker with the lowest number found it."""
    first = min(workers, key=lambda worker: int(worker.worker), default=None)
    return () if first is None else first.route_growth
