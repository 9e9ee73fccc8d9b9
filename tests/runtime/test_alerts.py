"""The alert manager: what begins, rises and ends is reported once."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from memprof_middleware import Alert, Config, Leak
from memprof_middleware.model import Condition, Estimate, RouteGrowth, RouteLeak
from memprof_middleware.routes.growth import route_condition
from memprof_middleware.runtime.alerts import AlertManager
from memprof_middleware.runtime.beat import Conditions
from memprof_middleware.runtime.changes import Change, alert_of

HEAP = Condition("heap_warning", "medium", 85.0, 80.0, "process 1 uses 85 % of its limit", urgency="today")
ROUTE = Condition("route_leak", "medium", 20_000.0, 100.0, "POST /cart keeps 20 KiB per request", subject="POST /cart")


class Heard:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.adopted: list[Condition] = []
        self.manager: AlertManager | None = None
        self.active_then: list[int] = []

    def record(self, change: Change) -> Alert:
        return alert_of(change, "text")

    def report(self, change: Change, alert: Alert) -> None:
        self.changes.append(change)
        if self.manager is not None:
            self.active_then.append(len(self.manager.active))

    def adopt(self, condition: Condition) -> None:
        self.adopted.append(condition)

    @property
    def steps(self) -> list[str]:
        return [change.step for change in self.changes]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def manager(heard: Heard) -> AlertManager:
    heard.manager = AlertManager(heard)
    return heard.manager


def heap(percent: float) -> Conditions:
    return Conditions(("heap_warning",), [dataclasses.replace(HEAP, value=percent, met=percent > 80)])


def leak(state: str = "confirmed", hours: float | None = 400.0, **changes: Any) -> Condition:
    fields: dict[str, Any] = {
        "name": "shop.Cart",
        "state": state,
        "severity": "high",
        "first": 100,
        "last": 270,
        "growth_percent": 170.0,
        "growth_per_hour": 60.0,
        "bytes_per_hour": 1e6,
        "hours_left": hours,
        "since": 0.0,
        "detected_at": 0.0,
        "snapshots": 9,
    }
    found = Leak(**(fields | changes))
    return Condition(
        "leak",
        "high",
        found.growth_percent,
        50.0,
        "text",
        subject=found.name,
        urgency=found.urgency,
        leak=found,
        also=found.also,
    )


def leaks(*found: Condition, reasons: dict[str, str] | None = None) -> Conditions:
    return Conditions(("leak",), found, reasons or {})


def routes(found: Sequence[Condition] = (ROUTE,), *, growing: bool = True) -> Conditions:
    return Conditions(("route_leak",), found, cause=growing)


def test_begin_and_end(manager: AlertManager, heard: Heard) -> None:
    """A condition keeps its beginning while it is met, and its end comes with the figure of then."""
    manager.update(heap(85.0), 100.0)
    manager.update(heap(87.0), 160.0)
    [active] = manager.active
    assert (active.since, active.timestamp, active.value, active.active) == (100.0, 100.0, 85.0, True)
    manager.update(heap(70.0), 400.0)
    begun, ended = heard.changes
    assert (begun.step, ended.step, ended.since, ended.now) == ("begins", "ends", 100.0, 400.0)
    assert (ended.condition.value, ended.before.value) == (70.0, 85.0)
    assert manager.active == []
    assert heard.active_then == [1, 0]  # who is told may ask


@pytest.mark.parametrize(("percent", "steps"), [(79.0, []), (76.1, []), (76.0, ["ends"]), (70.0, ["ends"])])
def test_a_condition_ends_a_little_below_where_it_began(
    manager: AlertManager, heard: Heard, percent: float, steps: list[str]
) -> None:
    """A value that moves around the threshold is reported once: it ends at 95 % of the threshold."""
    manager.update(heap(percent), 0.0)
    assert heard.steps == []
    manager.update(heap(80.1), 1.0)
    manager.update(heap(percent), 2.0)
    assert heard.steps == ["begins", *steps]


def test_what_cannot_be_measured_any_more_ends(manager: AlertManager, heard: Heard) -> None:
    """Without a figure nothing is met; what was not judged keeps its state."""
    manager.update(heap(85.0), 1.0)
    manager.update(leaks(), 2.0)
    assert heard.steps == ["begins"]
    manager.update(Conditions(("heap_warning",)), 3.0)
    assert heard.steps == ["begins", "ends"]


def test_two_threads_report_once(manager: AlertManager, heard: Heard) -> None:
    """When several threads judge at the same moment, each condition still begins once and ends once."""
    found = [dataclasses.replace(HEAP, subject=f"type {number}") for number in range(100)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for conditions in (Conditions(("heap_warning",), found), Conditions(("heap_warning",))):
            together = threading.Barrier(4)

            def judge(conditions: Conditions = conditions, together: threading.Barrier = together) -> None:
                together.wait()
                manager.update(conditions, 1.0)

            threads = [threading.Thread(target=judge) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sorted(heard.steps) == ["begins"] * 100 + ["ends"] * 100


def test_one_condition_may_be_met_for_many(manager: AlertManager, heard: Heard) -> None:
    """Each leaking type is an alert of its own."""
    one, two = leak(name="a.A"), leak(name="b.B")
    manager.update(leaks(one, two), 1.0)
    manager.update(leaks(one), 2.0)
    told = [(change.condition.subject, change.step) for change in heard.changes]
    assert told == [("a.A", "begins"), ("b.B", "begins"), ("b.B", "ends")]


def test_a_leak_is_suspected_confirmed_urgent_and_resolved(manager: AlertManager, heard: Heard) -> None:
    """One condition goes through all states; a suspicion is no alert, and a leak is one since it was confirmed."""
    manager.update(leaks(leak("suspected")), 1.0)
    assert manager.active == []
    manager.update(leaks(leak()), 2.0)
    assert [(alert.state, alert.urgency, alert.since) for alert in manager.active] == [("confirmed", "plan", 2.0)]
    manager.update(leaks(leak(hours=10.0)), 3.0)
    manager.update(leaks(reasons={"shop.Cart": "was freed"}), 4.0)
    assert heard.steps == ["begins", "begins", "rises", "ends"]
    assert [change.since for change in heard.changes] == [1.0, 2.0, 2.0, 2.0]
    assert heard.changes[-1].why == "was freed"
    assert manager.active == []


def test_urgency_is_reported_when_it_rises_above_all_before(manager: AlertManager, heard: Heard) -> None:
    """A limit that moves around a border is reported once: an urgency that falls and comes back is no news."""
    for number, hours in enumerate((400.0, 20.0, 30.0, 20.0, 400.0, 20.0, 3.0)):
        manager.update(leaks(leak(hours=hours)), float(number))
    assert [(change.step, change.condition.urgency) for change in heard.changes] == [
        ("begins", "plan"),
        ("rises", "today"),
        ("rises", "now"),
    ]
    assert heard.changes[1].before.leak == leak().leak


def test_only_leaks_and_forecasts_rise(manager: AlertManager, heard: Heard) -> None:
    """Another condition is about one threshold: how soon the limit is reached is said by the leak and the forecast."""
    manager.update(routes(), 1.0)
    manager.update(routes(), 2.0)
    manager.update(routes(), 3.0)
    manager.update(routes([dataclasses.replace(ROUTE, urgency="now")]), 4.0)
    assert heard.steps == ["begins"]


def test_a_suspicion_that_stays_is_repeated_once(manager: AlertManager, heard: Heard) -> None:
    """When its growth has doubled, and never after that."""
    for number, last in enumerate((270, 400, 440, 900, 3000)):
        manager.update(leaks(leak("suspected", last=last)), float(number))
    assert heard.steps == ["begins", "goes on"]
    assert heard.changes[1].condition.leak is not None
    assert heard.changes[1].condition.leak.last == 440


def test_a_leak_that_comes_back_says_how_often(manager: AlertManager, heard: Heard) -> None:
    """The second beginning knows of the first; a suspicion counts for nothing."""
    for number in range(3):
        manager.update(leaks(leak("suspected")), 10.0 * number)
        manager.update(leaks(leak()), 10.0 * number + 1)
        manager.update(leaks(), 10.0 * number + 2)
    begun = [(c.times, c.first) for c in heard.changes if c.step == "begins" and not c.condition.suspected]
    assert begun == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_a_leak_under_another_name_is_the_same(manager: AlertManager, heard: Heard) -> None:
    """What leads an incident may change while it is looked at; that is no end and no beginning."""
    manager.update(leaks(leak("suspected", name="builtins.dict")), 1.0)
    manager.update(leaks(leak("suspected", name="shop.Cart", also=("builtins.dict",))), 2.0)
    manager.update(leaks(leak(name="shop.Cart")), 3.0)
    assert [(change.step, change.condition.suspected) for change in heard.changes] == [
        ("begins", True),
        ("begins", False),
    ]
    assert [alert.subject for alert in manager.active] == ["shop.Cart"]


def test_a_leak_in_the_same_place_is_the_same(manager: AlertManager, heard: Heard) -> None:
    """What is counted may become the container instead of its objects; its holder is the same, and so is the leak."""
    manager.update(leaks(dataclasses.replace(leak(), holder="shop.CARTS")), 1.0)
    manager.update(leaks(dataclasses.replace(leak(name="shop.CARTS", kind="container"), holder="shop.CARTS")), 2.0)
    assert heard.steps == ["begins"]
    assert [alert.subject for alert in manager.active] == ["shop.Cart"]
    manager.update(leaks(), 3.0)
    assert (heard.steps, manager.active) == (["begins", "ends"], [])


def test_two_leaks_that_know_of_each_other_stay_two(manager: AlertManager, heard: Heard) -> None:
    """A name that is itself among what is found is nobody's other name."""
    manager.update(leaks(leak(name="a.A"), leak(name="b.B", also=("a.A",))), 1.0)
    assert heard.steps == ["begins", "begins"]


