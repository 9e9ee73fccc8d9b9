"""From counted requests and allocator readings to metrics, log and report."""

from __future__ import annotations

import logging
import random
import time
from types import SimpleNamespace

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.evidence.report import render_report
from memprof_middleware.model import MemoryMetrics, RouteWindows, WorkerSummary
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.routes import watch
from memprof_middleware.routes.work import MOST_SECONDS, Task
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.workers.group import WorkerGroup
from tests.asking import scrape

LEAK, SMALL, FINE = "POST /cart", "POST /track", "GET /help"


class Server:
    """Answers requests of a changing mix, of which some keep memory."""

    def __init__(self, *, in_use: bool = True, seed: int = 1, limit_mb: float = 150, **settings) -> None:
        self.clock, self.probes = FakeClock(), FakeProbes(limit_mb=limit_mb)
        self.profiler = MemoryProfiler(
            Config(background=False, **{"cpu_budget": 100.0} | settings),
            clock=self.clock,
            probes=self.probes,
            logger=logging.getLogger("app"),
        )
        self._rng, self._in_use, self.memory, self.blocks = random.Random(seed), in_use, 50_000_000, 100_000

    def window(self, kept: float = 20_000) -> None:
        """One interval of requests, then one step."""
        for route in (LEAK, SMALL, FINE):
            for _ in range(self._rng.randrange(20, 100)):
                self.profiler.traffic.started += 1
                self.profiler.traffic.end(route)
                self.memory += int(kept) if route == LEAK else 0
                self.blocks += 20 if route == SMALL else 0
                self.probes.counts["shop.Line"] = self.probes.counts.get("shop.Line", 500) + 3 * (route == SMALL)
        self.memory += self._rng.randrange(1000)
        self.probes.allocated = AllocatorStats(self.memory if self._in_use else None, 0, self.blocks, "fake")
        self.probes.heap_mb = self.memory / 2**20
        self.clock.advance(60)
        self.profiler.step()

    def reading(self, number: int) -> None:
        """One interval of requests that keep nothing, then a reading of the routes alone."""
        for route in (LEAK, SMALL, FINE):
            for _ in range(self._rng.randrange(20, 100)):
                self.profiler.traffic.started += 1
                self.profiler.traffic.end(route)
        memory = 50_000_000 + self._rng.randrange(1000)
        self.probes.allocated = AllocatorStats(memory, 0, 100_000 + self._rng.randrange(9), "fake")
        self.clock.advance(60)
        self.profiler._monitor.features.routes.read(number)


@pytest.fixture
def ample_time(monkeypatch):
    """What a step may spend is processor time: on a slow machine a judgement takes more steps than are made here."""
    for name in ("CALM_SECONDS", "MOST_SECONDS"):
        monkeypatch.setattr(watch, name, 10.0)


@pytest.fixture
def server():
    return Server()


def growth(profiler, unit):
    return [
        (g.route, round(g.per_request.value, -1 if unit == "bytes" else 0))
        for g in profiler.route_growth()
        if g.unit == unit
    ]


@pytest.mark.usefixtures("ample_time")
def test_both_signals_find_their_route(server):
    """In-use bytes show the big leak and blocks the small one, each blamed on its route alone."""
    for _ in range(20):
        server.window()
    assert growth(server.profiler, "bytes") == [(LEAK, 20_000)]
    assert growth(server.profiler, "objects") == [(SMALL, 20)]
    assert {g.source for g in server.profiler.route_growth()} == {"in use", "blocks"}


@pytest.mark.usefixtures("ample_time")
def test_without_in_use_bytes_resident_memory_is_read():
    """Under another allocator the anonymous memory stands in, and the finding says so."""
    server = Server(in_use=False)
    for _ in range(20):
        server.window()
    found = [g for g in server.profiler.route_growth() if g.unit == "bytes"]
    assert [(g.route, g.source) for g in found] == [(LEAK, "resident")]
    assert found[0].per_request.low <= 20_000 <= found[0].per_request.high


