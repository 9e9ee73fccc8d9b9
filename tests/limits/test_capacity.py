"""What is left of the limits, of a worker and of all workers, as the profiler tells it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.evidence.report import render_report
from memprof_middleware.failures import Failures
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.model import MB, Forecast, Leak, MemoryMetrics, MemorySnapshot, Outlook
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder

START = 1_700_000_000.0


class Rig:
    """A profiler that is stepped every two and a half minutes through hours of a growth."""

    def __init__(self, *, limit_mb: float = 1000.0, config: Config | None = None) -> None:
        self.clock, self.probes = FakeClock(), FakeProbes(heap_mb=300, limit_mb=limit_mb)
        self.profiler = MemoryProfiler(config or Config(background=False), clock=self.clock, probes=self.probes)
        self.heard = Recorder().attach(self.profiler)

    def grow(self, hours: float, *, per_hour: float = 0.0, container: bool = False) -> None:
        for _ in range(int(hours * 24)):
            if container:
                used, size = self.probes.container_mb or (300.0, 1000.0)
                self.probes.container_mb = (used + per_hour / 24, size)
            else:
                self.probes.heap_mb += per_hour / 24
            self.profiler.take_snapshot()
            self.profiler.check_thresholds()
            self.clock.advance(150)

    def alerts(self) -> list[tuple[str, bool]]:
        return [(alert.subject, alert.active) for alert in self.heard.alerts if alert.name == "exhaustion"]


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.profiler.stop()


def snapshot(minute: int, heap_mb: float, **others: object) -> MemorySnapshot:
    return MemorySnapshot(timestamp=START + 60 * minute, pid=1, heap_used_mb=heap_mb, heap_size_mb=1000.0, **others)


def metrics(worker: str, **others: object) -> MemoryMetrics:
    return MemoryMetrics(worker=worker, pid=int(worker) + 10, start_time=START, **others)


def test_a_leak_is_told_in_words_with_its_range(rig):
    """The alert begins hours before the limit, names the range, and ends when the growth does."""
    rig.grow(9.5, per_hour=60)
    (alert,) = [alert for alert in rig.heard.alerts if alert.name == "exhaustion"]
    assert (alert.subject, alert.severity, alert.active) == ("worker", "high", True)
    assert alert.message.startswith("limit near: process ")
    assert " h to " in alert.message
    assert "reaches 1000 MiB in " in alert.message
    assert alert.value < 3 * 3600
    rig.grow(4)
    assert rig.alerts() == [("worker", True), ("worker", False)]


@pytest.mark.parametrize(("in_flight", "told"), [(40, False), (1_934, True)])
def test_a_limit_that_nothing_known_fills_comes_with_the_requests_in_flight(in_flight, told):
    """Background jobs behind a slow lock are requests that have begun and not ended."""
    capacity = Capacity(Failures(logging.getLogger("test")), Config(), lambda *_: False)
    found = [capacity.see(snapshot(minute, 300 + minute, in_flight=in_flight), [], "0") for minute in range(0, 570, 5)]
    [near] = next(conditions for conditions in found if conditions)
    assert near.message.endswith(". 1,934 requests are in flight") is told


@pytest.mark.parametrize("ends", [True, False])
def test_growth_that_ends_before_the_limit_has_no_forecast(ends):
    """Who knows what grows is asked, with what is left and the period of the growth."""
    asked = []
    capacity = Capacity(Failures(logging.getLogger("test")), Config(), lambda *given: asked.append(given) or ends)
    told = [capacity.see(snapshot(minute, 300 + minute), [], "0") for minute in range(0, 570, 5)]
    assert any(told) is not ends
    assert (capacity.forecast.worker.low_seconds is None) is ends
    left, seconds = asked[-1]
    assert left == pytest.approx(135 * MB, abs=5 * MB)
    assert seconds in {3600.0 * hours for hours in (1, 3, 6)}


def test_ordinary_memory_raises_nothing(rig):
    """Eight hours of teeth up to nine tenths of the limit: no forecast, no alert, and the headroom is told."""
    for _ in range(8):
        rig.probes.heap_mb = 400
        rig.grow(1, per_hour=480)
    assert rig.alerts() == []
    told = rig.profiler.metrics().forecast
    assert told is not None
    assert told.worker is not None
    assert told.worker.headroom_mb == pytest.approx(120)
    assert told.worker.low_seconds is None


def test_workers_that_fill_a_container_together(rig):
    """The container's limit is forecast though this worker's own memory stands still."""
    rig.probes.container_mb = (300.0, 1000.0)
    rig.grow(9.5, per_hour=60, container=True)
    assert rig.alerts() == [("shared", True)]
    message = next(alert.message for alert in rig.heard.alerts if alert.subject == "shared")
    assert message.startswith("limit near: the container reaches 1000 MiB in ")


def test_the_report_tells_what_is_left(rig):
    """Headroom always; the range and the period it rests on while there is one."""
    rig.grow(1)
    assert "Left     700.0 MB of its own limit" in render_report(rig.profiler)
    assert "if it goes on" not in render_report(rig.profiler)
    rig.grow(9.5, per_hour=60)
    report = render_report(rig.profiler)
    assert "the end of its own limit is reached in " in report
    assert "at the pace of the last 6 h (+6" in report


def test_a_step_is_reported_as_unusual(rig):
    """What stands above all of its day is a line of the report."""
    rig.grow(4)
    rig.probes.heap_mb = 500
    rig.grow(0.34)
    assert "times its usual variation above the maximum of the last 24 h" in render_report(rig.profiler)


def test_the_same_snapshot_counts_once(rig):
    """Judging the thresholds by hand, again and again, changes nothing."""
    rig.grow(1)
    before = rig.profiler.metrics().forecast
    for _ in range(5):
        rig.profiler.check_thresholds()
    assert rig.profiler.metrics().forecast == before


def test_a_limit_below_what_is_used_is_said_once(rig, caplog):
    """Nothing is forecast, the log says why and what to correct, and the profiler goes on."""
    rig = Rig(config=Config(background=False, heap_size_mb=200))
    with caplog.at_level(logging.WARNING, "memprof"):
        rig.grow(3, per_hour=10)
    said = [record.getMessage() for record in caplog.records if "No forecast until then" in record.getMessage()]
    assert len(said) == 1
    assert "memory in use (300 MiB) is above the limit (200 MiB, from setting)" in said[0]
    assert "correct heap_size_mb" in said[0]
    assert rig.alerts() == []
    assert rig.profiler.failures.counts == {}
    rig.profiler.stop()


def test_a_clock_that_goes_back_is_said_once_and_survived(rig, caplog):
    """A wrong clock that is set right costs the time it was wrong, and raises nothing."""
    rig.grow(4)
    with caplog.at_level(logging.WARNING, "memprof"):
        for _ in range(3):
            rig.clock.advance(86400)
            rig.grow(0.2)
            rig.clock.advance(-86400)
            rig.grow(0.2)
    assert sum("the system clock was set back" in record.getMessage() for record in caplog.records) == 1
    assert rig.alerts() == []
    assert rig.profiler.failures.counts == {}
    rig.grow(9.5, per_hour=60)
    assert rig.alerts() == [("worker", True)]


def test_what_is_not_measured_is_no_forecast(rig):
    """Without a figure or a limit there is none, and no failure either."""
    rig.probes.broken = {"process", "limit", "share"}
    rig.grow(0.2)
    assert rig.profiler.metrics().forecast == Forecast()
    assert "Left" not in render_report(rig.profiler)


def test_a_successor_goes_on_with_the_shared_past_and_not_with_the_worker_s():
    """The container outlives the worker: its forecast goes on and is not told twice; the worker begins anew."""
    first, second = (Capacity(Failures(logging.getLogger("memprof")), Config()) for _ in range(2))
    for minute in range(570):
        first.see(snapshot(minute, 300, container_used_mb=300.0 + minute, container_size_mb=1000.0), [], "0")
    assert first.forecast is not None
    told = second.inherit(metrics("0", forecast=first.forecast))
    assert [breach.subject for breach in told] == ["shared"]
    found = second.see(snapshot(570, 90, container_used_mb=870.0, container_size_mb=1000.0), [], "0")
    assert [breach.subject for breach in found] == ["shared"]
    assert second.forecast is not None
    assert second.forecast.worker == Outlook(used_mb=90, limit_mb=1000)


def test_a_new_sibling_takes_the_shared_past_from_the_first_worker():
    """Who was not a successor asks the others; only the first of them tells it, in less than 10 kB."""
    first, second = (Capacity(Failures(logging.getLogger("memprof")), Config()) for _ in range(2))
    for minute in range(300):
        first.see(snapshot(minute, 300, container_used_mb=500.0, container_size_mb=1000.0), [], "0")
    assert first.forecast is not None
    assert len(json.dumps(first.forecast.to_dict())) < 10_000
    other = metrics("0", forecast=first.forecast, snapshot=snapshot(300, 300))
    second.see(snapshot(300, 90, container_used_mb=500.0, container_size_mb=1000.0), [other], "1")
    assert second.forecast is not None
    assert second.forecast.shared is not None
    assert second.forecast.shared.novelty is not None
    assert second.forecast.worker is not None
    assert second.forecast.worker.novelty is None
    assert second.forecast.shared_past == ""


def test_a_past_that_cannot_be_read_is_a_failure_and_no_more():
    """Another version's text is counted, and the worker begins anew."""
    failures = Failures(logging.getLogger("memprof"))
    capacity = Capacity(failures, Config())
    capacity.inherit(metrics("0", forecast=Forecast(shared=Outlook(used_mb=1), shared_past="what?")))
    assert failures.counts == {"capacity": 1}
    capacity.see(snapshot(0, 90), [], "0")
    assert capacity.forecast is not None


