"""What routes are called."""

from __future__ import annotations

import tracemalloc

import pytest

from memprof_middleware.routes.labels import FOLDED, LABELS, below


def test_methods_are_bounded() -> None:
    """Methods that HTTP does not know are one, and a template has a longest length."""
    assert LABELS["GET", "/x"] == "GET /x"
    assert LABELS["BREW", "/x"] == LABELS["WHEN", "/x"] == "OTHER /x"
    assert len(LABELS["GET", "/" * 10_000]) < 200


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
    assert FOLDED["GET", path] == f"GET {name}"


@pytest.mark.parametrize("bad", ["\n", "\r", "\x1b[31m", "\x07", "\0", "\x9b", "\u202e", "\u2028", "\u200b", "\ud800"])
def test_labels_are_safe(bad: str) -> None:
    """No control character, line break or mark of direction comes out of a method or path that a stranger chose."""
    for name in (
        LABELS["GET", f"/a{bad}b"],
        LABELS[f"G{bad}T", "/"],
        FOLDED["GET", f"/a{bad}b"],
        FOLDED[bad, f"/{bad}"],
    ):
        assert name.isprintable()


def test_labels_of_long_paths_are_not_kept() -> None:
    """Caches are bound in bytes: after thousands of long paths and methods, all different, they hold under 2 MB."""
    tracemalloc.start()
    try:
        for number in range(3_000):
            long = f"/{number}" + "\U0001f600" * 5_000
            FOLDED["GET", long]
            LABELS["GET", long]
            FOLDED[long, "/"]
            LABELS[long, "/"]
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("path", "root", "rest"),
    [
        ("/metrics", "", "/metrics"),
        ("/metrics", "/", "/metrics"),
        ("/metrics", "/me", "/metrics"),
        ("/shop/metrics", "/shop", "/metrics"),
        ("/shop/metrics", "/shop/", "/metrics"),
        ("/metrics", "/shop", "/metrics"),
        ("/shop", "/shop", ""),
    ],
)
def test_prefixes_end_at_a_slash(path: str, root: str, rest: str) -> None:
    """A prefix is taken off where it is one; a path that only begins alike stays."""
    assert below(path, root) == rest
