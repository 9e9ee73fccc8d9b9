"""What is known of a leak is one sentence, and no more is said than is known."""

from __future__ import annotations

from typing import Any

import pytest

from memprof_middleware import Leak
from memprof_middleware.model import MB, Estimate
from memprof_middleware.text.headline import (
    from_to,
    growth,
    headline,
    holder,
    hours_in_words,
    limit,
    memory,
    per_request,
    plain,
    subject,
    watched,
)

SESSIONS: dict[str, Any] = {"path": "shop.cart.SESSIONS[*].user"}
REQUESTS = "frame of uvicorn.server.Server.run.self.server_state.tasks"
CART: dict[str, Any] = {"route": "POST /cart", "route_share": 0.97, "route_per_request": Estimate(1.0, 0.95, 1.05)}
PREVIEW: dict[str, Any] = {"route": "POST /preview", "route_per_request": Estimate(218 * 1024, 210e3, 230e3)}
NATIVE: dict[str, Any] = {"name": "native memory", "kind": "native", "first": 50 * 2**20, "last": 84 * 2**20}
NATIVE |= {"growth_per_hour": 34.0 * MB}


def leak(**known: Any) -> Leak:
    fields: dict[str, Any] = {
        "name": "shop.models.Session",
        "severity": "high",
        "first": 150,
        "last": 400,
        "growth_percent": 167.0,
        "growth_per_hour": 1920.0,
        "since": 0.0,
        "detected_at": 0.0,
        "snapshots": 9,
    }
    return Leak(**(fields | known))


def kept(value: float, low: float, high: float) -> dict[str, Any]:
    return SESSIONS | CART | {"route_per_request": Estimate(value, low, high)}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (SESSIONS | CART, "shop.cart.SESSIONS keeps one Session for each POST /cart"),
        (kept(2.04, 2, 2.1), "shop.cart.SESSIONS keeps 2 Session objects for each POST /cart"),
        (kept(0.2, 0.19, 0.21), "shop.cart.SESSIONS keeps one Session for about 1 in 5 requests of POST /cart"),
        (kept(0.66, 0.6, 0.7), "shop.cart.SESSIONS keeps one Session for about 1 in 2 requests of POST /cart"),
        (kept(1.4, 1.3, 1.5), "shop.cart.SESSIONS keeps about 1.4 Session objects for each POST /cart"),
        (kept(1.0, 0.1, 7.0), "shop.cart.SESSIONS keeps Session objects of POST /cart"),
        (
            CART | {"name": REQUESTS, "kind": "container"},
            "Requests of POST /cart do not end: 150 to 400 in flight",
        ),
        ({"name": "shop.gate._waiters", "kind": "container"}, "Tasks wait for shop.gate: 150 to 400"),
        ({"path": "shop.gate._waiters[*].x"}, "Tasks that wait for shop.gate keep Session objects: 150 to 400"),
        ({"path": f"{REQUESTS}[*].scope"}, "Requests that do not end keep Session objects: 150 to 400"),
        (
            SESSIONS | {"failing": True},
            "shop.cart.SESSIONS keeps more and more Session objects: +1,920 an hour; it follows the requests that fail",
        ),
        (SESSIONS, "shop.cart.SESSIONS keeps more and more Session objects: +1,920 an hour"),
        (
            {"name": "app.PriceList", "path": "app.PriceList.quote[*][*]", "pattern": "lru_method"},
            "app.PriceList.quote keeps every PriceList it was called on",
        ),
        (CART, "POST /cart leaves one Session behind per request; holder not found"),
        (
            CART | {"holder": "held in native memory"},
            "POST /cart leaves one Session behind per request; holder not found",
        ),
        ({}, "Session objects are never freed: +1,920 an hour"),
        (
            {"name": "task feed.stream", "kind": "container", "last": 1412, "route": "WS /feed"},
            "1,412 feed.stream tasks never finish; WS /feed starts them",
        ),
        ({"name": "thread app.poll", "kind": "container", "last": 40}, "40 app.poll threads do not end"),
        (
            {"name": "timer keep_alive_handler", "kind": "container", "last": 6512, "route": "GET /"},
            "6,512 timers wait for keep_alive_handler; GET / starts them",
        ),
        ({"name": "sockets", "kind": "container"}, "Sockets are not closed: 150 to 400"),
        (
            {"name": "shop.geo.NAMES", "kind": "container", "first": 652, "last": 17351},
            "shop.geo.NAMES only grows: 652 to 17,351 entries",
        ),
        (
            {"name": "shop.geo.NAMES", "kind": "container"} | CART,
            "shop.geo.NAMES keeps one entry for each POST /cart",
        ),
        (NATIVE | PREVIEW, "Native memory grows: POST /preview keeps 218 KiB per request"),
        (NATIVE, "Native memory grows by 34 MiB an hour"),
        (
            NATIVE | {"kind": "mapped"},
            "Mapped memory grows by 34 MiB an hour: thread stacks, or maps of a C extension",
        ),
        (
            NATIVE | {"kind": "fragmentation", "last": 170 * 2**20, "growth_per_hour": 20.0 * MB},
            "Freed memory is not given back: +120 MiB in 6 h. Nothing leaks",
        ),
    ],
)
def test_headline(known: dict[str, Any], told: str) -> None:
    """Holder, type and route in one sentence, as far as they are known; a rate that is wide is no figure."""
    assert plain(headline(leak(**known))) == told


