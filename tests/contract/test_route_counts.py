"""Requests are counted under their route, once, when the response has ended."""

from __future__ import annotations

import contextlib


def counted(profiler):
    return profiler.metrics().route_requests


def test_routes_are_counted_by_template(host):
    """Each request counts under method and template, also one that raises; what no route answers is one bucket.

    Where no router tells that there is a route at all, a path that fails must come some times first.
    """
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    client.get("/hello")
    client.get("/hello")
    client("POST", "/echo", body=b"x")
    client.get("/stream")
    for number in range(30):
        client.get(f"/wp-admin/{'x' * number}.php")
    for _ in range(5):
        with contextlib.suppress(ZeroDivisionError):
            client.get("/boom")
    unsure = 0 if host.sees_routes else 4
    assert counted(profiler) == {
        "GET /hello": 2,
        "POST /echo": 1,
        "GET /stream": 1,
        "GET /boom": 5 - unsure,
        "<unmatched>": 30 + unsure,
    }
    assert profiler.traffic.in_flight == 0


def test_requests_that_fail_are_counted(host):
    """A request that raises has failed, by whatever it is answered; one that no route answers has not."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for path in ("/hello", "/nowhere", *3 * ["/boom"]):
        with contextlib.suppress(ZeroDivisionError):
            client.get(path)
    assert profiler.traffic.failed == 3


def test_routes_are_capped(host):
    """More routes than `max_routes` share one bucket, and no request is lost."""
    profiler = host.stepped(max_routes=2)
    client = host.serve(profiler=profiler)
    for path in ("/hello", "/stream", "/nowhere"):
        client.get(path)
    for _ in range(2):
        client("POST", "/echo", body=b"x")
    assert counted(profiler) == {"GET /hello": 1, "GET /stream": 1, "<other>": 2, "<unmatched>": 1}


def test_scrapes_are_not_counted(host):
    """A scrape is not the host's request."""
    profiler = host.stepped()
    host.serve(profiler=profiler).get("/metrics")
    assert counted(profiler) == {}


def test_requests_by_route_are_a_metric(host):
    """The scrape has the requests of each route and those in flight."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    client.get("/hello")
    profiler.step()
    text = client.get("/metrics").text
    assert 'fogcompute_memory_route_requests_total{route="GET /hello",worker="0"} 1.0' in text
    assert 'fogcompute_memory_requests_in_flight{worker="0"} 0.0' in text
