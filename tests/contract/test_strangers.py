"""What strangers send takes no names, and comes out of the profiler harmless."""

from __future__ import annotations

import pytest

from memprof_middleware.routes.counter import UNMATCHED

FORGED = ["/x%0A[CRITICAL]%20forged%1B[31m", "/x%0D%0A", "/%E2%80%AEgpj.exe", "/%00", "/%C2%9B31m", "/%E2%80%A8"]


def counted(profiler):
    return profiler.metrics().route_requests


def test_forged_paths_come_out_harmless(host):
    """No control character, line break or mark of direction of a path is in a route, a metric or a report."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for path in FORGED:
        for _ in range(5):
            client.get(path)
    profiler.step()
    routes = counted(profiler)
    assert sum(routes.values()) == 5 * len(FORGED)
    assert all(route.isprintable() for route in routes)
    assert all(line.isprintable() for line in client.get("/metrics").text.split("\n"))


@pytest.mark.parametrize("own", [302, 400, 401, 403, 404, 405, 500])
def test_a_scanner_takes_no_names(host, own):
    """300 paths that are answered with an error leave the names to what the application serves."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for number in range(300):
        client.get(f"/{own}/{'abcdefghij'[number % 10] * (1 + number // 10)}")
    for _ in range(5):
        client.get("/hello")
    assert counted(profiler) == {UNMATCHED: 300, "GET /hello": 5}