def test_told_by_metrics_report_and_log(server, caplog):
    """The scrape has the figure, the report the sentence, the log the sentence when it begins and when it ends.

    It is told once what it keeps has taken a good part of the room, and over when it has not grown for as long again.
    """
    with caplog.at_level(logging.INFO):
        for _ in range(45):
            server.window()
        text = scrape(MetricsEndpoint(server.profiler)).body.decode()
        line = next(line for line in text.splitlines() if line.startswith("fogcompute_memory_route_growth_bytes"))
        assert line.split("} ")[0] == 'fogcompute_memory_route_growth_bytes_per_request{route="POST /cart",worker="all"'
        assert float(line.split("} ")[1]) == pytest.approx(20_000, rel=0.01)
        assert "POST /cart keeps 20.0 kB (" in render_report(server.profiler)
        for _ in range(190):
            server.window(kept=0)
    told = [r for r in caplog.records if getattr(r, "memprof_name", "") == "route_leak"]
    cart = [(r.memprof_active, r.memprof_subject) for r in told if r.memprof_subject == LEAK]
    assert cart == [(True, LEAK), (False, LEAK)]
    # The line of the leak has the route: beside it, this is no second leak.
    assert {(r.memprof_subject, r.levelno) for r in told} == {(LEAK, logging.INFO), (SMALL, logging.WARNING)}
    assert any("route leaks: POST /cart keeps 20 KiB per request (" in record.getMessage() for record in told)


@pytest.mark.usefixtures("ample_time")
def test_a_route_that_keeps_what_matters_to_nobody_is_no_alert(caplog):
    """With 100 GB of room, 20 kB a request are in the report for hours, and nobody is told."""
    server = Server(limit_mb=100_000)
    with caplog.at_level(logging.INFO):
        for _ in range(60):
            server.window()
    assert growth(server.profiler, "bytes") == [(LEAK, 20_000)]
    assert [r for r in caplog.records if getattr(r, "memprof_name", "") == "route_leak"] == []


def test_a_leak_that_another_worker_has_confirmed_is_evidence(caplog, monkeypatch):
    """Who judges for all may be healthy, or young: the growth is that of the server, and so is the alert."""
    server = Server(limit_mb=100_000)
    sibling = WorkerSummary(worker="5", pid=1, confirmed=True)
    group = server.profiler._monitor.group
    monkeypatch.setattr(group, "siblings", lambda pid: [sibling])
    monkeypatch.setattr(group, "windows", lambda worker: None)
    with caplog.at_level(logging.INFO):
        for _ in range(60):
            server.window()
    told = [r.memprof_subject for r in caplog.records if getattr(r, "memprof_name", "") == "route_leak"]
    assert told.count(LEAK) == 1
    assert (LEAK,) in [leak.routes for leak in server.profiler.metrics().route_leaks]
    text = scrape(MetricsEndpoint(server.profiler)).body.decode()
    assert 'fogcompute_memory_route_leak_bytes_per_request{route="POST /cart",worker="all"} ' in text


@pytest.mark.usefixtures("ample_time")
def test_small_leaks_are_no_alert(caplog):
    """Below `route_min_bytes` a route is in the report, and nobody is woken."""
    server = Server(route_min_bytes=50_000)
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            server.window()
    assert growth(server.profiler, "bytes") == [(LEAK, 20_000)]
    assert [r for r in caplog.records if getattr(r, "memprof_subject", "") == LEAK] == []


def test_which_route_makes_a_type_grow(server):
    """For a leaking type the route is found by the census, with what a request adds and its share of the growth."""
    for _ in range(20):
        server.window()
    found = server.profiler.route_of("shop.Line")
    assert found is not None
    assert (found.route, found.together_with, found.unit, found.source) == (SMALL, (), "shop.Line", "census")
    assert found.per_request.value == pytest.approx(3)
    assert found.share == pytest.approx(1)
    assert server.profiler.route_of("builtins.dict") is None