def test_the_forecast_round_trips():
    """Other workers and files get what was told."""
    told = Forecast(worker=Outlook(used_mb=1.0, limit_mb=2.0, low_seconds=3.0, high_seconds=4.0), shared_past="x")
    found = MemoryMetrics.from_dict(json.loads(json.dumps(metrics("0", forecast=told).to_dict())))
    assert found.forecast == told
    assert MemoryMetrics.from_dict(metrics("0").to_dict()).forecast is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_take_its_parent_s_past_for_its_own(rig):
    """After a fork the forecast begins anew."""
    rig.grow(1)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if rig.profiler.metrics().forecast is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_metrics_name_worker_and_all():
    """Four gauges, of each worker and once of all together; the times are absent where nothing is forecast."""
    from memprof_middleware.metrics.catalogue import CATALOGUE

    shared = Outlook(used_mb=1500, limit_mb=2000, low_seconds=60.0, high_seconds=90.0, novelty=1.5)
    own = Outlook(used_mb=300, limit_mb=1000)
    workers = [metrics(worker, forecast=Forecast(worker=own, shared=shared)) for worker in "01"]
    workers.append(metrics("2"))
    specs = {spec.name: spec for spec in CATALOGUE}

    def samples(name: str) -> dict[str, float | None]:
        return {worker: value for (worker,), value in specs[name].samples(workers)}

    assert samples("memory_headroom_bytes") == {"0": 700 * 2**20, "1": 700 * 2**20, "all": 500 * 2**20}
    assert samples("memory_time_to_limit_low_seconds") == {"0": None, "1": None, "all": 60}
    assert samples("memory_time_to_limit_high_seconds")["all"] == 90
    assert samples("memory_novelty")["all"] == 1.5
    assert dataclasses.replace(own, used_mb=1200).headroom_mb == 0


