"""The budget: how much processor time the profiler may take, and what a census looks at."""

from __future__ import annotations

import bisect
import itertools
import threading
import time
from collections import Counter

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cpu_budget import CpuBudget, Kind
from memprof_middleware.probes import Census
from memprof_middleware.runtime.count_policy import CountPolicy
from memprof_middleware.testing import FakeClock, FakeProbes

CREDIT, START = 60, 300  # seconds' worth of the budget that may be spent ahead, and by a young process, once
PER_OBJECT = 50e-9  # what an exact census costs on the machines where it was measured


class Life:
    """A profiler that lives through a heap's sizes."""

    def __init__(self, config: Config) -> None:
        self.config, self.clock, self.said = config, FakeClock(0.0), list[str]()
        self.budget = CpuBudget(config.cpu_budget, self.clock)
        self.count_policy = CountPolicy(config, self.budget, self.said.append)

    def run(self, objects: list[int]) -> list[tuple[float, int, float]]:
        """One an interval: when it counted, at which stride, at what cost."""
        done = []
        for number in objects:
            stride = self.count_policy.stride()
            if stride is not None:
                cost = number * PER_OBJECT * {1: 1.0, 7: 0.5, 17: 0.43, 31: 0.41}[stride]
                self.count(number, stride, cost)
                done.append((self.clock.now, stride, cost))
            self.clock.advance(self.config.interval)
        return done

    def count(self, number: int, stride: int, cost: float, stall: float = 0.001) -> None:
        self.budget.charge("count", cost)
        self.count_policy.counted(Census(number, {}, stride, cost, cost, longest_seconds=stall))


def test_what_is_affordable_is_exact_and_never_put_off() -> None:
    """A million objects at the default interval and budget are counted exactly, every time."""
    config = Config()
    done = Life(config).run([1_000_000] * 500)
    assert len(done) == 500
    assert {stride for _, stride, _ in done} == {1}


@pytest.mark.parametrize("interval", [1.0, 15.0, 60.0])
@pytest.mark.parametrize("objects", [100_000, 1_000_000, 5_000_000, 60_000_000])
def test_the_budget_holds(interval: float, objects: int) -> None:
    """Over any ten minutes the cost is within the budget, its credit and one census; exact counts come first."""
    config = Config(interval=interval)
    done = Life(config).run([objects] * int(7200 / interval))
    rate = config.cpu_budget / 100
    assert done
    times, costs = [now for now, _, _ in done], [cost for _, _, cost in done]
    for number, begin in enumerate(times):
        window = costs[number : bisect.bisect_left(times, begin + 600)]
        assert sum(window) <= rate * (600 + (CREDIT if begin >= 3600 else START)) + max(window)
    if objects * PER_OBJECT / rate <= 300:
        assert {stride for _, stride, _ in done} == {1}


@pytest.mark.parametrize(("percent", "ahead"), [(0.1, 0.3), (0.5, 1.5), (5.0, 1.5), (50.0, 1.5)])
def test_a_young_process_may_spend_no_more_ahead_than_its_first_looks_take(percent: float, ahead: float) -> None:
    """Whatever the budget, a process that takes all that it may is at most 1.5 s of processor time above it."""
    clock = FakeClock(0.0)
    budget = CpuBudget(percent, clock)
    kinds: tuple[Kind, ...] = ("count", "walk", "search", "routes", "display")
    for second in range(75):
        for kind in kinds:
            budget.charge(kind, max(0.0, budget.remaining(kind)))
        assert budget.cpu_seconds <= ahead + percent / 100 * second + 1e-9
        clock.advance(1)
    assert budget.cpu_seconds >= ahead + percent / 100 * 70


def test_a_heap_that_explodes_costs_one_census_too_much() -> None:
    """From 100 k to 5 M objects under a 1 s interval: after the first big census nothing runs until it is paid for."""
    config = Config(interval=1.0)
    life = Life(config)
    life.run([100_000] * 600)
    big = life.run([5_000_000] * 600)
    rate = config.cpu_budget / 100
    for (now, _, cost), (after, _, _) in itertools.pairwise(big):
        assert after - now >= cost / rate - CREDIT - config.interval
    assert sum(cost for _, _, cost in big) <= rate * (600 + CREDIT) + big[0][2]


def test_what_cannot_be_afforded_every_five_minutes_is_sampled() -> None:
    """An exact census of 60 M objects would take 3 s: a sample is taken, and at least every five minutes or so."""
    config = Config(interval=10.0)
    done = Life(config).run([60_000_000] * 720)
    assert {stride for _, stride, _ in done[1:]} == {7}
    assert max(after[0] - now[0] for now, after in itertools.pairwise(done[2:])) <= 310


@pytest.mark.parametrize(("stall", "gap"), [(0.01, 1), (0.014, 2), (0.066, 7), (100.0, 300)])
def test_a_census_that_stalls_others_comes_less_often(stall: float, gap: int) -> None:
    """Where the list of all objects alone takes longer than ``max_stall``, there is one such stall per interval."""
    config = Config(interval=1.0, max_stall=10.0, cpu_budget=100.0)
    life = Life(config)
    times = []
    for now in range(1000):
        if life.count_policy.stride() is not None:
            life.count(5_000_000, 1, 0.3, stall)
            times.append(now)
        life.clock.advance(1)
    assert times == list(range(0, 1000, gap))
    assert life.count_policy.skipped["stall"] == 1000 - len(times)


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


