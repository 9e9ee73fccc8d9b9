"""The budget: how much processor time the profiler may take, and what a census looks at."""

from __future__ import annotations

import itertools
import time

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes import Census
from memprof_middleware.runtime.budget import Governor
from memprof_middleware.testing import FakeProbes

CREDIT, START = 60, 300  # seconds' worth of the budget that may be spent ahead, and by a young process, once
PER_OBJECT = 50e-9  # what an exact census costs on the machines where it was measured


def run(governor: Governor, config: Config, objects: list[int], start: float = 0.0) -> list[tuple[float, int, float]]:
    """Let a profiler live through a heap's sizes, one an interval: when it counted, at which stride, at what cost."""
    done = []
    for step, number in enumerate(objects):
        now = start + step * config.interval
        stride = governor.stride(now)
        if stride is not None:
            cost = number * PER_OBJECT * {1: 1.0, 7: 0.5, 17: 0.43, 31: 0.41}[stride]
            governor.spent(cost, now)
            governor.counted(Census(number, {}, stride, cost, cost, longest_seconds=0.001), now)
            done.append((now, stride, cost))
    return done


def test_what_is_affordable_is_exact_and_never_put_off() -> None:
    """A million objects at the default interval and budget are counted exactly, every time."""
    config = Config()
    done = run(Governor(config, 0.0), config, [1_000_000] * 500)
    assert len(done) == 500
    assert {stride for _, stride, _ in done} == {1}


@pytest.mark.parametrize("interval", [1.0, 15.0, 60.0])
@pytest.mark.parametrize("objects", [100_000, 1_000_000, 5_000_000, 60_000_000])
def test_the_budget_holds(interval: float, objects: int) -> None:
    """Over any ten minutes the cost is within the budget, its credit and one census; exact counts come first."""
    config = Config(interval=interval)
    done = run(Governor(config, 0.0), config, [objects] * int(7200 / interval))
    rate = config.cpu_budget / 100
    assert done
    for begin, _, _ in done:
        window = [cost for now, _, cost in done if begin <= now < begin + 600]
        assert sum(window) <= rate * (600 + (CREDIT if begin >= 3600 else START)) + max(window)
    if objects * PER_OBJECT / rate <= 300:
        assert {stride for _, stride, _ in done} == {1}


def test_a_heap_that_explodes_costs_one_census_too_much() -> None:
    """From 100 k to 5 M objects under a 1 s interval: after the first big census nothing runs until it is paid for."""
    config = Config(interval=1.0)
    governor = Governor(config, 0.0)
    run(governor, config, [100_000] * 600)
    big = run(governor, config, [5_000_000] * 600, start=600.0)
    rate = config.cpu_budget / 100
    for (now, _, cost), (after, _, _) in itertools.pairwise(big):
        assert after - now >= cost / rate - CREDIT - config.interval
    assert sum(cost for _, _, cost in big) <= rate * (600 + CREDIT) + big[0][2]


def test_what_cannot_be_afforded_every_five_minutes_is_sampled() -> None:
    """An exact census of 60 M objects would take 3 s: a sample is taken, and at least every five minutes or so."""
    config = Config(interval=10.0)
    done = run(Governor(config, 0.0), config, [60_000_000] * 720)
    assert {stride for _, stride, _ in done[1:]} == {7}
    assert max(after[0] - now[0] for now, after in itertools.pairwise(done[2:])) <= 310


@pytest.mark.parametrize(("stall", "gap"), [(0.01, 1), (0.014, 2), (0.066, 7), (100.0, 300)])
def test_a_census_that_stalls_others_comes_less_often(stall: float, gap: int) -> None:
    """Where the list of all objects alone takes longer than ``max_stall``, there is one such stall per interval."""
    config = Config(interval=1.0, max_stall=10.0, cpu_budget=100.0)
    governor = Governor(config, 0.0)
    times = []
    for now in range(1000):
        if governor.stride(float(now)) is not None:
            governor.counted(Census(5_000_000, {}, 1, 0.3, 0.3, longest_seconds=stall), float(now))
            times.append(now)
    assert times == list(range(0, 1000, gap))
    assert governor.skipped["stall"] == 1000 - len(times)


def test_a_step_without_census_carries_the_last_count() -> None:
    """Vitals are of the snapshot, counts of the last census; the snapshot says when that was, the metrics how often."""
    probes = FakeProbes(heap_mb=100)
    probes.census_seconds = 10.0
    profiler = MemoryProfiler(Config(background=False, max_stall=1e6), probes=probes)
    profiler.step()
    probes.heap_mb, probes.counts = 200, {"shop.Cart": 7}
    profiler.step()
    first, second = profiler.history
    assert (first.heap_used_mb, second.heap_used_mb) == (100, 200)
    assert second.object_counts == first.object_counts == {"builtins.dict": 1000}
    assert second.census_timestamp == first.census_timestamp == first.timestamp
    assert profiler.metrics().census_skipped == {"budget": 1}
    assert profiler.take_snapshot().object_counts == {"shop.Cart": 7}  # who asks for a snapshot gets a census
    profiler.stop()


def test_all_work_is_paid_for() -> None:
    """The cost of a census counts once, and judging counts too."""
    probes = FakeProbes()
    probes.census_seconds = 2.0
    profiler = MemoryProfiler(Config(background=False), probes=probes)
    profiler.step()
    assert 2.0 < profiler.metrics().cpu_seconds < 2.5
    profiler.stop()


def test_what_nobody_pays_for_is_paid_at_the_end() -> None:
    """Work inside a block counts once, whether somebody has paid for it there or not."""
    governor = Governor(Config(), 0.0)
    with governor.paying_rest():
        with governor.paying():
            _work(0.02)
        _work(0.03)
    assert governor.cpu_seconds == pytest.approx(0.05, rel=0.3)


def _work(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


@pytest.mark.parametrize(("interval", "gap"), [(1.0, 300.0), (60.0, 300.0), (120.0, 480.0)])
def test_counts_are_never_older_than_the_longest_gap(interval: float, gap: float) -> None:
    """Whatever else has spent the budget for good, there is a count in five minutes or four intervals."""
    config = Config(interval=interval)
    governor = Governor(config, 0.0)
    counted = []
    for step in range(int(7200 / interval)):
        now = step * interval
        governor.spent(interval * 0.02, now)  # four times the budget, for ever
        if governor.stride(now) is not None:
            governor.counted(Census(1000, {}, 1, 0.001, 0.001, longest_seconds=0.001), now)
            counted.append(now)
    assert max(after - before for before, after in itertools.pairwise(counted)) <= gap
    assert governor.censuses == len(counted)


def test_who_counts_rarely_says_which_setting_helps() -> None:
    """Too small a budget, or a pause that is longer than allowed, is said with the figure that would do."""
    said: list[str] = []
    config = Config(interval=1.0)
    governor = Governor(config, 0.0, said.append)
    run(governor, config, [5_000_000] * 600)
    assert said
    assert "interval=1 needs about cpu_budget=" in said[-1]
    assert "it is 0.5" in said[-1]
    said.clear()
    config = Config(interval=1.0, cpu_budget=100.0)
    governor = Governor(config, 0.0, said.append)
    assert governor.stride(0.0) == 1
    governor.counted(Census(1, {}, 1, 0.1, 0.1, longest_seconds=0.066), 0.0)
    [text] = said
    assert text.startswith("objects are counted every 6 s instead of every 1 s: a count takes 66 ms")
    assert text.endswith("10 ms are allowed (max_stall)")