def test_a_forecast_asks_for_action_by_the_thresholds_that_were_set():
    """Memory above a threshold that somebody lowered is nearly full for the forecast too, as it is for the page."""
    outlook = Outlook(
        used_mb=620.0, limit_mb=1000.0, low_seconds=40_000.0, high_seconds=50_000.0, mb_per_hour=30.0, seen_hours=24.0
    )
    given = metrics("0", forecast=Forecast(shared=outlook))
    for config, urgency in (
        (Config(), "today"),
        (Config(heap_warning_percent=50.0, heap_critical_percent=60.0), "now"),
    ):
        [condition] = Capacity(Failures(logging.getLogger("memprof")), config).inherit(given)
        assert condition.urgency == urgency


def test_a_leak_tells_the_time_of_the_forecast():
    """A confirmed leak, its alert and its metric have the forecast's time, and not a pace of their own beside it."""
    rig = Rig(config=Config(background=False, leak_confirm_hours=4))
    rig.probes.heap_mb = 500.0
    try:
        for number in range(24 * 7):
            rig.probes.heap_mb += 60.0 / 24
            # The more of the growth is young, the faster its own pace: it says less time than the forecast.
            rig.probes.counts["shop.Order"] = 1000 + number * (10 + number)
            rig.profiler.step()
            rig.clock.advance(150)
        [leak] = [leak for leak in rig.profiler.detect_leaks() if leak.state == "confirmed"]
        seen = rig.profiler.metrics().forecast.worker
        assert seen.low_seconds is not None
        assert (leak.hours_left, leak.hours_latest) == (seen.low_seconds / 3600, seen.high_seconds / 3600)
        [confirmed] = [alert for alert in rig.profiler.check_thresholds() if alert.name == "leak"]
        [forecast] = [alert for alert in rig.profiler.check_thresholds() if alert.name == "exhaustion"]
        assert confirmed.urgency == forecast.urgency
        [now] = [one for one in rig.profiler.metrics().leaks if one.name == leak.name]
        assert now.urgency == forecast.urgency
    finally:
        rig.profiler.stop()


def test_what_a_predecessor_left_has_the_time_of_this_process():
    """A worker that was restarted because of a leak has its room again: nobody is told that its limit is near."""
    rig = Rig()
    leak = Leak(
        name="shop.Order", state="confirmed", severity="high", first=0, last=10_000, growth_percent=900.0,
        growth_per_hour=2000.0, bytes_per_hour=50.0 * MB, hours_left=0.4, fill="now", since=START, detected_at=START,
        snapshots=90,
    )  # fmt: skip
    rig.profiler._monitor.evaluator.inherit(metrics("0", leaks=(leak,)))
    try:
        rig.grow(0.2)
        rig.profiler.step()
        [found] = rig.profiler.metrics().leaks
        assert (round(found.hours_left, 1), found.urgency) == (14.0, "today")
    finally:
        rig.profiler.stop()
