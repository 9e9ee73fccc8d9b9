"""Counting requests by route."""

from __future__ import annotations

import threading

import pytest

from memprof_middleware.route_labels import folded, label
from memprof_middleware.traffic import OTHER, UNMATCHED, Traffic


def test_counts_are_exact_across_threads() -> None:
    """With the GIL no increment is lost, however many threads count the same route."""
    traffic = Traffic()

    def work() -> None:
        for _ in range(20_000):
            traffic.started += 1
            traffic.end("GET /")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic.read() == ({"GET /": 160_000}, 0)


def test_names_are_capped() -> None:
    """Whatever comes after the cap is counted together; the unmatched bucket always has its own place."""
    traffic = Traffic(3)
    for number in range(10):
        traffic.end(f"GET /{number}")
    traffic.end(UNMATCHED)
    counts, _ = traffic.read()
    assert counts == {"GET /0": 1, "GET /1": 1, "GET /2": 1, OTHER: 7, UNMATCHED: 1}


def test_methods_are_bounded() -> None:
    """Methods that HTTP does not know are one, and a template has a longest length."""
    assert label("GET", "/x") == "GET /x"
    assert label("BREW", "/x") == label("WHEN", "/x") == "OTHER /x"
    assert len(label("GET", "/" * 10_000)) < 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/users/17", "/users/{id}"),
        ("/users/17/orders/3", "/users/{id}/orders/{id}"),
        ("/o/0190163d-8694-739b-aea5-966c26f8ad91", "/o/{id}"),
        ("/commit/9fceb02d0ae598e95dc970b74767f19372d61af8", "/commit/{id}"),
        ("/s/eyJhbGciOiJIUzI1NiJ9.abc", "/s/{id}"),
        ("/about/us", "/about/us"),
        ("/feedface", "/feedface"),
        ("/v2/items", "/v2/items"),
        ("/", "/"),
    ],
)
def test_ids_are_folded(path: str, name: str) -> None:
    """Numbers, UUIDs, hashes and tokens fold; words and versions stay."""
    assert folded("GET", path) == f"GET {name}"