def test_a_route_begins_when_it_was_found_three_times_more_than_missed(manager: AlertManager, heard: Heard) -> None:
    """One window is chance."""
    for found in ((ROUTE,), (ROUTE,), (), (ROUTE,)):
        manager.update(routes(found), 1.0)
    assert heard.steps == []
    manager.update(routes(), 2.0)
    assert heard.steps == ["begins"]


def test_a_route_that_is_not_identified_any_more_stays(manager: AlertManager, heard: Heard) -> None:
    """It ends when the growth does that it is the cause of, and not before."""
    for _ in range(3):
        manager.update(routes(), 1.0)
    for _ in range(9):
        manager.update(routes(()), 2.0)
    assert heard.steps == ["begins"]
    manager.update(routes(growing=False), 3.0)
    assert heard.steps == ["begins", "ends"]


def test_a_route_that_keeps_memory_while_nothing_leaks_is_no_alert(manager: AlertManager, heard: Heard) -> None:
    """A young process keeps much with each request; once something leaks, the route is known at once."""
    for _ in range(5):
        manager.update(routes(growing=False), 1.0)
    assert heard.steps == []
    manager.update(routes(), 2.0)
    assert heard.steps == ["begins"]


def test_what_another_worker_judges_is_no_longer_ours(manager: AlertManager, heard: Heard) -> None:
    """It has not ended, and who is told says so."""
    for _ in range(3):
        manager.update(routes(), 1.0)
    manager.update(Conditions(("route_leak",), elsewhere=True), 2.0)
    assert [(change.step, change.elsewhere) for change in heard.changes] == [("begins", False), ("ends", True)]
    assert manager.active == []


