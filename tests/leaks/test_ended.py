"""What was confirmed and is over is shown for an hour, and no longer when it grows again."""

import dataclasses

from memprof_middleware.leaks.ended import resolved
from memprof_middleware.model import Leak

LEAK = Leak(
    name="shop.Session",
    state="confirmed",
    severity="high",
    first=1,
    last=900,
    growth_percent=900.0,
    growth_per_hour=300.0,
    since=0.0,
    detected_at=10.0,
    snapshots=30,
)


def test_a_confirmed_leak_that_ends_is_kept_for_an_hour():
    """It says when it was over and why; after an hour nothing is left of it."""
    (one,) = resolved((), [LEAK], {"shop.Session": "it was freed"}, (), 100.0)
    assert (one.leak.state, one.at, one.why) == ("resolved", 100.0, "was freed")
    assert resolved((one,), [], {}, (), 3699.0) == (one,)
    assert resolved((one,), [], {}, (), 3700.0) == ()


def test_a_suspicion_that_ends_is_not_kept():
    """Nobody was called by it."""
    assert resolved((), [dataclasses.replace(LEAK, state="suspected")], {}, (), 100.0) == ()


def test_what_grows_again_is_not_over():
    """An incident is open or resolved, never both."""
    before = resolved((), [LEAK], {}, (), 100.0)
    assert resolved(before, [], {}, {"shop.Session"}, 200.0) == ()


def test_few_are_kept():
    """What leaks under ever new names does not fill the memory."""
    many = [dataclasses.replace(LEAK, name=f"shop.Type{n}") for n in range(50)]
    assert len(resolved((), many, {}, (), 100.0)) == 10
