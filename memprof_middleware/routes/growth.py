"""Decide when a route that keeps memory is reported as a leak."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from memprof_middleware.analysis.memory import BLOCK
from memprof_middleware.config import Config
from memprof_middleware.model import MB, Condition, Estimate, Leak, MemoryMetrics, RouteGrowth, RouteLeak
from memprof_middleware.model.urgency import Urgency
from memprof_middleware.text.conditions import route_message

# The interval's ends are within this factor of one another; nobody can read a wider one.
_WITHIN = 3.0
# Requests of its own that a route has answered at the least.
_LEAST_REQUESTS = 1000
# A route that has a smaller part of all growth grows beside the leak.
_LEAST_SHARE = 0.1


def route_leaks(growths: Iterable[RouteGrowth], config: Config) -> list[RouteLeak]:
    """The routes that keep memory for certain, those that keep the most first.

    Even the low end of the interval must reach ``route_min_bytes``, or one object, and a third of the high end: a wider
    one is worth a line in the report and no alert. Routes that keep about as much have one cause: what every request
    keeps is one leak and not one for each route. All figures are in bytes or all in objects, as the one has it that
    keeps most: the bytes of the C library do not see Python's small objects, and the objects no large buffers.

    Args:
        growths: what requests keep.
        config: the limits.
    """
    sure = [growth for growth in growths if _is_sure(growth, config)]
    unit = max(sure, key=_weight).unit if sure else ""
    sure = [growth for growth in sure if growth.unit == unit]
    found: list[RouteLeak] = []
    claimed: set[str] = set()
    for growth in sorted(sure, key=lambda growth: (growth.worker != "", -growth.kept)):
        if claimed.isdisjoint((growth.route, *growth.together_with)):
            alike = [other for other in sure if other.route not in claimed and _is_alike(other, growth)]
            leak = _together(growth, alike)
            claimed.update(leak.routes)
            if leak.growth.share >= _LEAST_SHARE:
                found.append(leak)
    return found


def untold(growths: Iterable[RouteGrowth], reported: Iterable[Leak]) -> list[RouteGrowth]:
    """The growths of which a reported leak does not say more.

    Memory may leave several routes whose traffic rises and falls together, where the leak's own count tells which of
    them it is: that line is there, and one that says "one of these" would take it back.

    Args:
        growths: what requests keep.
        reported: the leaks of this process that are not ignored.
    """
    named = {route for leak in reported if leak.notable for route in leak.routes}
    return [one for one in growths if one.identified or named.isdisjoint((one.route, *one.together_with))]


def _weight(growth: RouteGrowth) -> float:
    return growth.kept * (1.0 if growth.unit == "bytes" else BLOCK)


def _is_sure(growth: RouteGrowth, config: Config) -> bool:
    least = config.route_min_bytes if growth.unit == "bytes" else 1.0
    low, high = growth.per_request.low, growth.per_request.high
    return low >= least and high <= _WITHIN * low and growth.requests >= _LEAST_REQUESTS


def _is_alike(other: RouteGrowth, growth: RouteGrowth) -> bool:
    """Whether another route of the same workers may keep as much: their intervals overlap."""
    same = other.worker == growth.worker and other.unit == growth.unit and other.identified and growth.identified
    a, b = other.per_request, growth.per_request
    return same and other.route != growth.route and a.low <= b.high and b.low <= a.high


def _together(growth: RouteGrowth, alike: Sequence[RouteGrowth]) -> RouteLeak:
    """One leak of a route and of those that keep about as much, with the figures of all of them."""
    if not alike:
        return RouteLeak(growth=growth)
    every = (growth, *alike)
    kept, requests = sum(one.kept for one in every), sum(one.requests for one in every)
    low, high = min(one.per_request.low for one in every), max(one.per_request.high for one in every)
    figures = dataclasses.replace(
        growth,
        requests=requests,
        kept=kept,
        share=min(1.0, sum(one.share for one in every)),
        per_hour=sum(one.per_hour for one in every),
        per_request=Estimate(kept / requests, low, high),
    )
    ordered = sorted(alike, key=lambda one: -one.kept)
    return RouteLeak(growth=figures, others=tuple(one.route for one in ordered))


def route_condition(
    leak: RouteLeak,
    config: Config,
    heap_size_mb: float | None = None,
    urgent: Urgency = "plan",
    limit_seconds: float | None = None,
    pid: int | None = None,
    *,
    said: bool = False,
) -> Condition:
    """A leak of a route as a condition.

    High is a route that by itself passes the limit of growth per hour, medium any other. A route is another view of a
    confirmed leak: it is as urgent, and reaches the limit at the same time.

    Args:
        leak: what its requests keep.
        config: the limits.
        heap_size_mb: memory that the process may use.
        urgent: how soon somebody has to act because of the confirmed leaks.
        limit_seconds: until the limit is reached because of them.
        pid: the process that the figures are about, where they are about one of several.
        said: a confirmed leak that is reported has these routes.
    """
    growth = leak.growth
    in_bytes = growth.unit == "bytes"
    percent = 100 * growth.per_hour / (heap_size_mb * MB) if heap_size_mb and in_bytes else 0.0
    route = " + ".join(leak.routes)
    return Condition(
        "route_leak",
        "high" if percent > config.heap_growth_percent_per_hour else "medium",
        growth.per_request.value,
        config.route_min_bytes if in_bytes else 1.0,
        route_message(leak, pid),
        subject=route + (f" in worker {growth.worker}" if growth.worker else ""),
        urgency=urgent,
        limit_seconds=limit_seconds,
        route=route,
        per_hour=growth.per_hour if in_bytes else None,
        kept=leak,
        said=said,
    )


def group_growth(workers: Sequence[MemoryMetrics]) -> tuple[RouteGrowth, ...]:
    """The growth by route of all workers, as the worker with the lowest number found it."""
    first = min(workers, key=lambda worker: int(worker.worker), default=None)
    return () if first is None else first.route_growth


def group_leaks(workers: Sequence[MemoryMetrics]) -> tuple[RouteLeak, ...]:
    """The leaks by route that are reported, as the worker with the lowest number that has judged says."""
    judged = sorted((one for one in workers if one.route_leaks is not None), key=lambda worker: int(worker.worker))
    return judged[0].route_leaks or () if judged else ()