@pytest.mark.usefixtures("ample_time")
def test_nothing_is_said_before_there_are_windows_enough(server):
    """The first windows are warm-up, and ten more are needed."""
    for _ in range(3 + 9):
        server.window()
    assert server.profiler.route_growth() == []


@pytest.mark.usefixtures("ample_time")
def test_workers_are_judged_together(monkeypatch):
    """The worker with the lowest number judges the windows of all, as the slots bring them; the others pass it on."""
    first, second = Server(seed=1), Server(seed=2)
    for server, name in ((first, "0"), (second, "1")):
        monkeypatch.setattr(WorkerGroup, "worker", property(lambda self: self._name), raising=False)
        server.profiler._monitor.group._name = name
    for server in (first, second):
        other, group = {first: second, second: first}[server], server.profiler._monitor.group
        publisher = server.profiler._monitor.publisher
        monkeypatch.setattr(publisher, "workers", lambda: [over_the_wire(s) for s in (first, second)])
        monkeypatch.setattr(group, "siblings", lambda pid, other=other: [summary(other)])
        monkeypatch.setattr(
            group,
            "windows",
            lambda worker, other=other: RouteWindows.unpack(other.profiler._monitor.features.routes.published().pack()),
        )
        for _ in range(9):
            server.window()
    assert len(first.profiler._monitor.features.routes.published()) == 6
    assert growth(first.profiler, "bytes") == []
    for _ in range(4):  # now the two have more than ten windows together; a judgement may take some steps
        first.window()
    assert growth(first.profiler, "bytes") == [(LEAK, 20_000)]
    assert second.profiler._monitor.features.routes.growth == ()
    assert growth(second.profiler, "bytes") == [(LEAK, 20_000)]


def summary(server):
    """What the other workers see of one with each step."""
    return WorkerSummary.from_dict(WorkerSummary.of(server.profiler.metrics()).to_dict())


def over_the_wire(server):
    """What a scrape of another worker shows of one."""
    import json

    return MemoryMetrics.from_dict(json.loads(json.dumps(server.profiler.metrics().to_dict())))


def test_calm_moment_is_awaited(server):
    """A reading waits a little for a moment without requests in flight, and takes the calmest that it saw."""
    server.window()
    traffic, probes = server.profiler.traffic, server.probes
    traffic.started += 1
    readings = []

    def allocator():
        readings.append(traffic.in_flight)
        if len(readings) == 3:
            traffic.end(FINE)
        return AllocatorStats(1_000_000 + 500_000 * traffic.in_flight, 0, 1, "fake")

    probes.allocator = allocator
    server.profiler.take_snapshot()
    assert readings == [1, 1, 1, 0]
    assert server.profiler._monitor.features.routes._last.memory == 1_000_000


def test_broken_allocator_probe_harms_nothing(server):
    """A probe that fails is counted, and snapshots go on."""
    server.probes.broken = {"allocator"}
    server.window()
    server.window()
    assert server.profiler.failures.counts["probe_routes"] == 2
    assert server.profiler.history.seen == 2


def test_judging_is_rationed(monkeypatch):
    """Judging that takes long is spread over many steps, and what a step spends is paid back by those after it."""
    server = Server(cpu_budget=0.5)
    for _ in range(14):
        server.window()
    now, go_on = [0.0], Task.go_on

    def slow(task):
        now[0] += 0.5  # a second of which is what some four steps may spend, if there is nothing else to do
        go_on(task)

    monkeypatch.setattr("memprof_middleware.routes.work.Task.go_on", slow)
    fake = SimpleNamespace(thread_time=lambda: now[0], perf_counter=time.perf_counter, sleep=time.sleep)
    for module in ("routes.work", "cpu_budget"):
        monkeypatch.setattr(f"memprof_middleware.{module}.time", fake)
    spent = []
    for _ in range(30):
        before = now[0]
        server.window()
        spent.append(now[0] - before)
    assert max(spent) == 0.5
    assert 1.5 <= sum(spent) <= 0.005 * 60 * 30 + 0.5 + 1.5  # the income of 30 steps, one too much, the start's credit


