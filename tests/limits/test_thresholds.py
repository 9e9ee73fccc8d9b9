"""Thresholds at their edges, with hours replayed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import pytest

from memprof_middleware import Config, Leak, MemorySnapshot
from memprof_middleware.analysis.history import History
from memprof_middleware.limits.levels import Level, Levels
from memprof_middleware.limits.thresholds import measured
from memprof_middleware.model.alert import level_of
from memprof_middleware.runtime.changes import Change, alert_of
from memprof_middleware.text.conditions import begins


def past(
    heap: Callable[[int], float | None] = lambda _: 100.0,
    full: Callable[[int], int] = lambda _: 0,
    snapshots: int = 1,
    size_mb: float | None = 1000.0,
) -> History:
    """Snapshots a minute apart."""
    history = History(1000, 5)
    for number in range(snapshots):
        rate = (full(number) - full(number - 1)) * 60.0 if number else None
        shot = MemorySnapshot(
            timestamp=60.0 * number,
            pid=1,
            heap_size_mb=size_mb,
            heap_size_source="test",
            heap_used_mb=heap(number),
            gc_collections=(0, 0, full(number)),
            gc_per_hour=rate,
        )
        history.append(shot, {})
    return history


def names(history: History, config: Config | None = None) -> set[str]:
    return {condition.name for condition in measured(history, config or Config()) if condition.met}


@pytest.mark.parametrize(
    ("heap_mb", "expected"),
    [
        (799.9, set()),
        (800.0, set()),
        (800.1, {"heap_warning"}),
        (900.0, {"heap_warning"}),
        (900.1, {"heap_warning", "heap_critical"}),
        (1200.0, {"heap_warning", "heap_critical"}),
        (None, set()),
    ],
)
def test_heap_limits_are_exact(heap_mb: float | None, expected: set[str]) -> None:
    """Above 80 % a warning, above 90 % critical; unknown is silent."""
    assert names(past(lambda _: heap_mb)) == expected


def test_without_a_limit_there_is_no_percentage() -> None:
    """Where no limit is known, nothing is judged against it."""
    assert names(past(lambda _: 5000.0, size_mb=None)) == set()


def test_an_empty_history_breaches_nothing() -> None:
    """Before the first snapshot nothing is judged."""
    assert names(History(10, 3)) == set()


def test_what_is_measured_is_given_though_it_is_not_met() -> None:
    """What began may end only a little below its threshold: the alert manager needs the figure."""
    warning, critical = measured(past(lambda _: 790.0), Config())
    assert [(one.name, one.value, one.threshold, one.met) for one in (warning, critical)] == [
        ("heap_warning", 79.0, 80.0, False),
        ("heap_critical", 79.0, 90.0, False),
    ]
    assert (warning.urgency, critical.urgency) == ("today", "now")
    assert warning.message == "process 1 uses 79 % of its limit (790 of 1000 MiB, limit from test)"
    assert (warning.advice, critical.advice) == ("", "At 100 % the system ends it. Restart: kill -TERM 1")


def suspicion(hours: float | None, **more: object) -> Leak:
    """What grows and has not been confirmed, with the time to the limit at its pace."""
    return Leak(
        name="app.thumbnails._cache",
        kind="container",
        severity="high",
        first=100,
        last=1050,
        growth_percent=950.0,
        growth_per_hour=3800.0,
        bytes_per_hour=2.0**28,
        hours_left=hours,
        since=0.0,
        detected_at=0.0,
        snapshots=30,
        **more,
    )


def test_high_memory_says_how_long_it_lasts_what_fills_it_and_what_to_do() -> None:
    """The suspicion is known for minutes by then; to wait for its verdict is to wait for the end."""
    leaks = [suspicion(0.1)]
    warning, critical = measured(past(lambda _: 820.0), Config(), leaks=leaks)
    assert begins(warning) == (
        "memory high: process 1 uses 82 % of its limit (820 of 1000 MiB, limit from test). "
        "Memory limit in about 6 min at this pace. "
        "Likely, a suspicion: app.thumbnails._cache only grows: 100 to 1,050 entries. Restart: kill -TERM 1"
    )
    assert critical.advice.endswith("100 to 1,050 entries. At 100 % the system ends it. Restart: kill -TERM 1")
    assert [(one.urgency, one.limit_seconds) for one in (warning, critical)] == [("now", 360.0)] * 2
    [warning, _] = measured(past(lambda _: 1010.0), Config(), leaks=[suspicion(0.0)])
    assert warning.advice.startswith("Memory is above its limit. Likely, a suspicion: ")
    confirmed = dataclasses.replace(leaks[0], state="confirmed")
    [warning, _] = measured(past(lambda _: 820.0), Config(), leaks=[confirmed])
    assert "By a confirmed leak: app.thumbnails._cache" in warning.advice


@pytest.mark.parametrize("leak", [suspicion(None), suspicion(30.0), suspicion(0.1, shared_limit=True)])
def test_what_does_not_fill_the_limit_soon_is_no_cause(leak: Leak) -> None:
    """Of a pace that is not known, that leaves days, or of another limit."""
    [warning, _] = measured(past(lambda _: 820.0), Config(), leaks=[leak])
    assert (warning.urgency, warning.advice, warning.limit_seconds) == ("today", "", None)


@pytest.mark.parametrize(
    ("source", "ends"), [("setting", False), ("cgroup v2 memory.high", False), ("cgroup v2", True), ("ram", True)]
)
def test_the_system_ends_nothing_at_a_limit_that_somebody_set(source: str, ends: bool) -> None:
    """Nothing watches heap_size_mb but this profiler."""
    history = History(1000, 5)
    shot = MemorySnapshot(timestamp=0.0, pid=1, heap_size_mb=100.0, heap_size_source=source, heap_used_mb=95.0)
    history.append(shot, {})
    [_, critical] = measured(history, Config())
    assert ("the system ends it" in critical.advice) is ends
    assert critical.advice.endswith("Restart: kill -TERM 1")


@pytest.mark.parametrize(("in_flight", "said"), [(99, ""), (1_934, "1,934 requests are in flight. ")])
def test_requests_that_pile_up_are_told_where_nothing_else_fills_the_memory(in_flight: int, said: str) -> None:
    """Those of a job behind a slow lock have begun, and what they hold is no leak of anything."""
    history = History(1000, 5)
    shot = MemorySnapshot(
        timestamp=0.0, pid=1, heap_size_mb=1000.0, heap_size_source="test", heap_used_mb=950.0, in_flight=in_flight
    )
    history.append(shot, {})
    found = {one.name: one.advice for one in measured(history, Config())}
    assert found["heap_warning"] == said.removesuffix(". ")
    assert found["heap_critical"] == f"{said}At 100 % the system ends it. Restart: kill -TERM 1"


def test_a_restart_is_no_advice_for_a_process_that_began_above_its_limit() -> None:
    """The next one would be there, too."""
    for start, advice in ((1300.0, "Raise the limit: a restart does not help"), (900.0, "Restart: kill -TERM 1")):
        history = past(lambda number, start=start: start if number == 0 else 1300.0, snapshots=3)
        [critical] = [one for one in measured(history, Config()) if one.name == "heap_critical"]
        assert critical.met
        assert critical.advice.endswith(advice)


def test_settings_move_the_limits() -> None:
    """Both heap thresholds are settings."""
    config = Config(heap_warning_percent=50, heap_critical_percent=60)
    assert names(past(lambda _: 550.0), config=config) == {"heap_warning"}


@pytest.mark.parametrize(
    ("rate", "breached"), [(9.0, False), (10.0, False), (11.5, True), (30.0, True), (-30.0, False)]
)
def test_growth_per_hour(rate: float, breached: bool) -> None:
    """Three hours at a rate above 10 % an hour are a warning, at or below are not."""
    history = past(lambda number: 100.0 + rate * number / 60, snapshots=180)
    found = {condition.name: condition for condition in measured(history, Config()) if condition.met}
    assert ("heap_growth" in found) is breached
    if breached:
        # Measured against the first hour's middle, not its first minute.
        assert found["heap_growth"].value == pytest.approx(100 * rate / (100 + rate / 2), rel=0.02)


def test_growth_is_not_judged_within_half_an_hour() -> None:
    """A young worker grows for good reasons."""

    def steep(number: int) -> float:
        return 100.0 + 2 * number

    assert names(past(steep, snapshots=30)) == set()
    assert names(past(steep, snapshots=40)) == {"heap_growth"}


def test_a_transient_is_no_growth() -> None:
    """One request that takes half a gigabyte for a minute does not move the rate."""
    assert names(past(lambda number: 600.0 if number == 100 else 100.0, snapshots=120)) == set()


def test_growth_looks_back_six_hours() -> None:
    """A rise long ago is over."""
    assert names(past(lambda number: 100.0 + min(number, 60), snapshots=60 + 361)) == set()


@pytest.mark.parametrize(
    ("usual", "now", "breached"),
    [(10, 20, False), (10, 21, True), (0, 9, False), (0, 10, True), (4, 9, False), (100, 199, False)],
)
def test_gc_spike(usual: int, now: int, breached: bool) -> None:
    """More than twice the rate before, and at least ten collections."""

    def full(number: int) -> int:
        return usual * number if number < 19 else usual * 18 + now

    assert names(past(full=full, snapshots=20)) == ({"gc_spike"} if breached else set())


def test_a_spike_that_lasts_becomes_the_usual() -> None:
    """A new level is told once and then is the rate to compare with."""

    def full(number: int) -> int:
        return number if number < 20 else 20 + 50 * (number - 19)

    assert names(past(full=full, snapshots=21)) == {"gc_spike"}
    assert names(past(full=full, snapshots=40)) == set()


def test_a_learned_threshold_reports_and_hurries_nobody() -> None:
    """What is unusual at a third of the limit is in the log as a warning; no text of it asks for a restart."""
    unusual = Levels(*(Level(value, "learned", learned=True) for value in (25.0, 60.0, 25.0, 60.0, 10.0)))
    warning, critical = measured(past(lambda _: 650.0), Config(), levels=unusual)
    assert [(one.met, one.urgency, one.advice) for one in (warning, critical)] == [(True, "none", "")] * 2
    told = [alert_of(Change("begins", one, one, 0.0, 0.0), one.message) for one in (warning, critical)]
    assert [level_of(alert) for alert in told] == [logging.WARNING, logging.WARNING]
    # One that was learned just below the limit asks for what the share of the limit asks for.
    late = Levels(*(Level(value, "learned", learned=True) for value in (88.0, 91.5, 88.0, 91.5, 10.0)))
    assert [one.urgency for one in measured(past(lambda _: 950.0), Config(), levels=late)] == ["today", "now"]
