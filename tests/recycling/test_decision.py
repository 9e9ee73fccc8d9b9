"""Each guard by itself: what is in the way, and what is not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memprof_middleware.recycling.decision import FINAL, REFUSALS, Breach, Rules, Situation, decide
from memprof_middleware.recycling.detection import Plan

RULES = Rules(threshold_mb=500, patience=60, min_lifetime=60, cooldown=30, per_hour=6)
NOW = 100_000.0
# Everything speaks for it.
DUE = Situation(
    now=NOW,
    born=NOW - 1000,
    plan=Plan("gunicorn", "SIGTERM", "the arbiter replaces it"),
    breach=Breach(since=NOW - 120, samples=3, heap_mb=600),
    remedied=True,
    fresh_mb=100,
    workers_now=2,
    limit_mb=1000,
)


def decided(rules: Rules = RULES, **changes: object) -> str:
    return decide(dataclasses.replace(DUE, **changes), rules).reason  # type: ignore[arg-type]


def test_it_retires_when_nothing_is_in_the_way() -> None:
    """A breach that lasts, remedies that did not help, and no guard: it retires."""
    assert decided() == "retire"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"plan": Plan("waitress", None, "it is one process")}, "server"),
        ({"limit_mb": 500.0}, "limit"),
        ({"fresh_mb": 400.1}, "fresh"),
        ({"fresh_mb": 900.0}, "fresh"),
        ({"breach": None}, "no_breach"),
        ({"breach": Breach(since=NOW - 120, samples=2, heap_mb=600)}, "patience"),
        ({"breach": Breach(since=NOW - 59, samples=50, heap_mb=600)}, "patience"),
        ({"remedied": False}, "remedy"),
        ({"born": NOW - 59}, "young"),
        ({"fresh_mb": None}, "young"),
        ({"other_retires": True}, "busy"),
        ({"retired": (NOW - 29,)}, "cooldown"),
        ({"retired": (NOW - 3000, NOW - 10)}, "cooldown"),
        ({"retired": (NOW - 40,), "workers_then": 3}, "replacement"),
        ({"retired": tuple(NOW - 3500 + 500 * n for n in range(6))}, "per_hour"),
    ],
)
def test_each_guard_holds_it_back(changes: dict[str, object], reason: str) -> None:
    """One thing that speaks against it is enough."""
    assert decided(**changes) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"limit_mb": None},
        {"limit_mb": 500.1},
        {"fresh_mb": 400.0},
        {"born": NOW - 60},
        {"breach": Breach(since=NOW - 60, samples=3, heap_mb=500)},
        {"retired": (NOW - 30,), "workers_then": 2},
        {"retired": (NOW - 301,), "workers_then": 3},  # scaled down meanwhile: not waited for any longer
        {"retired": tuple(NOW - 3601 - 500 * n for n in reversed(range(6)))},
        {"retired": tuple(NOW - 3500 + 500 * n for n in range(5))},
        {"retired": tuple(NOW + 500 * n for n in range(1, 9)), "workers_then": 9},  # of before a reboot
    ],
)
def test_each_guard_lets_go(changes: dict[str, object]) -> None:
    """At the edge, and after its time, a guard is in nobody's way."""
    assert decided(**changes) == "retire"


def test_the_servers_own_cooldown_wins() -> None:
    """A server that needs more time than the setting gives gets it."""
    plan = Plan("granian", "SIGTERM", "", cooldown=7.0)
    rules = dataclasses.replace(RULES, cooldown=1)
    assert decided(rules, plan=plan, retired=(NOW - 6,)) == "cooldown"
    assert decided(rules, plan=plan, retired=(NOW - 7,)) == "retire"


def test_what_is_in_the_way_for_good_is_known_without_a_breach() -> None:
    """A wrong setting is told at the start and not in the night in which it would be needed."""
    assert decided(plan=Plan("waitress", None, ""), breach=None) == "server"
    assert decided(fresh_mb=450.0, breach=None) == "fresh"
    assert decided(limit_mb=400.0, breach=None) == "limit"


def test_a_refusal_says_what_to_do() -> None:
    """The figure given, the one that is in the way, and one that would do."""
    told = decide(dataclasses.replace(DUE, fresh_mb=450.0), RULES).message
    assert "recycle=500 " in told
    assert "450 MiB" in told
    assert "at least 562" in told
    assert "1000" not in told
    limit = decide(dataclasses.replace(DUE, limit_mb=400.0), RULES).message
    assert "recycle=500 " in limit
    assert "400 MiB" in limit


def test_every_reason_is_known() -> None:
    """What is told for good is among the refusals, which are the metric's label values."""
    assert set(REFUSALS) >= FINAL


@given(
    st.lists(st.floats(1, 600), min_size=1, max_size=300),
    st.integers(1, 10),
    st.floats(1, 200),
)
def test_a_crash_loop_is_impossible(steps: list[float], per_hour: int, cooldown: float) -> None:
    """Whatever the breaches, no hour has more retirements than are allowed and no two come within the cooldown."""
    rules = dataclasses.replace(RULES, per_hour=per_hour, cooldown=cooldown, patience=1, min_lifetime=1)
    retired: list[float] = []
    now = NOW
    for step in steps:
        now += step
        breach = Breach(since=now - 500, samples=100, heap_mb=9999)
        situation = dataclasses.replace(DUE, now=now, born=now - 500, breach=breach, retired=tuple(retired))
        if decide(situation, rules).retires:
            retired.append(now)
    for index, time in enumerate(retired):
        assert sum(time - 3600 < other <= time for other in retired) <= per_hour
        assert index == 0 or time - retired[index - 1] >= cooldown
