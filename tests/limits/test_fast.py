"""Growth that reaches a limit before an hour of it was seen."""

import os
import random
from collections.abc import Callable

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.analysis.buckets import Buckets
from memprof_middleware.limits.fast import Recent
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder

LIMIT = 900.0
START = 1_700_000_000.0


def told(
    shape: Callable[[float], float], seconds: float, *, every: float = 5.0, noise: float = 4.0, before: float = 0.0
) -> list[tuple[float, float, float | None]]:
    """When a range begins and ends, with the memory in use and the middle of the range, for a shape by seconds."""
    rng, recent, past = random.Random(3), Recent(), Buckets()
    found, on, at = [], False, -before
    while at < seconds:
        mb = shape(at) + rng.gauss(0, noise)
        if mb >= LIMIT:
            break
        recent.add(START + at, mb)
        past.add(START + at, mb)
        reach = recent.time_to_limit(LIMIT, past, reported=on)
        if (reach is not None) != on:
            found.append((at, mb / LIMIT, None if reach is None else (reach.low + reach.high) / 2))
        on = reach is not None
        at += every * rng.uniform(0.95, 1.05)
    return found


@pytest.mark.parametrize(
    ("fill", "every"), [(90, 1), (90, 5), (150, 5), (300, 5), (600, 10), (1200, 60), (1700, 60), (1200, 5)]
)
def test_a_leak_is_told_when_it_has_taken_twice_what_is_left(fill, every):
    """Whatever its pace: by three quarters of the limit and a few snapshots, and the time left is about right."""
    [(at, used, middle)] = told(lambda s: 20 + 880 * s / fill, fill, every=every)
    assert 0.6 < used < 0.7 + 2.5 * every / fill
    assert middle == pytest.approx(fill - at, rel=0.35, abs=every)


def test_a_leak_that_begins_late_is_told_as_soon():
    """Half an hour of rest is no part of its line."""
    [(at, _, middle)] = told(lambda s: 100 + 780 * max(0.0, s) / 300, 300, before=1800)
    assert 190 < at < 260
    assert middle == pytest.approx(308 - at, rel=0.35)


@pytest.mark.parametrize("every", [1, 5, 10, 60])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("a model of 60 % of the limit, loaded in half a minute", lambda s: 20 + 540 * min(s, 30) / 30),
        ("a model loaded at once", lambda s: 20 + 700 * (s > 60)),
        ("a model loaded in two steps", lambda s: 20 + 350 * (s > 60) + 350 * (s > 90)),
        ("a cache that is full at half of the limit after a minute", lambda s: 20 + 430 * min(s, 60) / 60),
        ("a cache that is full at half of the limit after ten", lambda s: 20 + 430 * min(s, 600) / 600),
        ("a cache that fills ever more slowly", lambda s: 20 + 750 * (1 - 2.718 ** (-s / 120))),
        ("large requests that are freed", lambda s: 100 + 500 * (60 < s < 100)),
        ("a burst that comes and goes", lambda s: 100 + max(0.0, 450 - 10 * abs(s - 120))),
        ("a level near the limit", lambda s: 850),
        ("the teeth of a saw", lambda s: 400 + 300 * (s / 500 % 1)),
    ],
)
def test_a_start_and_what_is_freed_are_not_told(kind, shape, every):
    """At no moment of the first hour, however often memory is read."""
    assert told(shape, 3600, every=every) == [], kind


def test_a_range_ends_when_the_growth_does():
    """A cache that is full at 80 % cannot be told from a leak before; half its time later it is."""
    (begun, _, _), (over, _, _) = told(lambda s: 20 + 700 * min(s, 300) / 300, 900)
    assert 200 < begun < 300 < over < 450


