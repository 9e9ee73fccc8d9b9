"""When a route that keeps memory is a leak to be told of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memprof_middleware.config import Config
from memprof_middleware.model import MB, Breach, MemoryMetrics, RouteGrowth

_SURE = 0.5


def route_breaches(growths: Iterable[RouteGrowth], config: Config, heap_size_mb: float | None) -> list[Breach]:
    """The routes that leak, as conditions: one for each, by bytes where those are known, else by objects.

    Even the low end of the interval must reach ``route_min_bytes``, or one object, and half of the estimate: a wider
    one is worth a line in the report and no alert. High is a route that by itself passes the limit of growth per
    hour, medium any other.
    """
    found: dict[tuple[str, ...], Breach] = {}
    for growth in growths:
        least = config.route_min_bytes if growth.unit == "bytes" else 1.0
        routes = (growth.worker, growth.route, *growth.together_with)
        low, value = growth.per_request.low, growth.per_request.value
        if low < least or low < _SURE * value or routes in found:
            continue
        percent = 100 * growth.per_hour / (heap_size_mb * MB) if heap_size_mb and growth.unit == "bytes" else 0.0
        found[routes] = Breach(
            "route_leak",
            "high" if percent > config.heap_growth_percent_per_hour else "medium",
            growth.per_request.value,
            least,
            f"{growth} ({growth.requests:,} requests in {growth.windows} windows)",
            subject=" + ".join(routes[1:]) + (f" in worker {growth.worker}" if growth.worker else ""),
        )
    return list(found.values())


def group_growth(workers: Sequence[MemoryMetrics]) -> tuple[RouteGrowth, ...]:
    """What was found for all workers: the one with the lowest number tells."""
    first = min(workers, key=lambda worker: int(worker.worker), default=None)
    return () if first is None else first.route_growth
