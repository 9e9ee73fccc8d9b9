"""Which types leak: the contract's table at its edges, and what must stay silent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from memprof_middleware import Config, Leak, MemorySnapshot
from memprof_middleware.analysis.history import History
from memprof_middleware.leaks.detector import find_leaks, judge_type, rises, severity_of

NAME = "shop.Cart"
NO_WARMUP = Config(warmup_snapshots=0)


def judge(counts: Iterable[int], config: Config = NO_WARMUP, size: int = 1000) -> list[list[Leak]]:
    """The verdict after each snapshot of one type, a minute apart, each built on the one before."""
    history = History(size, 20)
    verdicts: list[list[Leak]] = []
    for number, count in enumerate(counts):
        snapshot = MemorySnapshot(timestamp=60.0 * number, pid=1, total_objects=count)
        history.append(snapshot, {NAME: count, "builtins.dict": 5000})
        verdicts.append(find_leaks(history, config, verdicts[-1] if verdicts else ()))
    return verdicts


def line(first: int, last: int, snapshots: int = 12) -> list[int]:
    return [first + round((last - first) * number / (snapshots - 1)) for number in range(snapshots)]


def fresh(counts: list[int], config: Config = NO_WARMUP) -> list[Leak]:
    """The verdict on the whole series at once, without one before."""
    history = History(1000, 20)
    for number, count in enumerate(counts):
        history.append(MemorySnapshot(timestamp=60.0 * number, pid=1, total_objects=count), {NAME: count})
    return find_leaks(history, config)


@pytest.mark.parametrize(
    ("percent", "severity"),
    [
        (0.0, None),
        (-80.0, None),
        (50.0, None),
        (50.001, "low"),
        (100.0, "low"),
        (100.001, "medium"),
        (150.0, "medium"),
        (150.001, "high"),
        (200.0, "high"),
        (200.001, "critical"),
        (1e9, "critical"),
    ],
)
def test_severity_is_exact_at_its_edges(percent: float, severity: str | None) -> None:
    """Above 200 % critical, 150 % high, 100 % medium, 50 % low."""
    assert severity_of(percent) == severity


@pytest.mark.parametrize(
    ("last", "severity"),
    [(1500, None), (1501, "low"), (2000, "low"), (2001, "medium"), (2500, "medium"), (2501, "high"), (3000, "high"),
     (3001, "critical")],
)  # fmt: skip
def test_the_table_holds_for_a_whole_verdict(last: int, severity: str | None) -> None:
    """1,000 objects that grow to exactly each limit, and to one more."""
    found = fresh(line(1000, last))
    assert [leak.severity for leak in found] == ([] if severity is None else [severity])


def test_more_than_100_objects() -> None:
    """A growth of exactly 100 objects is not a leak, 101 are."""
    assert fresh(line(10, 110)) == []
    assert [leak.growth for leak in fresh(line(10, 111))] == [101]
    times = [60.0 * number for number in range(12)]
    assert judge_type(NAME, times, line(10, 110), NO_WARMUP) is None
    assert judge_type(NAME, times, line(10, 111), NO_WARMUP) is not None


def test_a_verdict_says_what_it_rests_on() -> None:
    """First and last count, percent, rate per hour, since when, and over how many snapshots."""
    [leak] = fresh(line(100, 650, 12))
    assert (leak.name, leak.kind, leak.first, leak.last, leak.growth_percent) == (NAME, "objects", 100, 650, 550.0)
    assert (leak.since, leak.detected_at, leak.snapshots) == (0.0, 660.0, 12)
    assert leak.growth_per_hour == pytest.approx(3000)


def test_growth_from_nothing_counts_from_one() -> None:
    """A type that was not there at first has no percentage; its first object counts as one."""
    [leak] = fresh(line(0, 220))
    assert (leak.first, leak.growth_percent, leak.severity) == (0, 22_000.0, "critical")


def test_settings_move_the_limits() -> None:
    """Both limits of the contract are settings."""
    assert fresh(line(1000, 1400)) == []
    assert len(fresh(line(1000, 1400), Config(warmup_snapshots=0, leak_growth_percent=39.9))) == 1
    assert fresh(line(10, 200), Config(warmup_snapshots=0, leak_min_objects=190)) == []
    assert len(fresh(line(10, 200), Config(warmup_snapshots=0, leak_min_objects=189))) == 1


def test_too_few_snapshots_are_no_verdict() -> None:
    """A verdict needs ``leak_min_snapshots`` after ``warmup_snapshots``."""
    config = Config(warmup_snapshots=3, leak_min_snapshots=6)
    verdicts = judge([1000 * number for number in range(1, 20)], config)
    assert [bool(found) for found in verdicts] == [number >= 3 + 6 for number in range(1, 20)]


def seeded(shape: Callable[[random.Random, int], float], seed: int, snapshots: int = 200) -> list[int]:
    dice = random.Random(seed)
    return [max(0, round(shape(dice, number))) for number in range(snapshots)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("what", "shape"),
    [
        ("warm-up inside the warm-up", lambda dice, n: 1000 * min(n, 2) + dice.gauss(0, 5)),
        ("level with noise", lambda dice, n: 5000 + dice.gauss(0, 300)),
        ("level with bursts", lambda dice, n: 500 + (3000 if dice.random() < 0.1 else 0)),
        ("saw-tooth of collections", lambda dice, n: 1000 + 400 * (n % 7)),
        ("decline", lambda dice, n: 9000 - 30 * n + dice.gauss(0, 100)),
        ("slow growth below half", lambda dice, n: 10_000 + 20 * n + dice.gauss(0, 20)),
    ],
)
def test_what_is_no_leak_stays_silent(what: str, shape: Callable[[random.Random, int], float], seed: int) -> None:
    """Warm-up, noise, bursts, collections and slow growth are never called, after no snapshot."""
    verdicts = judge(seeded(shape, seed), Config())
    called = [number for number, found in enumerate(verdicts) if found]
    assert called == [], f"{what} called after {called[:3]}"


def test_a_cache_that_is_full_is_not_a_leak() -> None:
    """A cache may look like a leak while it fills; once it is full for as long as that took, it is silent for good."""
    verdicts = judge([min(200 + 50 * number, 2000) for number in range(300)], Config())
    assert not any(verdicts[2 * 36 :])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("what", "shape", "by"),
    [
        ("steady", lambda dice, n: 1000 + 50 * n, 30),
        ("steady with noise", lambda dice, n: 1000 + 50 * n + dice.gauss(0, 50), 40),
        ("dips with a rising floor", lambda dice, n: 1000 + 50 * n - (25 * n if n % 5 == 0 else 0), 60),
        ("late and young", lambda dice, n: 1000 + max(0, n - 150) * 100 + dice.gauss(0, 10), 175),
    ],
)
def test_leaks_are_found_in_time(what: str, shape: Callable[[random.Random, int], float], by: int, seed: int) -> None:
    """A rising floor is called, whatever stands on it, and a young leak is not hidden by the flat hours before."""
    verdicts = judge(seeded(shape, seed), Config())
    first = next((number for number, found in enumerate(verdicts) if found), None)
    assert first is not None, f"{what} never called"
    assert first <= by


@pytest.mark.parametrize("size", [10, 50, 1000])
def test_a_steady_leak_stays_called(size: int) -> None:
    """A leak that goes on for 4,000 snapshots is never withdrawn, though the history forgets where it began."""
    verdicts = judge((1000 + 100 * number for number in range(4000)), Config(history_size=size), size)
    first = next(number for number, found in enumerate(verdicts) if found)
    assert all(verdicts[first:])
    begin, end = verdicts[first][0], verdicts[-1][0]
    assert (end.since, end.detected_at, end.first) == (begin.since, begin.detected_at, begin.first)
    assert (end.last, end.severity) == (1000 + 100 * 3999, "critical")
    assert end.growth_per_hour == pytest.approx(6000, rel=0.01)


def test_a_leak_that_stops_is_withdrawn() -> None:
    """Once the growth has stopped for as long as it lasted, the verdict ends."""
    verdicts = judge([1000 + 100 * min(number, 60) for number in range(200)])
    assert verdicts[60] != []
    assert not any(verdicts[125:])


def test_a_leak_that_is_freed_is_withdrawn() -> None:
    """When the objects are let go, the verdict ends with the next snapshot."""
    verdicts = judge([1000 + 100 * number for number in range(40)] + [1000])
    assert verdicts[-2] != []
    assert verdicts[-1] == []


def test_a_freeze_ends_what_was_known() -> None:
    """Counts on both sides of ``gc.freeze()`` are not compared, so a verdict from before it ends."""
    history = History(1000, 20)
    verdict: list[Leak] = []
    for number in range(40):
        frozen = 0 if number < 20 else 100_000
        count = 1000 + 100 * number
        snapshot = MemorySnapshot(timestamp=60.0 * number, pid=1, total_objects=count, frozen_objects=frozen)
        history.append(snapshot, {NAME: count})
        verdict = find_leaks(history, NO_WARMUP, verdict)
        if number == 19:
            assert verdict
        if number == 20:
            assert verdict == []
    assert [leak.since for leak in verdict] == [60.0 * 20]


def test_a_failed_census_is_no_drop() -> None:
    """Snapshots in which nothing could be counted neither end a leak nor make one."""
    history = History(1000, 20)
    verdict: list[Leak] = []
    for number in range(60):
        broken = number % 9 == 4
        counts = None if broken else {NAME: 1000 + 100 * number, "builtins.dict": 7000}
        snapshot = MemorySnapshot(timestamp=60.0 * number, pid=1, total_objects=None if broken else 8000)
        history.append(snapshot, counts)
        verdict = find_leaks(history, NO_WARMUP, verdict)
        if number > 12:
            assert [leak.name for leak in verdict] == [NAME]


def test_the_fastest_grown_comes_first() -> None:
    """Leaks are listed by growth."""
    history = History(100, 20)
    for number in range(12):
        counts = {"a.Slow": 1000 + 100 * number, "b.Fast": 100 + 100 * number}
        history.append(MemorySnapshot(timestamp=60.0 * number, pid=1, total_objects=1), counts)
    assert [leak.name for leak in find_leaks(history, NO_WARMUP)] == ["b.Fast", "a.Slow"]


def test_an_empty_history_has_no_leaks() -> None:
    """Nothing seen, nothing called."""
    assert find_leaks(History(10, 3), Config()) == []


@pytest.mark.parametrize(
    ("counts", "rising"),
    [
        ([1, 2, 3, 4], True),
        ([4, 4, 4, 4], False),
        ([1, 1, 9, 1], False),
        ([1, 2, 3, 4, 5, 6], True),
        ([1, 5, 1, 5, 1, 5], False),
        ([1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6], False),
    ],
)
def test_rising_floors(counts: list[int], rising: bool) -> None:
    """The floor of each part lies above that of the part before, to the end."""
    assert rises(counts) is rising
