"""One urgency: the log, the metrics, the page and the terminal ask for the same, and the steps say the same."""

from __future__ import annotations

import dataclasses

import pytest
from prometheus_client import CollectorRegistry

from memprof_middleware import MemoryCollector
from memprof_middleware.leaks.verdicts import timed
from memprof_middleware.model import MB
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.runtime.observers import leak_condition
from memprof_middleware.terminal.view import view
from memprof_middleware.text.conditions import begins
from tests.web import ten


def server(start_mb: float, per_hour: float, hours: float) -> ten.Server:
    """One worker, watched for so long, with a confirmed leak that takes all its growth."""
    count = 39.0 * per_hour
    leak = ten.leak(
        since=ten.NOW - 3600 * hours,
        first=100,
        last=round(100 + count * hours),
        growth_per_hour=count,
        bytes_per_hour=per_hour * MB,
    )
    worker = ten.Worker(pid=4242, start_mb=start_mb, per_hour=per_hour, hours=hours, noise=0.1)
    return ten.Server(workers=[worker], leaks=((leak, ()),))


@pytest.mark.parametrize(
    ("at", "urgent", "log", "step"),
    [
        # Ten minutes are left, and the figure is twelve minutes old: there is no time to wait for a better one.
        ((50.0, 1250.0, 0.2), "now", "(99 %), act now: ", "Restart worker 4242 now."),
        # 80 minutes are left, by a rough figure.
        ((50.0, 300.0, 0.2), "today", "(99 %), act today: ", "Restart worker 4242 before 18:00 UTC."),
        # The same, with memory above its warning threshold.
        ((425.0, 30.0, 0.2), "now", "(99 %), act now: ", "Restart worker 4242 before 19:15 UTC."),
        # Two and a half hours by a figure that is not rough.
        ((50.0, 100.0, 2.0), "now", "(99 %), act now: ", "Restart worker 4242 before 19:15 UTC."),
        ((50.0, 20.0, 5.0), "today", "(99 %), act today: ", "Plan a restart before "),
        ((50.0, 1.0, 5.0), "plan", "(99 %): ", "Nothing. No worker is near its limit"),
        # Above the limit.
        ((520.0, 30.0, 0.2), "now", "(99 %), act now: ", "Restart worker 4242 now."),
    ],
)
def test_all_ask_for_the_same(at, urgent, log, step):
    """Nobody who reads the log acts now while the page or an alert says that there is time, nor the other way."""
    given = server(*at)
    state, profiler = given.state(), given.profiler()
    [metrics] = profiler.workers()
    [leak] = metrics.leaks
    condition = leak_condition(leak, profiler.config, metrics.snapshot)
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    labels = [s.labels for family in registry.collect() for s in family.samples if s.name.endswith("leak_info")]
    found = {
        "log": condition.urgency,
        "metric": labels[0]["urgency"],
        "card": state["incidents"][0]["urgency"],
        "status": state["status"]["urgency"],
        "terminal": view(state).urgency,
    }
    assert found == dict.fromkeys(found, urgent)
    assert log in begins(condition)
    assert view(state).cards[0].steps[0].text.startswith(step)


def test_half_a_minute_is_no_pace():
    """What a process loads at its start is no pace: log, metric, card and status plan a fix, and the limit is not told.

    Until a leak is weighed, what it takes is only seen in all the memory, and that grows most at the start.
    """
    given = server(50.0, 600.0, 0.005)
    leak = dataclasses.replace(given.leaks[0][0], bytes_per_hour=0.0)
    worker = dataclasses.replace(given.workers[0], every=3.0)
    state = ten.Server(workers=[worker], leaks=((leak, ()),)).state()
    found = view(state)
    assert (state["status"]["urgency"], state["incidents"][0]["urgency"]) == ("plan", "plan")
    assert found.sentence == "1 confirmed leak. When the memory limit is reached: too early to say."
    assert found.cards[0].facts[0][1] == "too early to say"
    assert found.cards[0].steps[0].text.startswith("Nothing yet. How soon the limit is reached is known in a minute")


def test_only_the_leak_that_takes_most_is_as_urgent_as_the_memory():
    """Beside a leak that fills the process, a small one has the urgency of its own time to the limit."""
    large, small = ten.leak(), ten.leak(name="shop.Log", bytes_per_hour=0.2 * MB)
    suspected = ten.leak(name="shop.Cache", state="suspected", bytes_per_hour=99.0 * MB)
    ahead = Ahead(88.0 * MB)
    assert [leak.urgency for leak in timed([small, large, suspected], "today", ahead)] == ["plan", "now", "none"]
    assert [leak.urgency for leak in timed([small], "today", ahead)] == ["today"]
    assert timed([], "now", ahead) == []


def test_what_is_above_its_limit_reaches_nothing():
    """Status, fact and table say that the limit is passed; "in 0 min" says nobody."""
    state = server(520.0, 30.0, 0.2).state()
    found = view(state)
    assert found.sentence == "Worker 4242 is above its memory limit: 526 of 512 MiB. Cause: 1 confirmed leak."
    assert found.cards[0].facts[0] == (
        "Memory limit reached",
        "above the limit now",
        "worker 4242: 526 of 512 MiB, +30 MiB an hour",
    )
    assert found.workers[0].limit == "above the limit"
    assert "0 min" not in str(state["incidents"])