def kept(*names: str, worker: str = "") -> Condition:
    """A leak of routes, as a condition."""
    estimate = Estimate(20_000.0, 19_000.0, 21_000.0)
    found = RouteGrowth(
        route=names[0],
        unit="bytes",
        requests=2000,
        windows=30,
        kept=4e7,
        share=0.9,
        per_hour=4e7,
        per_request=estimate,
        worker=worker,
    )
    return route_condition(RouteLeak(growth=found, others=names[1:]), Config())


@pytest.mark.parametrize(
    "later",
    [
        [kept("GET /a")],
        [kept("GET /b", "GET /a")],
        [kept("GET /c", "GET /d", "GET /a")],
        [kept("GET /a", worker="1")],
        [kept("GET /a"), kept("GET /b")],
    ],
    ids=["alone", "in another order", "with others", "for one worker", "one by one"],
)
def test_a_leak_of_routes_begins_once(manager: AlertManager, heard: Heard, later: list[Condition]) -> None:
    """What is found of the same routes while the growth goes on is the alert that there is, and ends with it."""
    for number in range(12):
        manager.update(routes([kept("GET /a", "GET /b")] if number < 4 else later), float(number))
    assert heard.steps == ["begins"]
    assert [one.subject for one in manager.reported("route_leak") or ()] == ["GET /a + GET /b"]
    manager.update(routes((), growing=False), 20.0)
    assert heard.steps == ["begins", "ends"]
    assert (manager.active, manager.reported("route_leak")) == ([], [])


