"""What a request keeps, told from load, caches, garbage and steps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.retention import Retention, find_retention, pace_of, stalled_for

# Series of the labelled applications, measured with a collection before each sample: requests, and by name the numbers.
RECORDED = json.loads((Path(__file__).parent / "recorded_series.json").read_text())


def load_of(requests: Sequence[float], in_flight: Sequence[float] | None = None) -> Load:
    numbers = range(len(requests))
    return Load([60.0 * n for n in numbers], list(requests), list(in_flight or [0.0] * len(requests)), list(numbers))


def judge(
    values: Sequence[float], load: Load | None = None, *, least: float = 8, shortest: int = 6
) -> Retention | None:
    return find_retention(
        values, load or load_of([100.0 * n for n in range(len(values))]), least=least, shortest=shortest
    )


def verdicts(values: Sequence[float], load: Load, start: int = 4) -> list[int]:
    """After how many snapshots growth is seen."""
    return [n for n in range(start, len(values) + 1) if judge(values[:n], Load(*(c[:n] for c in _columns(load))))]


def _columns(load: Load) -> tuple[Sequence[Any], ...]:
    return load.times, load.requests, load.in_flight, load.collections


@pytest.mark.parametrize("case", [case for case in RECORDED if case["leaks"]], ids=lambda case: case["name"])
def test_recorded_leaks_are_seen_with_the_first_line(case: dict[str, Any]) -> None:
    """Every culprit of the labelled leaks is seen as soon as four samples show it, and stays seen."""
    load = load_of(case["requests"])
    for name, numbers in case["series"].items():
        seen = verdicts(numbers, load)
        assert seen, f"{name} is never seen"
        assert seen == list(range(seen[0], len(numbers) + 1)), f"{name} is lost again"
        assert numbers[seen[0] - 1] - numbers[0] >= 8


@pytest.mark.parametrize("case", [case for case in RECORDED if not case["leaks"]], ids=lambda case: case["name"])
def test_recorded_healthy_series_end_silent(case: dict[str, Any]) -> None:
    """What naive detectors accuse, and the fixed twins: none of it grows with the requests in the end."""
    load = load_of(case["requests"], case["in_flight"])
    for name, numbers in case["series"].items():
        assert judge(numbers[3:], load.since(3)) is None, name


def test_the_figures_of_a_line() -> None:
    """Two a request: the rate, the levels, and that it is even and goes on."""
    found = judge([200.0 * n + 50 for n in range(20)])
    assert found is not None
    assert (found.begin, found.first, found.last) == (0, 50, 3850)
    assert (found.per_request, found.steadiness, found.pace) == (pytest.approx(2), pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("what", "shape"),
    [
        ("level with noise", lambda dice, n: 5000 + dice.gauss(0, 300)),
        ("level with bursts", lambda dice, n: 500 + (3000 if dice.random() < 0.1 else 0)),
        ("saw-tooth of collections", lambda dice, n: 1000 + 400 * (n % 7)),
        ("decline", lambda dice, n: 9000 - 30 * n + dice.gauss(0, 100)),
        ("one step", lambda dice, n: 100 + (20_000 if n > 11 else 0)),
        ("a cache that is full", lambda dice, n: min(200 + 150 * n, 1500)),
        ("sessions that expire", lambda dice, n: 600 * min(1, n / 9) + dice.gauss(0, 60)),
    ],
)
def test_what_keeps_nothing_ends_silent(what: str, shape: Callable[[random.Random, int], float], seed: int) -> None:
    """Noise, bursts, collections, steps and full caches are not taken for growth with the requests."""
    dice = random.Random(seed)
    assert judge([shape(dice, n) for n in range(60)]) is None, what


def test_requests_in_flight_explain_what_follows_them() -> None:
    """Objects of the requests under way rise and fall with them; a leak on top of that is seen all the same."""
    suspected = 0
    for seed in range(5):
        dice = random.Random(seed)
        flights = [float(200 - abs(n % 80 - 40) * 5 + dice.randrange(10)) for n in range(160)]
        load = load_of([100.0 * n for n in range(160)], flights)
        held = [20 * flight + dice.randrange(20) for flight in flights]
        suspected += len(verdicts(held, load, start=100))
        found = judge([value + 50 * n for n, value in enumerate(held)], load)
        assert found is not None
        assert found.per_request == pytest.approx(0.5, rel=0.1)
    assert suspected <= 5 * 61 // 100  # one moment in a hundred at the most


def test_a_floor_that_rises_under_dips_is_seen() -> None:
    """A collection that frees much now and then does not hide what it does not free."""
    found = judge([100.0 * n + (0 if n % 4 == 0 else 5000) for n in range(40)])
    assert found is not None
    assert found.per_request == pytest.approx(1, rel=0.3)


def test_nights_without_requests_are_no_plateau() -> None:
    """Growth is counted by requests: hours in which nobody comes do not end it."""
    requests = [100.0 * min(n % 48, 24) + 2400 * (n // 48) for n in range(144)]
    found = judge([2 * served for served in requests], load_of(requests))
    assert found is not None
    assert found.per_request == pytest.approx(2)


def test_a_young_leak_is_found_behind_flat_hours() -> None:
    """The later part of a series is judged by itself, if it breaks new ground."""
    found = judge([1000.0] * 100 + [1000.0 + 50 * n for n in range(1, 41)])
    assert found is not None
    assert found.begin >= 60
    tide = [1000.0 + 50 * n for n in range(40)] + [1000.0] * 60 + [1000.0 + 40 * n for n in range(40)]
    assert judge(tide) is None


def test_no_requests_no_verdict() -> None:
    """What grows while nobody asks for anything is not judged by requests."""
    assert judge([100.0 * n for n in range(30)], load_of([5.0] * 30)) is None


def test_few_points_must_be_straight() -> None:
    """Four snapshots are enough for a straight line and for nothing else."""
    assert judge([0, 100, 200, 300]) is not None
    assert judge([0, 300, 310, 420]) is None
    assert judge([0, 100, 200]) is None


@pytest.mark.parametrize(
    ("values", "pace"),
    [([100.0 * n for n in range(31)], 1.0), ([min(100.0 * n, 1000) for n in range(31)], 0.0)],
)
def test_pace(values: list[float], pace: float) -> None:
    """1 for what goes on as it began, 0 for what has stopped."""
    assert pace_of(values, load_of([10.0 * n for n in range(31)])) == pytest.approx(pace)


def test_stalled() -> None:
    """Requests since the floor rose last, a hundredth of the growth aside."""
    values = [100.0 * min(n, 20) + n % 2 for n in range(61)]
    assert stalled_for(values, load_of([10.0 * n for n in range(61)])) == pytest.approx(400, abs=30)