def test_what_is_paid_for_inside_is_not_paid_for_twice() -> None:
    """Work inside a block counts once, whether somebody has paid for it there or not; other threads pay for theirs."""
    budget = CpuBudget(0.5)
    with budget.charging("evaluation"):
        with budget.charging("walk"):
            _work(0.02)
        other = threading.Thread(target=budget.charge, args=("display", 1.0))
        other.start()
        other.join()
        _work(0.03)
    assert budget.cpu_seconds == pytest.approx(1.05, abs=0.015)


def test_all_kinds_of_work_together_keep_the_budget() -> None:
    """All kinds of work together, each done whenever it may be, keep the budget; none of them starves."""
    clock = FakeClock(0.0)
    budget = CpuBudget(0.5, clock)
    costs: dict[Kind, float] = {"count": 0.1, "walk": 0.5, "search": 0.4, "routes": 0.06}
    done: Counter[str] = Counter()
    for _ in range(36_000):
        budget.charge("evaluation", 0.001)  # never put off
        for kind, cost in costs.items():
            if budget.allows(kind):
                budget.charge(kind, cost)
                done[kind] += 1
        clock.advance(1)
    assert budget.cpu_seconds <= 0.005 * (36_000 + START) + sum(costs.values())
    assert budget.cpu_seconds >= 0.005 * 36_000 * 0.98
    shares = {kind: done[kind] * cost / (36_000 * 0.004) for kind, cost in costs.items()}
    assert shares["count"] > 0.58  # without counts nothing else can be judged
    assert shares["count"] > shares["walk"] > shares["search"] >= shares["routes"] > 0.09


def test_what_one_kind_does_not_need_the_others_have() -> None:
    """A count alone may use all of the budget."""
    clock = FakeClock(0.0)
    budget = CpuBudget(0.5, clock)
    counts = 0
    for _ in range(3600):
        if budget.allows("count"):
            budget.charge("count", 0.02)
            counts += 1
        clock.advance(1)
    assert counts * 0.02 == pytest.approx(0.005 * 3600, rel=0.1)


def test_who_asks_for_many_pages_does_not_keep_the_profiler_from_counting() -> None:
    """Pages are not refused, and what is spent on them beyond their part is counted but not taken from the others."""
    clock = FakeClock(0.0)
    budget = CpuBudget(0.5, clock)
    counts = 0
    for _ in range(3600):
        budget.charge("display", 0.05)  # ten times the budget
        if budget.allows("count"):
            budget.charge("count", 0.01)
            counts += 1
        clock.advance(1)
    assert counts * 0.01 > 0.4 * 0.005 * 3600
    assert budget.cpu_seconds > 3600 * 0.05


def _work(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


@pytest.mark.parametrize(("interval", "gap"), [(1.0, 300.0), (60.0, 300.0), (120.0, 480.0)])
def test_counts_are_never_older_than_the_longest_gap(interval: float, gap: float) -> None:
    """Whatever else has spent the budget for good, there is a count in five minutes or four intervals."""
    config = Config(interval=interval)
    life = Life(config)
    counted = []
    for _ in range(int(7200 / interval)):
        life.budget.charge("evaluation", interval * 0.02)  # four times the budget, for ever
        if life.count_policy.stride() is not None:
            life.count(1000, 1, 0.001)
            counted.append(life.clock.now)
        life.clock.advance(interval)
    assert max(after - before for before, after in itertools.pairwise(counted)) <= gap
    assert life.count_policy.censuses == len(counted)


def test_who_counts_rarely_says_which_setting_helps() -> None:
    """Too small a budget, or a pause that is longer than allowed, is said with the figure that would do."""
    life = Life(Config(interval=1.0))
    life.run([5_000_000] * 600)
    assert "interval=1 needs about cpu_budget=" in life.said[-1]
    assert "it is 0.5" in life.said[-1]
    life = Life(Config(interval=1.0, cpu_budget=100.0))
    assert life.count_policy.stride() == 1
    life.count(1, 1, 0.1, 0.066)
    [text] = life.said
    assert text.startswith("objects are counted every 6 s instead of every 1 s: a count takes 66 ms")
    assert text.endswith("10 ms are allowed (max_stall)")


@pytest.mark.parametrize("objects", [400_000, 1_000_000])
def test_the_budget_that_is_named_suffices(objects: int) -> None:
    """With the setting that the log names, objects are counted with nearly every interval."""
    life = Life(Config(interval=1.0))
    life.run([objects] * 3600)
    named = float(life.said[-1].partition("cpu_budget=")[2].partition(",")[0])
    enough = Life(Config(interval=1.0, cpu_budget=named))
    assert len(enough.run([objects] * 3600)) > 0.9 * 3600
    assert named <= 2 * 100 * objects * PER_OBJECT + 1