@pytest.fixture
def costly(monkeypatch):
    """Let each piece of work between two rests take 10 ms; what was spent so far."""
    now, go_on = [0.0], Task.go_on

    def slow(task):
        go_on(task)
        now[0] += 0.01
        task.seconds += 0.01

    monkeypatch.setattr("memprof_middleware.routes.work.Task.go_on", slow)
    fake = SimpleNamespace(thread_time=lambda: now[0], perf_counter=time.perf_counter, sleep=lambda seconds: None)
    monkeypatch.setattr("memprof_middleware.routes.work.time", fake)
    return now


def test_all_that_is_asked_in_a_step_shares_its_quota(server, costly):
    """However many questions wait, a step spends no more than its quota on them and on the judgement together."""
    watch, history = server.profiler._monitor.features.routes, server.profiler.history
    for _ in range(14):
        server.window()
    for name in ("shop.Line", "shop.Cart", "shop.Order"):
        before = costly[0]
        watch.ask("objects", name, history, by_hand=True)
        assert costly[0] - before == pytest.approx(MOST_SECONDS)
    assert len(watch._questions) == 3
    before = costly[0]
    server.window()
    assert 0 < costly[0] - before <= MOST_SECONDS + 1e-6


def test_where_nothing_presses_a_judgement_takes_its_time(server, costly):
    """A calm step spends little, but so much that the windows do not grow old; where memory grows, a whole quota."""
    watch = server.profiler._monitor.features.routes

    def steps(pressing, windows):
        spent, answers = [], 0
        for number in range(windows):
            server.reading(100 + number)
            before = costly[0]
            watch.judge("0", (), lambda other: None, pressing=pressing)
            spent.append(costly[0] - before)
            answers += watch.judged
        return max(spent), answers

    steps(False, 120)
    (calm, calm_answers), (pressed, pressed_answers) = steps(False, 120), steps(True, 120)
    assert calm <= 0.03
    assert calm_answers >= 1
    assert MOST_SECONDS <= pressed + 1e-6 <= MOST_SECONDS + 0.02
    assert pressed_answers >= 2 * calm_answers


def test_a_judgement_over_many_steps_is_the_same(monkeypatch):
    """What is found out bit by bit is what is found out at once, of the windows that there were at the beginning."""
    # A quota is processor time, of which a slow machine needs more.
    monkeypatch.setattr("memprof_middleware.routes.work.Quota.spent", property(lambda quota: False))
    monkeypatch.setattr("memprof_middleware.routes.work.Quota.go_on", lambda quota, task: task.finish())
    at_once, bit_by_bit = Server(seed=3), Server(seed=3)
    for server in (at_once, bit_by_bit):
        for _ in range(20):
            server.window()
    at_once.window()

    def one_bit(quota, task):
        task.go_on()

    monkeypatch.setattr("memprof_middleware.routes.work.Quota.go_on", one_bit)
    before = bit_by_bit.profiler._monitor.features.routes.growth
    bit_by_bit.window()
    steps = 1
    while bit_by_bit.profiler._monitor.features.routes.growth is before:
        bit_by_bit.window(kept=0)
        steps += 1
    assert steps > 20
    assert bit_by_bit.profiler._monitor.features.routes.growth == at_once.profiler._monitor.features.routes.growth


def test_a_question_that_takes_long_is_answered_later(server, monkeypatch):
    """A type whose route takes more than a quota to find is asked for again, and has its answer then."""
    for _ in range(20):
        server.window()
    watch, history = server.profiler._monitor.features.routes, server.profiler.history
    monkeypatch.setattr("memprof_middleware.routes.work.Quota.go_on", lambda quota, task: task.go_on())
    answers = [watch.ask("objects", "shop.Line", history)]
    while not answers[-1][0]:
        answers.append(watch.ask("objects", "shop.Line", history))
    assert len(answers) > 5
    known, (first, *_) = answers[-1]
    assert known
    assert first == server.profiler.route_of("shop.Line")
    assert not watch._questions
