"""Metrics of requests and garbage collections: what the host does, and what each route leaves behind."""

from __future__ import annotations

from memprof_middleware.metrics.spec import ALL, MetricSpec, Samples, each, labelled, of_snapshot
from memprof_middleware.model.clean import clean
from memprof_middleware.routes.growth import group_growth, group_leaks
from memprof_middleware.text.conditions import route_names

# Of a label: two routes and how many more.
_LONGEST = 300


def _route_growth(unit: str) -> Samples:
    """One figure for all workers, and one for a worker that differs; none for routes that cannot be told apart."""
    return lambda workers: (
        ((growth.worker or ALL, growth.route), growth.per_request.value)
        for growth in group_growth(workers)
        if growth.unit == unit and growth.identified
    )


def _route_leaks(unit: str) -> Samples:
    """One figure for each leak of routes that is reported, by the names of its routes."""
    return lambda workers: (
        ((leak.growth.worker or ALL, clean(route_names(leak), _LONGEST)), leak.growth.per_request.value)
        for leak in group_leaks(workers)
        if leak.growth.unit == unit
    )


COLLECTIONS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_gc_pause_seconds_total",
        "counter",
        "Time spent in garbage collections, in seconds.",
        of_snapshot(lambda s: s.gc_pause_seconds),
    ),
    MetricSpec(
        "memory_gc_pause_max_seconds",
        "gauge",
        "Longest garbage collection of the last interval, in seconds.",
        of_snapshot(lambda s: s.gc_pause_max_seconds),
    ),
    MetricSpec(
        "memory_frozen_objects",
        "gauge",
        "Objects frozen by gc.freeze(). They are not counted. Absent without the extra `fast`.",
        of_snapshot(lambda s: s.frozen_objects),
    ),
)
REQUESTS: tuple[MetricSpec, ...] = (
    MetricSpec("memory_requests_total", "counter", "Requests answered.", each(lambda m: m.requests)),
    MetricSpec(
        "memory_requests_in_flight",
        "gauge",
        "Requests running at the last snapshot.",
        each(lambda m: m.in_flight),
    ),
    MetricSpec(
        "memory_route_requests_total",
        "counter",
        "Requests answered, by route.",
        labelled(lambda m: m.route_requests),
        ("route",),
    ),
    MetricSpec(
        "memory_route_growth_bytes_per_request",
        "gauge",
        "Bytes that each request of a route leaves behind. Only routes that leave any.",
        _route_growth("bytes"),
        ("route",),
    ),
    MetricSpec(
        "memory_route_growth_objects_per_request",
        "gauge",
        "Blocks of Python's allocator that each request of a route leaves behind. Only routes that leave any.",
        _route_growth("objects"),
        ("route",),
    ),
    MetricSpec(
        "memory_route_leak_bytes_per_request",
        "gauge",
        "Bytes kept per request by the routes of a reported leak, until its growth is over.",
        _route_leaks("bytes"),
        ("route",),
    ),
    MetricSpec(
        "memory_route_leak_objects_per_request",
        "gauge",
        "Blocks of Python's allocator kept per request by the routes of a reported leak, until its growth is over.",
        _route_leaks("objects"),
        ("route",),
    ),
)
