"""How long memory will last, and whether it stands where it never stood."""

import math
import random
from collections.abc import Callable

import pytest

from memprof_middleware.analysis.buckets import Buckets
from memprof_middleware.limits.forecast import outlook, slopes_between
from memprof_middleware.model import Outlook

HOUR = 3600
LIMIT = 1000.0


def seen(
    shape: Callable[[float], float], hours: float, *, every: float = 60.0, noise: float = 2.0, told: bool = False
) -> Outlook:
    """The outlook after some hours of a shape, with noise and a limit of 1000 MB."""
    rng, past, mb = random.Random(1), Buckets(), 0.0
    for step in range(int(hours * HOUR / every)):
        mb = shape(step * every / HOUR) + rng.gauss(0, noise)
        past.add(1_700_000_000 + step * every, mb)
    return outlook(past, mb, LIMIT, reported=told)


def leak(h: float) -> float:
    return 400 + 50 * h


def test_a_steady_leak_is_told_with_a_range_that_holds_the_truth():
    """Growth of 50 MB per hour is seen as such, and the limit lies between the early and the late end."""
    found = seen(leak, 10.5)
    truth = (LIMIT - found.used_mb) / 50 * HOUR
    assert found.low_seconds is not None
    assert found.high_seconds is not None
    assert found.low_seconds < truth < found.high_seconds < 2 * truth
    assert found.mb_per_hour == pytest.approx(50, rel=0.1)
    assert found.seen_hours == 6
    assert found.headroom_mb == pytest.approx(LIMIT - found.used_mb)


def test_a_leak_under_a_sawtooth_is_told():
    """The floor rises, whatever goes up and down above it."""
    assert seen(lambda h: 300 + 40 * h + 150 * (4 * h % 1), 11.5).low_seconds is not None


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("a level", lambda h: 600),
        ("a sawtooth", lambda h: 400 + 450 * (h / 0.8 % 1)),
        ("the load of the day", lambda h: 600 + 300 * math.sin(2 * math.pi * h / 24)),
        ("one step", lambda h: 400 if h < 20 else 850),
        ("a warm-up that ends", lambda h: 850 - 500 * math.exp(-h)),
        ("memory that is given back", lambda h: 900 - 20 * h),
    ],
)
def test_healthy_memory_is_not_accused(kind, shape):
    """No range at any time of a day, though all but one of them come near the limit."""
    for hours in (1, 2, 5, 8, 12, 20.3, 20.8, 22, 26):
        assert seen(shape, hours).low_seconds is None, f"{kind} after {hours} h"


def test_growth_that_slows_down_is_not_accused():
    """The last hour must agree with the last six."""
    assert seen(lambda h: 300 + min(h, 6) * 100 + max(0, h - 6), 7.5).low_seconds is None


def test_a_period_is_trusted_half_its_length_ahead():
    """Twelve hours of a leak say nothing about a limit that is ten hours away."""
    assert seen(lambda h: 300 + 20 * h, 12).low_seconds is None
    assert seen(lambda h: 300 + 20 * h, 30).low_seconds is not None


def test_little_past_says_nothing():
    """Before most of an hour was seen the buckets give no range, however steep the climb; nor without a past."""
    assert seen(lambda h: 300 + 800 * h, 0.7).low_seconds is None
    assert outlook(Buckets(), 10.0, LIMIT) == Outlook(used_mb=10.0, limit_mb=LIMIT)


def test_it_takes_more_to_withdraw_a_range_than_not_to_give_one():
    """Growth that pauses ends a told range a little later than it prevents a new one: it does not flicker."""

    def pause(h: float) -> float:
        return leak(h) if h < 10.5 else leak(10.5)

    assert seen(pause, 11.25).low_seconds is None
    assert seen(pause, 11.25, told=True).low_seconds is not None
    assert seen(pause, 11.5, told=True).low_seconds is None


def test_a_limit_that_is_reached_has_no_time_left():
    """Above the limit there is no headroom, and nothing to forecast."""
    found = seen(lambda h: 500 + 60 * h, 9)
    assert (found.headroom_mb, found.low_seconds, found.span) == (0.0, None, "")


def test_without_a_limit_there_is_novelty_only():
    """What cannot be reached is not forecast."""
    past = Buckets()
    for step in range(100):
        past.add(1_700_000_000 + 300 * step, 100 + step)
    found = outlook(past, 200, None)
    assert (found.headroom_mb, found.low_seconds) == (None, None)
    assert found.novelty is not None


def test_long_intervals_are_enough_for_the_long_periods():
    """With a snapshot every quarter of an hour six hours cannot be checked by one, but a day by six can."""
    assert seen(lambda h: 300 + 20 * h, 30, every=900).low_seconds is not None


def test_a_gap_is_not_growth():
    """A clock that jumps ahead by half a day leaves too little to rest on, until there is enough again."""
    past = Buckets()
    for step in range(60 * 8):
        past.add(1_700_000_000 + 60 * step, 300 + step)
    late = 1_700_000_000 + 60 * 480 + 12 * HOUR
    for step in range(40):
        past.add(late + 60 * step, 800 + step)
    assert outlook(past, 840, LIMIT).low_seconds is None


def test_slopes_are_those_of_all_pairs():
    """The middle one is Theil and Sen's, which one outlier does not move; tau counts rises and falls."""
    slopes, tau = slopes_between([0, 1, 2, 3], [0, 2, 4, 100])
    assert slopes == [2, 2, 2, 100 / 3, 49, 96]
    assert tau == 1
    assert slopes_between([0, 1], [5, 1]) == ([-4], -1)


def test_novelty_is_in_units_of_noise():
    """A step above all of the day is many units; the daily peak, noise, and a single spike are none."""

    def day(h: float) -> float:
        return 500 + 50 * math.sin(2 * math.pi * h / 24)

    assert (seen(lambda h: day(h) + (80 if h > 29.4 else 0), 30).novelty or 0) > 2.4
    assert (seen(day, 30).novelty or 0) < 1
    assert (seen(lambda h: day(h) + (300 if 29.8 < h < 29.9 else 0), 30).novelty or 0) < 1
    assert (seen(lambda h: 500, 30, noise=0).novelty) == 0


def test_novelty_needs_three_hours():
    """A young worker's memory is always new."""
    assert seen(leak, 2.9).novelty is None
    assert seen(leak, 3.2).novelty is not None


def test_a_range_in_words():
    """Minutes below one and a half hours, then hours."""
    found = Outlook(used_mb=1, limit_mb=2, low_seconds=2400, high_seconds=9000)
    assert found.span == "40 min to 2.5 h"