FRAMES = {"name": "builtins.frame", "named": "frame of app.handler"}
FOUR = {"route_per_request": Estimate(4.0, 3.9, 4.1)}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (FRAMES | CART, "POST /cart leaves one frame of app.handler behind per request; holder not found"),
        (FRAMES | CART | FOUR, "POST /cart leaves 4 frames of app.handler behind per request; holder not found"),
        (CART | FOUR, "POST /cart leaves 4 Session objects behind per request; holder not found"),
        (FRAMES | {"route": "GET /"}, "GET / leaves frames of app.handler behind; holder not found"),
        (FRAMES, "frames of app.handler are never freed: +1,920 an hour"),
        (
            SESSIONS | CART | FOUR | {"name": "weakref.ReferenceType", "named": "weak reference to app.Visit"},
            "shop.cart.SESSIONS keeps 4 weak references to app.Visit for each POST /cart",
        ),
        (SESSIONS | CART | FOUR | {"name": "builtins.type"}, "shop.cart.SESSIONS keeps 4 classes for each POST /cart"),
        (
            SESSIONS | CART | FOUR | {"name": "builtins.cell"},
            "shop.cart.SESSIONS keeps 4 closure variables for each POST /cart",
        ),
        (
            {"name": "shop.geo.NAMES", "kind": "container"} | CART | FOUR,
            "shop.geo.NAMES keeps 4 entries for each POST /cart",
        ),
        ({"name": "task feed.stream", "kind": "container", "last": 1}, "1 feed.stream task never finishes"),
        ({"name": "thread app.poll", "kind": "container", "last": 1}, "1 app.poll thread does not end"),
        ({"name": "timer app.expire", "kind": "container", "last": 1}, "1 timer waits for app.expire"),
    ],
)
def test_several_are_in_the_plural(known: dict[str, Any], told: str) -> None:
    """One thing and several are told apart: frames, entries, classes; the name of a type stays as it is."""
    assert plain(headline(leak(**known))) == told


def test_names_are_told_from_words() -> None:
    """A page sets holder, type and route in code type: they are parts of their own."""
    parts = headline(leak(**SESSIONS, **CART))
    assert [part.text for part in parts if part.code] == ["shop.cart.SESSIONS", "Session", "POST /cart"]


@pytest.mark.parametrize(
    ("known", "named"),
    [
        (
            {"holder": "app.ERRORS[*].__traceback__.tb_frame (60 % of a sample) and app.X (30 % of a sample)"},
            "app.ERRORS",
        ),
        ({"holder": "a.X and b.Y (40 % of a sample)"}, "a.X"),
        ({"holder": "nobody, or not collected yet"}, ""),
        ({"kind": "container", "name": "a.NAMES"}, "a.NAMES"),
        ({"kind": "container", "name": "open files"}, ""),
    ],
)
def test_holder(known: dict[str, Any], named: str) -> None:
    """The root of the path is the holder; where nothing is known to hold it, none is named."""
    assert holder(leak(**known)) == named
    assert subject(leak(**known)) == (named or leak(**known).name)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (NATIVE, "50 MiB to 84 MiB"),
        (NATIVE | {"kind": "mapped", "first": -10 * 2**20, "last": 37 * 2**20}, "by 47 MiB"),
        (CART, "150 to 400"),
    ],
)
def test_from_to(known: dict[str, Any], told: str) -> None:
    """No memory is less than nothing: what is reckoned as a difference may begin below it."""
    assert from_to(leak(**known)) == told


def test_amounts() -> None:
    """Growth with its unit and the time that it was watched."""
    assert watched(leak()) == "150 to 400 in 8 min"
    assert growth(leak()) == "+1,920 an hour"
    assert growth(leak(bytes_per_hour=49.0 * MB)) == "+1,920 an hour, +49 MiB an hour"
    assert watched(leak(**NATIVE)) == "50 MiB to 84 MiB in 1 h"
    assert growth(leak(**NATIVE)) == "+34 MiB an hour"
    assert per_request(leak()) is None


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0.0, "memory is above its limit"),
        (0.005, "memory limit in less than a minute at this pace"),
        (0.66, "memory limit in about 40 min at this pace"),
        (1.83, "memory limit in about 1 h 50 min at this pace"),
        (3.6, "memory limit in about 3.6 h at this pace"),
        (31.2, "memory limit in about 31 h at this pace"),
        (17 * 24.0, "memory limit in about 17 days at this pace"),
        (91 * 24.0, "memory limit not reached at this pace"),
        (None, "no memory limit is known"),
    ],
)
def test_limit(hours: float | None, told: str) -> None:
    """A time to the limit is no finer than it is known; where there is none, the reason is said."""
    assert limit(hours) == told


@pytest.mark.parametrize(("hours", "told"), [(0.999, "1 h"), (9.99, "10 h"), (47.6, "48 h"), (48.0, "2 days")])
def test_borders(hours: float, told: str) -> None:
    """Each unit ends where the next begins."""
    assert hours_in_words(hours) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(80, "80 bytes"), (26 * 1024, "26 KiB"), (3.4 * MB, "3.4 MiB"), (2 * MB, "2 MiB"), (1.2 * 1024 * MB, "1.2 GiB")],
)
def test_memory(size: float, told: str) -> None:
    """Binary units, with a decimal where one matters."""
    assert memory(size) == told
