"""One urgency: the log, the metrics, the page and the terminal ask for the same, and the steps say the same."""

from __future__ import annotations

import dataclasses
import logging
import re
import types

import pytest
from prometheus_client import CollectorRegistry

from memprof_middleware import Config, MemoryCollector
from memprof_middleware.evidence.card import lines, reached
from memprof_middleware.leaks.verdicts import Pace, timed
from memprof_middleware.model import MB, Leak, Outlook, RouteGrowth
from memprof_middleware.model.alert import level_of
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.ignored import Ignored
from memprof_middleware.model.leak import routed
from memprof_middleware.runtime.changes import Change, alert_of
from memprof_middleware.runtime.observers import leak_condition
from memprof_middleware.sinks.statsd import DogStatsdSink
from memprof_middleware.terminal.view import view
from memprof_middleware.text.conditions import begins, leak_message, rises
from memprof_middleware.web.state.limits import StateContext, limit
from tests.web import ten


class Sent(DogStatsdSink):
    """What Datadog's agent would get."""

    def __init__(self) -> None:
        super().__init__("udp://127.0.0.1:9")
        self.lines: list[str] = []
        self._datagrams = types.SimpleNamespace(send=self.lines.extend)

    def tag(self, name: str) -> str:
        [event] = [line for line in self.lines if line.startswith("_e{")]
        return re.search(rf"[#,]{name}:(\w+)", event)[1]

    @property
    def is_critical(self) -> bool:
        [check] = [line for line in self.lines if line.startswith("_sc|")]
        return check.startswith("_sc|memprof.leak|2|")


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
        # 80 and 37 minutes are left, by a rough figure: a confirmed leak is no start, and the words follow the figure.
        ((50.0, 300.0, 0.2), "now", "(99 %), act now: ", "Restart worker 4242 before 18:00 UTC."),
        ((50.0, 565.0, 0.2), "now", "(99 %), act now: ", "Restart worker 4242 before 17:15 UTC."),
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


def shaped(*, workers: int = 1, leaks=None, **more: object) -> ten.Server:
    """A server of workers that are alike, each with these leaks; by default one that takes all growth."""
    told = {"pid": 4242, "start_mb": 260.0, "per_hour": 20.0, "hours": 6.0, "noise": 0.1} | {
        name: value for name, value in more.items() if name in ("start_mb", "per_hour", "forecast", "limit_mb", "hours")
    }
    rest = {name: value for name, value in more.items() if name not in told and name != "forecast"}
    count = 39.0 * told["per_hour"]
    one = ten.leak(
        since=ten.NOW - 3600 * told["hours"],
        first=100,
        last=round(100 + count * told["hours"]),
        growth_per_hour=count,
        bytes_per_hour=told["per_hour"] * MB,
    )
    alike = [ten.Worker(**(told | {"pid": 4242 + number})) for number in range(workers)]
    return ten.Server(workers=alike, leaks=tuple((leak, ()) for leak in leaks or (one,)), **rest)