def test_another_route_is_another_leak(manager: AlertManager, heard: Heard) -> None:
    """Two routes with nothing in common are two alerts."""
    for number in range(6):
        manager.update(routes([kept("GET /a"), *([kept("GET /b")] if number > 2 else [])]), float(number))
    assert [change.condition.subject for change in heard.changes] == ["GET /a", "GET /b"]


def test_who_judges_next_goes_on_with_the_alerts(manager: AlertManager, heard: Heard) -> None:
    """The worker that judges for all ends: the next one reports nothing anew, and the end when the growth is over."""
    theirs = Conditions(("route_leak",), [kept("GET /a")], elsewhere=True)
    for number in range(3):
        manager.update(theirs, float(number))
    assert (heard.steps, manager.active) == ([], [])
    assert [one.subject for one in manager.reported("route_leak") or ()] == ["GET /a"]
    for number in range(3, 9):
        manager.update(routes([kept("GET /a")]), float(number))
    assert ([one.subject for one in manager.active], [one.subject for one in heard.adopted]) == (["GET /a"], ["GET /a"])
    assert heard.steps == []
    manager.update(routes((), growing=False), 10.0)
    assert heard.steps == ["ends"]


def test_what_ended_elsewhere_is_forgotten(manager: AlertManager, heard: Heard) -> None:
    """What the judging worker reports no longer is not taken up again."""
    manager.update(Conditions(("route_leak",), [kept("GET /a")], elsewhere=True), 1.0)
    manager.update(Conditions(("route_leak",), (), elsewhere=True), 2.0)
    manager.update(routes(()), 3.0)
    assert (heard.steps, manager.active) == ([], [])


def test_a_predecessors_route_leak_is_not_reported_again(manager: AlertManager, heard: Heard) -> None:
    """A worker alone that is restarted goes on with the alert."""
    manager.adopt([kept("GET /a")], 1.0)
    for number in range(2, 8):
        manager.update(routes([kept("GET /a")]), float(number))
    assert (heard.steps, [one.subject for one in manager.active]) == ([], ["GET /a"])


def test_nothing_is_known_of_routes_before_somebody_has_judged(manager: AlertManager) -> None:
    """No answer is another one than that none leaks."""
    assert manager.reported("route_leak") is None
    manager.update(routes(()), 1.0)
    assert manager.reported("route_leak") == []


def test_a_predecessors_alerts_are_not_reported_again(manager: AlertManager, heard: Heard) -> None:
    """A worker that takes a place over reports the end of what is open, and what gets worse."""
    manager.adopt([leak()], 1.0)
    manager.adopt([leak()], 1.0)
    manager.update(leaks(leak()), 2.0)
    assert (heard.steps, [one.subject for one in heard.adopted]) == ([], ["shop.Cart"])
    assert [alert.name for alert in manager.active] == ["leak"]
    manager.update(leaks(leak(hours=2.0)), 3.0)
    manager.update(leaks(), 4.0)
    assert heard.steps == ["rises", "ends"]


def test_what_has_ended_is_remembered_within_bounds(manager: AlertManager) -> None:
    """A thousand leaks that come and go leave a hundred names behind."""
    for number in range(1000):
        manager.update(leaks(leak(name=f"a.T{number}")), float(number))
    manager.update(leaks(), 2000.0)
    assert len(manager._ended) == 100
    assert manager._entries == {}
