"""A day of memory in five-minute buckets."""

import math

import pytest

from memprof_middleware.analysis.buckets import MOST_BUCKETS, Buckets

START = 1_700_000_100.0


def filled(count: int, mb: float = 100.0) -> Buckets:
    past = Buckets()
    for number in range(count):
        past.add(START + 300 * number, mb + number)
    return past


def test_a_bucket_keeps_floor_mean_and_ceiling():
    """Five minutes of measurements become three figures, and the bucket that is still open is not told."""
    past = Buckets()
    for second, mb in ((0, 10), (60, 40), (120, 10), (300, 99)):
        past.add(START + second, mb)
    ((number, low, mean, high),) = past.closed()
    assert (number, low, mean, high) == (START // 300, 10, 20, 40)


def test_it_is_bounded():
    """However long a worker lives, a day and a little more is kept, in a few kB."""
    past = filled(5000)
    assert MOST_BUCKETS <= len(past) <= MOST_BUCKETS + 36
    assert past.closed()[-1].low == 100 + 4998
    assert past.nbytes < 10_000


def test_a_clock_that_goes_back_takes_the_future_with_it():
    """What was measured by a clock that ran ahead is dropped and said so; what came before it stays."""
    past = filled(20)
    past.add(START + 86400, 500)
    assert past.add(START + 300 * 20, 120)
    assert [bucket.low for bucket in past.closed()] == [100 + number for number in range(20)]
    assert not past.add(START + 300 * 20 + 1, 120)


def test_a_small_step_back_is_counted_in():
    """A clock that is put back by seconds loses nothing."""
    past = filled(20)
    assert not past.add(START + 300 * 19 - 0.0, 90)
    past.add(START + 300 * 20, 0)
    assert past.closed()[-1].low == 90


@pytest.mark.parametrize(("timestamp", "mb"), [(-5.0, 1.0), (1e15, 1.0), (START, math.nan), (START, math.inf)])
def test_what_cannot_be_is_not_counted(timestamp, mb):
    """A time before the epoch or in a far future, and a figure that is none, leave the past as it was."""
    past = Buckets()
    assert not past.add(timestamp, mb)
    assert len(past) == 0


def test_it_can_be_packed():
    """Another process goes on where this one ended."""
    past = filled(400)
    again = Buckets.unpack(past.pack())
    assert again.closed() == past.closed()
    again.add(START + 300 * 400, 7)
    assert again.closed()[-1].low == 100 + 399


@pytest.mark.parametrize(
    "text", ["?", "AAAA", filled(3).pack()[:-8] + "AAAAAAA=", filled(400).pack() * 3, Buckets().pack() + "A"]
)
def test_what_was_not_packed_here_is_refused(text):
    """Half a text, another text or too long a one is a ValueError and nothing else."""
    with pytest.raises(ValueError, match="not a packed past"):
        Buckets.unpack(text)


def test_a_packed_past_must_be_in_order():
    """Buckets that go back in time were not packed here."""
    first, second = filled(1), Buckets()
    second.add(START - 3000, 1)
    both = Buckets()
    both._numbers.extend([*first._numbers, *second._numbers])
    for column in (both._lows, both._means, both._highs):
        column.extend([1.0, 1.0])
    with pytest.raises(ValueError, match="order"):
        Buckets.unpack(both.pack())


def test_a_packed_past_holds_numbers():
    """A figure that is not finite was not measured."""
    past = filled(2)
    past._lows[0] = math.nan
    with pytest.raises(ValueError, match="finite"):
        Buckets.unpack(past.pack())
