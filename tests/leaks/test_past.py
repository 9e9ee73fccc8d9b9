"""The past of a process: as fine as it was measured of late, coarse long ago, and never fooled by a clock."""

from __future__ import annotations

import math

import pytest

from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.leaks.series import at


def reading(minute: float, **changes: object) -> Reading:
    figures = {"heap": 1e8 + minute, "native": 1e6, "retained": 0.0, "blocks": 1000} | changes
    return Reading(60.0 * minute, {"GET /": int(100 * minute)}, **figures)  # type: ignore[arg-type]


def test_a_week_takes_some_hundred_rows() -> None:
    """The last hour is there minute by minute, the first day by the half hour, and the beginning is not forgotten."""
    past = Past(60)
    for minute in range(7 * 1440):
        past.add(reading(minute, counts={"app.Cart": 100 + minute}))
    assert past.size < 700
    times = past.column("times")
    assert all(b - a <= 61 for a, b in zip(times[-50:], times[-49:], strict=False))
    assert times[0] < 61
    carts = past.counts("app.Cart")
    assert carts[0] == pytest.approx(100, abs=2)
    assert carts[-1] == 100 + 7 * 1440 - 1
    assert all(count == pytest.approx(100 + time / 60, abs=1) for count, time in zip(carts, times, strict=True))


def test_only_what_grows_is_followed() -> None:
    """Two thousand types that stand still cost nothing."""
    past = Past(60)
    for minute in range(20):
        counts = {f"lib.Type{number}": 50 for number in range(2000)} | {"app.Cart": 5 * minute}
        past.add(reading(minute, counts=counts))
    assert list(past.types()) == ["app.Cart"]


@pytest.mark.parametrize("jump", [-86_400.0, -1.0, 86_400.0])
def test_a_clock_that_jumps_moves_the_past_by_little(jump: float) -> None:
    """Back: no time went by; forward: no more than some intervals."""
    past = Past(60)
    for minute in range(10):
        past.add(reading(minute))
    before = past.now()
    past.add(Reading(540 + jump, {"GET /": 1000}, heap=1e8))
    assert 0 < past.now() - before <= 1200
    times = past.column("times")
    assert times == sorted(times)


def test_what_was_not_measured_lies_on_the_line() -> None:
    """A count that was put off is no standstill; beyond the last count nothing is made up."""
    past = Past(60)
    for minute in range(12):
        counted = {"app.Cart": 10 * minute} if minute % 3 == 0 else None
        past.add(reading(minute, counts=counted))
    assert past.counts("app.Cart")[4:10] == pytest.approx([40, 50, 60, 70, 80, 90])
    assert len(past.counts("app.Cart")) == 10


def test_a_container_that_a_whole_walk_does_not_see_is_empty() -> None:
    """Of a walk that was cut short nothing follows."""
    past = Past(60)
    past.add(reading(0, containers={"app.JOBS": Seen(50, oldest=7)}))
    past.add(reading(1, containers={}, complete=False))
    past.add(reading(2, containers={}, complete=True))
    assert past.lengths("app.JOBS") == [50, 25, 0]
    assert past.oldest("app.JOBS") == [7, None, None]


def test_after_a_freeze_types_are_followed_anew() -> None:
    """What is frozen is hidden: counts before and after cannot be compared."""
    past = Past(60)
    for minute in range(5):
        past.add(reading(minute, counts={"app.Cart": 100 * minute}))
    past.forget_counts()
    past.add(reading(6, counts={"app.Cart": 700}))
    assert list(past.types()) == []


def test_a_c_library_that_was_not_asked_is_not_known() -> None:
    """Nothing in use at all is no figure."""
    past = Past(60)
    past.add(reading(0, native=0, retained=None))
    assert math.isnan(past.column("native")[0])
    assert math.isnan(past.column("retained")[0])


def test_between_two_rows_is_the_line() -> None:
    """And beyond the ends their values."""
    assert [at([0, 10, 20], [0, 5, 25], when) for when in (-1, 0, 5, 15, 20, 99)] == [0, 0, 2.5, 15, 25, 25]


def test_a_series_is_worked_out_once_for_a_look() -> None:
    """Who asks again before the next reading has the same list; a reading, or the end of the look, makes it anew."""
    past = Past(60.0)
    for number in range(20):
        counts = {"shop.Cart": 5 + 10 * number} if number % 3 else None
        past.add(Reading(time=60.0 * number, requests={}, counts=counts))
    known = past.counts("shop.Cart")
    assert past.counts("shop.Cart") is known
    past.release()
    again = past.counts("shop.Cart")
    assert again == known
    assert again is not known
    past.add(Reading(time=1200.0, requests={}, counts={"shop.Cart": 500}))
    assert past.counts("shop.Cart")[-1] == 500
