"""A line of the log says each figure once, in words that hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from memprof_middleware import Leak
from memprof_middleware.model import MB, Condition, Estimate, FedBy, RouteGrowth, RouteLeak
from memprof_middleware.text.conditions import (
    cause_of,
    describe,
    ends,
    exhaustion_message,
    growth_message,
    leak_message,
    restart,
    route_message,
)

CONFIRMED: dict[str, Any] = {"state": "confirmed", "bytes_per_hour": 8.5 * MB, "hours_left": 3.6}


def leak(**known: Any) -> Leak:
    fields: dict[str, Any] = {
        "name": "shop.Session",
        "severity": "high",
        "first": 100,
        "last": 2020,
        "growth_percent": 1920.0,
        "growth_per_hour": 1920.0,
        "since": 0.0,
        "detected_at": 0.0,
        "snapshots": 60,
    }
    return Leak(**(fields | CONFIRMED | known))


def route(value: float, low: float, high: float, *others: str, unit: str = "objects") -> RouteGrowth:
    return RouteGrowth(
        route="GET /a",
        together_with=others,
        unit=unit,
        requests=3430,
        windows=20,
        kept=1e6,
        share=0.9,
        per_hour=1e3,
        per_request=Estimate(value, low, high),
    )


@pytest.mark.parametrize(
    "known",
    [
        {"path": "shop.SESSIONS[*]"},
        {"path": "shop.SESSIONS[*]", "route": "GET /a"},
        {},
        {"kind": "untracked", "name": "untracked Python data"},
        {"kind": "untracked", "name": "untracked Python data", "route": "GET /a"},
        {"kind": "native", "name": "native memory", "growth_per_hour": 8.5 * MB},
        {"kind": "mapped", "name": "mapped memory", "growth_per_hour": 8.5 * MB, "route": "GET /a"},
        {"kind": "container", "name": "shop.SESSIONS"},
    ],
)
def test_an_amount_is_said_once(known):
    """Growth in memory stands once in the line of a leak of any kind."""
    assert leak_message(leak(**known)).count("8.5 MiB") == 1


@pytest.mark.parametrize(
    ("hours", "room", "told"),
    [
        (0.0, "39 of 33 MiB, process 12", "Memory is above its limit (39 of 33 MiB, process 12)"),
        (0.004, "", "Memory limit in less than a minute at this pace"),
        (3.6, "", "Memory limit in about 3.6 h at this pace"),
    ],
)
def test_a_limit_that_is_passed_is_said_to_be(hours, room, told):
    """What is above its limit does not reach it "in 0 min"."""
    assert leak_message(leak(hours_left=hours), room).endswith(f". {told}")


def test_growth_above_the_limit_is_said_to_be():
    """The line of growing memory says the same."""
    assert growth_message(12.3, 10.3, 2.0, 31.0).endswith("over 2.0 h; limit in about 31 h at this pace")
    assert growth_message(12.3, 10.3, 2.0, 0.0).endswith("over 2.0 h; memory is above its limit")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (route(1390.0, 1200.0, 1500.0), "GET /a keeps 1,390 objects per request (1,200 to 1,500; from 3,430 requests)"),
        (route(5.4, 4.9, 6.0), "GET /a keeps 5.4 objects per request (4.9 to 6; from 3,430 requests)"),
        (
            route(1390.0, 1200.0, 1500.0, "GET /b"),
            (
                "one of GET /a, GET /b keeps about 1,390 objects per request. "
                "Their traffic rises and falls together, so memprof cannot say which"
            ),
        ),
    ],
)
def test_a_route_keeps_figures_that_people_read(found, told):
    """No figure has an exponent."""
    assert route_message(RouteLeak(growth=found)) == told


def test_routes_that_share_a_leak_are_all_named():
    """Two that bring about half each are named together, with what one request of either keeps; not a third of them."""

    def part(name, share, kept):
        return dataclasses.replace(route(1.0, 0.9, 1.1), route=name, share=share, kept=kept, requests=1000)

    both = FedBy.of([part("GET /a", 0.49, 1000.0), part("GET /b", 0.46, 940.0), part("GET /c", 0.05, 60.0)])
    assert (both.route, round(both.share, 2), both.shares) == ("GET /a and GET /b", 0.95, (0.49, 0.46))
    assert both.per_request == Estimate(0.97, 0.9, 1.1)
    line = leak_message(
        leak(path="shop.SESSIONS[*]", route=both.route, route_share=both.share, route_per_request=both.per_request)
    )
    assert line.startswith("shop.SESSIONS keeps one Session for each GET /a and GET /b: +1,920 an hour")
    assert FedBy.of([part("GET /a", 0.9, 1000.0), part("GET /b", 0.1, 100.0)]).route == "GET /a"
    assert FedBy.of([part("GET /a", 0.2, 1000.0), part("GET /b", 0.1, 100.0)]) == FedBy(share=0.2)
    wide = dataclasses.replace(part("GET /a", 0.46, 1000.0), per_request=Estimate(1.0, 0.5, 1.6))
    assert FedBy.of([wide]) == FedBy()  # it may have 74 % of it


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            {"name": "app.SESSIONS", "kind": "container"},
            "app.SESSIONS only grows: 150 to 400 entries (in 8 min). It may be a cache that fills",
        ),
        (
            {"name": "app.SESSIONS", "kind": "container", "route": "POST /login"},
            "app.SESSIONS only grows: 150 to 400 entries; fed by POST /login (in 8 min). It may be a cache that fills",
        ),
        (
            {"path": "shop.SESSIONS[*]"},
            (
                "shop.SESSIONS keeps more and more Session objects: +1,920 an hour (150 to 400 in 8 min). "
                "It may be a cache that fills"
            ),
        ),
    ],
)
def test_a_suspicion_has_its_figures_once(known, told):
    """What the headline has said is not said again in brackets."""
    one = leak(state="suspected", first=150, last=400, hours_left=None, **known)
    assert leak_message(one) == told
    decided = dataclasses.replace(one, decided_requests=5500.0, decided_seconds=780.0)
    assert leak_message(decided) == f"{told}; decided after about 5,500 more requests (in about 13 min)"
    assert told.startswith(describe(one))


@pytest.mark.parametrize(("rate", "early"), [(885_854.0, True), (19_200.0, False)])
def test_a_leak_of_some_seconds_says_that_its_limit_is_not_known_yet(rate, early):
    """In a laboratory a leak is confirmed before it can be weighed; its line does not just leave the limit out."""
    line = leak_message(leak(path="shop.SESSIONS[*]", growth_per_hour=rate, bytes_per_hour=0.0, hours_left=None))
    assert line.endswith("an hour. Too early to say when the memory limit is reached") is early
    assert line.startswith("shop.SESSIONS keeps more and more Session objects: +")


def test_a_route_that_feeds_little_is_not_the_cause():
    """The line of a leak names no route that brings a tenth of it; it says how little any of them feeds."""
    few = FedBy.of([dataclasses.replace(route(1.0, 0.9, 1.1), share=0.1)])
    most = FedBy.of([route(1.0, 0.9, 1.1)])
    assert (few.route, most.route) == ("", "GET /a")
    lines = [
        leak_message(
            leak(path="shop.SESSIONS[*]", route=fed.route, route_share=fed.share, route_per_request=fed.per_request)
        )
        for fed in (few, most)
    ]
    assert lines[0] == (
        "shop.SESSIONS keeps more and more Session objects: +1,920 an hour, +8.5 MiB an hour; "
        "no route feeds more than 10 % of it. Memory limit in about 3.6 h at this pace"
    )
    assert lines[1].startswith("shop.SESSIONS keeps one Session for each GET /a: +1,920 an hour")


@pytest.mark.parametrize(
    ("decided", "end"),
    [
        ({"decided_seconds": 1440.0}, "memory limit in about 2 min at this pace, before this is decided"),
        ({"decided_seconds": 60.0}, "decided in about 1 min"),
        ({"decided_requests": 1920.0, "growth_per_request": 1.0}, "memory limit in about 2 min at this pace, before"),
        ({"decided_requests": 19.0, "growth_per_request": 1.0}, "decided after about 19 more requests"),
        ({"decided_seconds": 1440.0, "hours_left": None}, "decided in about 24 min"),
    ],
)
def test_a_suspicion_tells_what_comes_first(decided, end):
    """The limit, if it is reached before the suspicion is decided; to wait for that would be no advice."""
    said = leak_message(leak(**{"state": "suspected", "hours_left": 0.03, **decided}))
    assert end in said
    assert ("decided in" in said or "decided after" in said) is end.startswith("decided")


@pytest.mark.parametrize(
    ("state", "begins"), [("suspected", "Likely, a suspicion: "), ("confirmed", "By a confirmed leak: ")]
)
def test_a_forecast_names_what_is_known_of_the_cause(state, begins):
    """As a suspicion where it is one."""
    said = exhaustion_message("process 7 reaches", 900, 60, 90, 600, 9000, 0.03, cause_of(leak(state=state)))
    assert said.startswith("process 7 reaches 900 MiB in 1 min to 2 min (600 MiB, +8.8 GiB an hour over 2 min). ")
    assert f". {begins}Session objects are never freed" in said


@pytest.mark.parametrize(
    ("name", "met", "why", "told"),
    [
        ("exhaustion", True, "", "no limit is reached within a day at this pace (reported as: 300 MiB)"),
        ("heap_growth", True, "", "memory no longer grows as a leak does (reported as: 300 MiB)"),
        ("route_leak", True, "its growth was freed", "its growth was freed"),
        ("shared_critical", True, "", "it is not measured any more (reported as: 300 MiB)"),
        ("shared_critical", False, "", "200 MiB"),
    ],
)
def test_an_end_says_what_is_so_now(name: str, met: bool, why: str, told: str) -> None:
    """A forecast that is made no more was measured all the same; only a figure of now is told as one."""
    began = Condition(name, "high", 90, 80, "300 MiB")
    line = ends(dataclasses.replace(began, message="200 MiB", met=met), began, 7200, why)
    assert line.partition(": ")[2] == told


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Restart: kill -TERM 7"),
        ({"replaced": True, "alone": True}, "Restart: kill -TERM 7"),
        (
            {"alone": True},
            (
                "Process 7 is the only worker: once it ends, the service is down until something starts it again. "
                "Restart: kill -TERM 7"
            ),
        ),
        ({"replaced": False}, "Restart the service: its server does not replace process 7"),
        ({"planned": True}, "Plan a restart of process 7"),
        (
            {"planned": True, "replaced": False},
            "Plan a restart of the service: its server does not replace process 7",
        ),
    ],
)
def test_a_restart_does_not_end_the_service_unsaid(asked: dict[str, bool], said: str) -> None:
    """Who types the command knows what comes after it."""
    assert restart(7, **asked) == said