SMALL = ten.leak(name="shop.Log", path="shop.LOG[*]", holder="shop.LOG[*]", bytes_per_hour=0.5 * MB)
SHAPES = {
    # By the pace 6.6 h are left, by the forecast three to four: the floor of memory rises faster than what was weighed.
    "a forecast that is sooner": (shaped(forecast=(3 * 3600.0, 4 * 3600.0)), "now", 3.0),
    # By the pace 2.6 h, by the forecast five to seven.
    "a forecast that is later": (shaped(per_hour=33.0, forecast=(5 * 3600.0, 7 * 3600.0)), "today", 5.0),
    "a pace": (shaped(), "today", 6.6),
    "a pace that is rough": (shaped(start_mb=50.0, per_hour=300.0, hours=0.2), "now", 1.34),
    "far": (shaped(per_hour=1.0), "plan", 246.0),
    # Each worker has 512 MB for itself and a quarter of the 112 MB that all have left.
    "a limit that four workers share": (
        shaped(workers=4, start_mb=60.0, per_hour=10.0, container=(400.0, 512.0)),
        "now",
        2.8,
    ),
    "one worker in a container": (shaped(container=(380.0, 512.0)), "today", 6.6),
    # Somebody set the thresholds: 74 % is nearly full.
    "thresholds that were set": (
        shaped(config=Config(heap_warning_percent=50.0, heap_critical_percent=70.0), per_hour=20.0),
        "now",
        6.6,
    ),
    "another leak beside": (shaped(leaks=(SMALL, ten.leak(bytes_per_hour=20.0 * MB))), "today", 6.6),
    # What fills the memory is ignored: what is reported is far.
    "a leak beside one that is ignored": (
        shaped(
            leaks=(SMALL,),
            start_mb=60.0,
            per_hour=1.0,
            ignored=(Ignored(item="shop.cart", leaks=(ten.leak(bytes_per_hour=20.0 * MB, hours_left=22.0),)),),
        ),
        "plan",
        892.0,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_all_say_the_same_of_the_same_state(name):
    """Log, alert, metrics, card, terminal, sinks and evidence have one urgency and one time until the limit."""
    given, urgent, hours = SHAPES[name]
    state, profiler = given.state(), given.profiler()
    card = state["incidents"][0]
    [metrics] = [one for one in profiler.workers() if one.pid == card["pid"]]
    [leak] = [one for one in metrics.leaks if one.name == card["name"]]
    condition = leak_condition(leak, given.config, metrics.snapshot)
    alert = alert_of(Change("begins", condition, condition, ten.NOW, ten.NOW), begins(condition))
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    samples = [s for family in registry.collect() for s in family.samples if s.labels.get("incident") == leak.name]
    worker = {"worker": metrics.worker}
    [label] = [
        s.labels["urgency"] for s in samples if s.name.endswith("leak_info") and worker.items() <= s.labels.items()
    ]
    [seconds] = [s.value for s in samples if s.name.endswith("to_limit_seconds") and worker.items() <= s.labels.items()]
    sent = Sent()
    sent.event(alert, metrics)
    sent.snapshot(metrics)
    found = {
        "leak": leak.urgency,
        "log": condition.urgency,
        "alert": alert.urgency,
        "metric": label,
        "card": card["urgency"],
        "terminal": view(state).cards[0].urgency,
        "sink": sent.tag("urgency"),
    }
    assert found == dict.fromkeys(found, urgent)
    assert sent.is_critical == (urgent == "now")
    assert level_of(alert) == {"plan": logging.WARNING, "today": logging.WARNING, "now": logging.ERROR}[urgent]
    times = [
        leak.hours_left,
        alert.hours_left,
        seconds / 3600,
        card["limit"]["seconds_low"] and card["limit"]["seconds_low"] / 3600,
    ]
    assert [time and round(time, 1 if hours < 24 else -1) for time in times] == pytest.approx(
        [round(hours, 1 if hours < 24 else -1)] * 4
    )
    told = reached(leak)
    assert f"emory limit {told}" in alert.message
    assert any(line.endswith(told) for line in lines(leak))
    if name != "a leak beside one that is ignored":  # then the status speaks of the ignored one, and says so
        assert (state["status"]["urgency"], view(state).urgency) == (urgent, urgent)


def _suspicion_fills(used_mb: float, share: float = 1.0, per_hour: float = 240.0) -> ten.Server:
    """A worker with a limit of 96 MiB, a quarter of an hour old, and a suspicion that has this share of its growth."""
    hours = 0.25
    cache = ten.leak(
        name="app.thumbnails._cache",
        kind="container",
        state="suspected",
        confidence=0.8,
        path="",
        holder="",
        pattern="",
        first=100,
        last=1050,
        growth_per_hour=950 / hours,
        bytes_per_hour=share * per_hour * MB,
        since=ten.NOW - 3600 * hours,
    )
    start = used_mb - per_hour * hours
    worker = ten.Worker(pid=13792, start_mb=start, per_hour=per_hour, hours=hours, noise=0.05, limit_mb=96.0)
    return ten.Server(workers=[worker], leaks=((cache, ()),))


@pytest.mark.parametrize(
    ("used_mb", "when"), [(79.0, "in 4 min (rough: watched 15 min)"), (88.0, "in 2 min (rough: watched 15 min)")]
)
def test_a_suspicion_that_fills_the_last_of_the_memory_has_one_step(used_mb, when):
    """Nobody is told at once to do nothing, to raise the limit and to raise the threshold, with minutes left."""
    state = _suspicion_fills(used_mb).state()
    found = view(state)
    assert (state["status"]["key"], state["status"]["urgency"]) == ("now", "now")
    told = f"Worker 13792 reaches its memory limit {when}. No leak is confirmed; suspected: app.thumbnails._cache."
    assert found.sentence.replace("about ", "") == told
    assert state["todo"] == []
    step = state["incidents"][0]["advice"]["now"]
    assert step["code"] == ["kill -TERM 13792"]
    assert found.cards[0].steps[0].text.startswith("Restart worker 13792 now.")


def test_a_suspicion_that_fills_what_all_share_is_named():
    """Each worker has room of its own; the container is at 86 % and full within the hour."""
    cache = ten.leak(name="app.CACHE", state="suspected", path="", holder="", bytes_per_hour=20.0 * MB, pattern="")
    workers = [ten.Worker(pid=4242 + n, start_mb=100.0, per_hour=20.0, limit_mb=1024.0, noise=0.1) for n in range(4)]
    state = ten.Server(workers=workers, leaks=((cache, ()),), container=(884.0, 1024.0)).state()
    assert (state["status"]["key"], state["todo"]) == ("now", [])
    assert view(state).sentence.endswith("No leak is confirmed; suspected: app.CACHE.")
    assert state["incidents"][0]["advice"]["now"]["code"][0].startswith("kill -TERM ")


@pytest.mark.parametrize(
    ("share", "used_mb", "per_hour"),
    [(0.2, 79.0, 240.0), (1.0, 79.0, 0.5)],  # most of the growth is of something else; the limit is a day away
)
def test_a_suspicion_that_is_not_what_fills_the_memory_leaves_the_steps_for_full_memory(share, used_mb, per_hour):
    """And its own step points to them instead of contradicting them."""
    state = _suspicion_fills(used_mb, share, per_hour).state()
    assert state["status"]["key"] == "full"
    assert [one["step"] for one in state["todo"]] == ["Now", "Later"]
    assert view(state).cards[0].steps[0].text == (
        "Nothing because of this alone: memory is nearly full, and the step for that comes first."
    )


@pytest.mark.parametrize("seconds", [18, 31, 180])
def test_what_a_leak_takes_is_not_known_at_once(seconds: int):
    """What a process loads at its start is no pace: log, metric, card and status plan a fix, and the limit is not told.

    Until a leak is weighed, what it takes is only seen in all the memory, and that grows most at the start. Nor is it
    said that the limit is not reached.
    """
    given = server(50.0, 600.0, seconds / 3600)
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


def test_a_second_leak_that_nobody_has_found_brings_the_limit_nearer():
    """Log, card and table have one time, and the growth that it rests on."""
    given = shaped(per_hour=30.0, start_mb=260.0)
    whole = Pace(30.0 * MB, 6 * 3600.0)
    known = [dataclasses.replace(leak, bytes_per_hour=20.0 * MB) for leak, _ in given.leaks]
    [found] = timed(known, "none", Ahead(72.0 * MB), whole)
    assert (found.hours_left, found.process_per_hour) == (2.4, 30.0 * MB)
    assert "+20 MiB an hour" in leak_message(found)
    assert "all memory of the process +30 MiB an hour. Memory limit in about 2.4 h" in leak_message(found)
    # One that is known for too short a time, or is about what the leak takes, changes nothing; nor has a forecast two.
    for other in (None, Pace(30.0 * MB, 3 * 3600.0), Pace(22.0 * MB, 6 * 3600.0)):
        [alone] = timed(known, "none", Ahead(72.0 * MB), other)
        assert (alone.hours_left, alone.process_per_hour) == (3.6, None)
    seen = Outlook(used_mb=440.0, limit_mb=512.0, low_seconds=3600.0, high_seconds=7200.0, seen_hours=6.0)
    [forecast] = timed(known, "none", Ahead(72.0 * MB, False, seen), whole)
    assert (forecast.hours_left, forecast.hours_latest, forecast.process_per_hour) == (1.0, 2.0, None)
    context = StateContext(Config(), ten.NOW, None, 1)
    reached = limit(
        context, None, [found], pid=1, used_mb=440.0, limit_mb=512.0, growth_mb=30.0, seen_seconds=6 * 3600.0
    )
    assert (reached["basis"], reached["seconds_low"], reached["mb_per_hour"]) == ("pace", 2.4 * 3600, 30.0)


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


def _by_a_route(share: float) -> tuple[ten.Server, Leak, RouteGrowth]:
    """A server with a leak whose own route is not known, the leak, and a route that has this share of its growth."""
    server = ten.native()
    [(leak, pids)] = server.leaks
    told = ten.route("POST /preview", "bytes", 223_000.0, 215_000.0, 231_000.0, share)
    unknown = dataclasses.replace(leak, route="", route_share=None, route_per_request=None)
    return dataclasses.replace(server, leaks=((unknown, pids),), routes=(told,)), unknown, told


def _routes_in_metrics(given: ten.Server) -> set[str]:
    registry = CollectorRegistry()
    registry.register(MemoryCollector(given.profiler()))
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {sample.labels["route"] for sample in samples if sample.name.endswith("leak_info")}


def test_log_metrics_and_page_know_the_same_route():
    """What the figures of all routes say of a leak, whose own route is not known, is in the alert as soon as here."""
    given, unknown, told = _by_a_route(0.98)
    card = given.state()["incidents"][0]
    assert _routes_in_metrics(given) == {card["feeds"][0]["route"]} == {"POST /preview"}
    condition = leak_condition(routed(unknown, (told,)), given.config)
    assert condition.route == "POST /preview"
    assert condition.message.startswith("Native memory grows by 34 MiB an hour; fed by POST /preview")
    assert leak_condition(routed(unknown, ()), given.config).route == ""


def test_log_metrics_and_page_name_no_route_that_feeds_little():
    """A route with an eighth of the growth is in no label and no alert; the card says that none is the cause."""
    given, unknown, told = _by_a_route(0.12)
    fact = given.state()["incidents"][0]["facts"][2]
    assert [part["text"] for part in fact["value"]] == ["no single route found"]
    assert "12 % of the growth" in str(fact["note"])
    assert _routes_in_metrics(given) == {""}
    condition = leak_condition(routed(unknown, (told,)), given.config)
    assert condition.route == ""
    assert condition.message.startswith("Native memory grows by 34 MiB an hour; no route feeds more than 12 % of it.")


@pytest.mark.parametrize(
    ("given", "room"),
    [
        (shaped(), " (380 of 512 MiB, process 4242)"),
        (
            shaped(workers=4, start_mb=60.0, per_hour=10.0, container=(400.0, 512.0)),
            " (container 400 of 512 MiB, process 4242)",
        ),
        (shaped(per_hour=1.0), ""),
    ],
)
def test_a_line_that_asks_for_action_names_the_process(given, room):
    """Act now and act today say which process, and what is used of the limit that it reaches; a plan needs neither."""
    metrics = given.profiler().workers()[0]
    message = leak_condition(metrics.leaks[0], given.config, metrics.snapshot).message
    assert message.endswith(f"at this pace{room}")
    known = leak_condition(dataclasses.replace(metrics.leaks[0], hours_left=900.0), given.config, metrics.snapshot)
    condition = leak_condition(metrics.leaks[0], given.config, metrics.snapshot)
    assert bool(room) == rises(condition, known).endswith(" 4242")


def _one_route(share: float = 0.98, per_hour: float = 50.0 * MB, **more: object) -> tuple[Leak, RouteGrowth]:
    """A leak of objects whose own route is not known, and a route by the memory that it keeps."""
    unknown = ten.leak(route="", route_share=None, route_per_request=None, **more)
    kept = ten.route("POST /orders", "bytes", 7000.0, 6800.0, 7200.0, share)
    return unknown, dataclasses.replace(kept, per_hour=per_hour)


def test_the_route_that_keeps_practically_all_memory_feeds_the_leak_that_takes_it():
    """Nobody reads that no route was found a few lines below the one that keeps it."""
    unknown, told = _one_route()
    assert unknown.bytes_per_hour == 49.0 * MB
    message = leak_condition(routed(unknown, (told,)), Config()).message
    assert message.startswith("shop.cart.SESSIONS keeps Session objects of POST /orders: ")
    worker = ten.Worker(pid=4242, start_mb=50.0, per_hour=49.0)
    state = ten.Server(workers=[worker], leaks=((unknown, ()),), routes=(told,)).state()
    assert [part["text"] for part in state["incidents"][0]["facts"][2]["value"]] == ["POST /orders"]


@pytest.mark.parametrize(
    ("share", "per_hour", "more"),
    [
        (0.8, 50.0 * MB, {}),  # another one keeps a fifth
        (0.98, 50.0 * MB, {"bytes_per_hour": 5.0 * MB}),  # it keeps ten times as much
        (0.98, 50.0 * MB, {"bytes_per_hour": 500.0 * MB}),
        (0.98, 50.0 * MB, {"bytes_per_hour": 0.0}),  # nobody knows yet how much the leak takes
        (0.98, 50.0 * MB, {"growth_per_request": None}),  # it grows with time
    ],
)
def test_a_route_that_keeps_something_else_is_not_the_cause(share, per_hour, more):
    """What grows beside a route, or by the clock, is not its doing."""
    unknown, told = _one_route(share, per_hour, **more)
    assert routed(unknown, (told,)).route == ""