def test_where_memory_was_before_is_no_new_ground():
    """The second tooth goes where the first has been; the first is known by the buckets when it is an hour ago."""

    def teeth(s: float) -> float:
        return 100 + 750 * max(0.0, s % 4000 - 3500) / 500

    assert told(teeth, 3990), "the first looks like a leak"
    assert [at for at, _, _ in told(teeth, 7990) if at > 4100] == []


def test_less_than_a_minute_is_a_start():
    """However many readings there are of it."""
    assert told(lambda s: 20 + 880 * s / 55, 55, every=1) == []


def test_a_clock_that_is_set_back_drops_what_was_ahead():
    """The readings that are left are in order, and no range rests on those of another clock."""
    recent, past = Recent(), Buckets()
    for second in range(0, 100, 5):
        recent.add(START + second, 20 + 8 * second)
    assert recent.time_to_limit(LIMIT, past) is not None
    recent.add(START + 30, 260)
    assert recent.time_to_limit(LIMIT, past) is None


def test_it_is_bounded():
    """However long a worker lives, and often it is read, it keeps less than two hours in some thousand readings."""
    recent = Recent()
    for second in range(20_000):
        recent.add(START + second, 100.0)
    assert len(recent) <= 1300


class Rig:
    """A worker whose requests keep something, with a snapshot each five seconds."""

    def __init__(self, **config: object) -> None:
        self.clock, self.probes = FakeClock(), FakeProbes(heap_mb=20, limit_mb=LIMIT)
        self.profiler = MemoryProfiler(
            Config(background=False, interval=5, **config), clock=self.clock, probes=self.probes
        )
        self.heard = Recorder().attach(self.profiler)

    def grow(self, snapshots: int, mb: float, kept: int = 0) -> None:
        for _ in range(snapshots):
            self.profiler.step()
            self.clock.advance(5)
            self.probes.heap_mb += mb
            self.probes.counts["shop.Session"] = self.probes.counts.get("shop.Session", 0) + kept

    def lines(self) -> list[str]:
        return [alert.message for alert in self.heard.alerts if alert.name == "exhaustion"]


def test_the_alert_names_pace_time_and_what_is_suspected():
    """A leak that fills the limit in two and a half minutes: told before 80 %, and more loudly there."""
    rig = Rig()
    rig.probes.collections = (0, 0, 0)
    rig.grow(26, 30, kept=300)
    rig.profiler.stop()
    begun, risen = rig.lines()
    pid = os.getpid()
    assert begun == (
        f"limit near: process {pid} reaches 900 MiB in 1 min (620 MiB, +21 GiB an hour over 2 min). "
        "Likely, a suspicion: Session objects are never freed: +216,000 an hour"
    )
    assert risen.startswith("limit near, act now: ")
    assert risen.endswith(f"Restart: kill -TERM {pid}")
    first = next(alert for alert in rig.heard.alerts)
    assert (first.name, first.urgency) == ("exhaustion", "today")


def test_the_end_says_what_became_of_it():
    """That the limit is reached is not said as if all were well."""
    rig = Rig()
    rig.grow(32, 30)
    rig.profiler.stop()
    assert rig.lines()[-1].endswith("the limit is reached, 920 of 900 MiB")

    rig = Rig()
    rig.grow(22, 30)
    rig.grow(22, 0)
    rig.profiler.stop()
    assert len(rig.lines()) == 2
    assert rig.lines()[-1].endswith("memory no longer grows so fast, 680 of 900 MiB")


def test_a_container_that_several_workers_fill_is_told_too():
    """Though the memory of this one stands still."""
    rig = Rig()
    for step in range(24):
        rig.probes.container_mb = (100 + 30.0 * step, LIMIT)
        rig.grow(1, 0)
    rig.profiler.stop()
    begun, risen = rig.lines()
    assert begun.startswith("limit near: the container reaches 900 MiB in 1 min (640 MiB, ")
    assert risen.startswith("limit near, act now: the container ")
    assert [alert.subject for alert in rig.heard.alerts if alert.name == "exhaustion"] == ["shared", "shared"]
