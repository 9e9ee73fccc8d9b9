"""Which routes are reported to leak, and as how many leaks."""

from __future__ import annotations

from typing import Any

from memprof_middleware import Config
from memprof_middleware.model import Estimate, Leak, MemoryMetrics, RouteGrowth, RouteLeak
from memprof_middleware.routes.growth import group_leaks, route_condition, route_leaks, untold


def growth(route: str, value: float = 2000.0, spread: float = 0.1, requests: int = 10_000, **more: Any) -> RouteGrowth:
    """What a route keeps, with an interval of so much to either side."""
    fields = {"unit": "bytes", "share": 0.5, "kept": value * requests, "per_hour": value * requests, "windows": 60}
    estimate = Estimate(value, value * (1 - spread), value * (1 + spread))
    return RouteGrowth(route=route, requests=requests, per_request=estimate, **(fields | more))


def leaks(*growths: RouteGrowth) -> list[RouteLeak]:
    return route_leaks(growths, Config())


def test_what_every_request_keeps_is_one_leak() -> None:
    """Eleven routes that keep about as much are one leak, led by the one that keeps most, with the figures of all."""
    found = [growth(f"GET /r{n}", 2000 + 10 * n, requests=2000 + n, share=0.09) for n in range(11)]
    [leak] = leaks(*found)
    assert (leak.growth.route, len(leak.others)) == ("GET /r10", 10)
    assert leak.growth.requests == sum(one.requests for one in found)
    assert round(leak.growth.share, 2) == 0.99
    low, high = leak.growth.per_request.low, leak.growth.per_request.high
    assert (low, high) == (found[0].per_request.low, found[10].per_request.high)
    message = route_condition(leak, Config()).message
    assert message.startswith("GET /r10, GET /r9 and 9 other routes keep 2 KiB per request (")


def test_routes_that_keep_different_amounts_are_different_leaks() -> None:
    """Intervals that exclude each other have different causes."""
    found = leaks(growth("GET /a", 500_000.0), growth("POST /b", 2000.0))
    assert [leak.routes for leak in found] == [("GET /a",), ("POST /b",)]


def test_a_route_that_has_a_small_part_of_the_growth_is_no_leak() -> None:
    """What grows beside a leak by 4 % of all is in the report, and no alert."""
    found = leaks(growth("GET /a", 17_000.0, share=0.95), growth("GET /b", 240.0, share=0.04))
    assert [leak.routes for leak in found] == [("GET /a",)]


def test_what_a_leak_tells_is_not_taken_back() -> None:
    """A leak's own count names its routes; that memory leaves three to choose from is no line beside it."""

    def reported(route: str, *, notable: bool = True) -> Leak:
        counts = {"first": 1, "last": 900, "growth_percent": 9e4, "growth_per_hour": 500.0}
        return Leak(
            name="app.Job", severity="low", since=0, detected_at=0, snapshots=9, route=route, notable=notable, **counts
        )

    apart, three = growth("GET /d"), growth("GET /a", together_with=("GET /b", "GET /c"))
    assert untold([apart, three], [reported("GET /a and GET /b")]) == [apart]
    assert untold([apart, three], [reported("GET /d")]) == [apart, three]
    assert untold([apart, three], [reported("GET /a or GET /b")]) == [apart, three]
    assert untold([apart, three], [reported("GET /a", notable=False)]) == [apart, three]


def test_objects_count_where_no_route_is_found_by_bytes() -> None:
    """The same memory is not reported twice, and what is too small for bytes is found by its objects."""
    objects = growth("GET /b", 9.0, unit="objects")
    assert [leak.routes for leak in leaks(growth("GET /a"), objects)] == [("GET /a",)]
    assert [leak.routes for leak in leaks(objects)] == [("GET /b",)]


def test_a_route_is_told_by_what_it_keeps_most_of() -> None:
    """A session of 700 small objects is no 1.4 KiB: that is what the C library has of it."""
    objects = growth("POST /login", 691.0, unit="objects")
    [leak] = leaks(growth("POST /login", 1400.0), objects)
    assert leak.growth == objects
    message = route_condition(leak, Config()).message
    assert message.startswith("POST /login keeps 691 objects per request (")


def test_a_route_is_as_urgent_as_the_leak_that_it_feeds() -> None:
    """It is another view of a confirmed leak: no arithmetic of its own says another time, and no number a process."""
    [leak] = leaks(growth("GET /a", worker="1"))
    assert route_condition(leak, Config()).urgency == "plan"
    condition = route_condition(leak, Config(), 512.0, "now", 3600.0, 4243)
    assert (condition.urgency, condition.limit_seconds) == ("now", 3600.0)
    assert " per request in worker 1, process 4243 (" in condition.message
    assert condition.subject == "GET /a in worker 1"


def test_a_route_is_one_leak_in_all_workers_and_in_one() -> None:
    """Found for all and again for one worker, it is reported for all."""
    [leak] = leaks(growth("GET /a", worker="1", kept=1e9), growth("GET /a"))
    assert leak.growth.worker == ""


def test_routes_that_cannot_be_told_apart_stay_together() -> None:
    """They are one leak already, and nothing is added to them."""
    found = leaks(growth("GET /a", together_with=("GET /b",)), growth("GET /c"))
    assert [(leak.routes, leak.others) for leak in found] == [(("GET /a", "GET /b"), ()), (("GET /c",), ())]


def test_a_wide_interval_and_few_requests_are_no_leak() -> None:
    """Both are worth a line in the report."""
    assert leaks(growth("GET /a", spread=0.6), growth("GET /b", requests=900)) == []


def test_the_leaks_of_the_server_are_those_of_the_first_worker_that_has_judged() -> None:
    """A worker that has just begun has judged nothing, and takes no figure away."""
    leak = RouteLeak(growth=growth("GET /a"))
    young = MemoryMetrics(worker="0", pid=1, start_time=0.0)
    old = MemoryMetrics(worker="1", pid=2, start_time=0.0, route_leaks=(leak,))
    assert group_leaks([old, young]) == (leak,)
    assert MemoryMetrics.from_dict(old.to_dict()) == old
    assert group_leaks([young]) == ()
