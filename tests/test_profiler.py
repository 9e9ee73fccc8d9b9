"""The conductor: stepping, telling, failing, forking."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memprof_middleware import Alert, BaselineError, Config, ConfigError, Leak, MemoryProfiler, get_memory_profiler
from memprof_middleware import registry as profiler_module
from memprof_middleware.model import MemoryMetrics
from memprof_middleware.probes import ProcessMemory
from memprof_middleware.registry import profiler_for
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder

fork_test = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Rig:
    """A profiler whose time and instruments the test holds."""

    def __init__(self, config: Config | None = None) -> None:
        self.clock, self.probes = FakeClock(), FakeProbes()
        self.profiler = MemoryProfiler(
            config or Config(background=False, leak_confirm_hours=0.05), clock=self.clock, probes=self.probes
        )
        self.heard = Recorder().attach(self.profiler)

    def step(self, steps: int = 1, **counts: int) -> None:
        for _ in range(steps):
            self.probes.counts = counts or self.probes.counts
            self.profiler.step()
            self.clock.advance(60)

    def leak(self, steps: int = 12) -> None:
        for number in range(steps):
            self.probes.collections = (0, 0, number)  # what is left is no garbage
            self.step(**{"shop.Cart": 100 + 100 * number})


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.profiler.stop()


@pytest.fixture
def running() -> Iterator[MemoryProfiler]:
    profiler = MemoryProfiler(Config(interval=1), probes=FakeProbes())
    yield profiler
    profiler.stop()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


# -- stepping ----------------------------------------------------------------------------------------------------


def test_hours_are_replayed_in_a_moment(rig: Rig) -> None:
    """The caller steps, the caller's clock tells the time: twelve snapshots a minute apart find the leak."""
    verdicts: list[list[Leak]] = []
    for number in range(12):
        rig.probes.counts = {"shop.Cart": 100 + 100 * number, "builtins.dict": 900}
        snapshot = rig.profiler.take_snapshot()
        assert snapshot.timestamp == rig.clock.now
        verdicts.append(rig.profiler.detect_leaks())
        rig.clock.advance(60)
    assert not rig.profiler.running
    [leak] = verdicts[-1]
    # After three snapshots of warm-up: from 400 to 1,200, which is not above 200 %.
    assert (leak.name, leak.first, leak.last, leak.severity) == ("shop.Cart", 400, 1200, "high")
    assert rig.heard.leaks == [next(found for found in verdicts if found)[0]]


def test_nothing_is_judged_before_a_snapshot(rig: Rig) -> None:
    """Without a snapshot there are no leaks, no alerts, no drift and no figures, and no error."""
    assert (rig.profiler.detect_leaks(), rig.profiler.check_thresholds()) == ([], [])
    assert rig.profiler.compare_to_baseline() is None
    metrics = rig.profiler.metrics()
    assert (metrics.snapshot, metrics.leaks, metrics.drift, metrics.snapshots_taken) == (None, (), None, 0)
    assert rig.profiler.statistics()["snapshot_seconds_mean"] is None


def test_making_one_changes_nothing_in_the_process() -> None:
    """Construction leaves threads, gc callbacks and tracing as they were."""
    before = (threading.active_count(), list(gc.callbacks), tracemalloc.is_tracing())
    MemoryProfiler(Config(tracemalloc=True))
    assert (threading.active_count(), list(gc.callbacks), tracemalloc.is_tracing()) == before


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration the environment's holds, and its mistakes are told."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "5")
    assert MemoryProfiler().config.interval == 5
    monkeypatch.setenv("MEMPROF_INTERVAL", "0.1")
    with pytest.raises(ConfigError, match=r"^MEMPROF_INTERVAL='0\.1' is out of range"):
        MemoryProfiler()


def test_log_level_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """``log_level`` sets the level of the ``memprof`` logger."""
    logger = logging.getLogger("memprof")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    MemoryProfiler(Config(log_level="debug"))
    assert logger.level == logging.DEBUG
    logger.setLevel(logging.NOTSET)


# -- life --------------------------------------------------------------------------------------------------------


def test_the_thread_takes_snapshots(running: MemoryProfiler) -> None:
    """The first event starts the thread, which takes the first snapshot at once."""
    running.ensure_running()
    running.ensure_running()
    wait_until(lambda: running.metrics().snapshot is not None)
    assert running.running
    running.stop()
    running.stop()
    assert not running.running


def test_a_stopped_profiler_stays_stopped(running: MemoryProfiler) -> None:
    """A request after ``stop()`` does not bring the thread back; ``start()`` does."""
    running.ensure_running()
    running.stop()
    running.ensure_running()
    assert not running.running
    running.start()
    assert running.running


def test_a_snapshot_by_hand_does_not_keep_the_thread_away(running: MemoryProfiler) -> None:
    """A baseline set while the application loads leaves the thread to the first request."""
    running.set_baseline()
    assert not running.running
    running.ensure_running()
    assert running.running
    assert running.baseline is not None


def test_a_restart_watches_again() -> None:
    """After stop and start, collections are timed and allocations traced again."""
    profiler = MemoryProfiler(Config(background=False, tracemalloc=True))
    for _ in range(2):
        profiler.start()
        assert tracemalloc.is_tracing()
        gc.collect()
        assert profiler.take_snapshot().gc_pause_max_seconds > 0
        profiler.stop()
        assert not tracemalloc.is_tracing()


def test_asyncio_hosts() -> None:
    """``await start_memory_profiler()`` and ``await stop_memory_profiler()`` are start and stop."""
    profiler = MemoryProfiler(Config(interval=3600), probes=FakeProbes())

    async def live() -> tuple[bool, bool]:
        await profiler.start_memory_profiler()
        while_alive = profiler.running
        await profiler.stop_memory_profiler()
        return while_alive, profiler.running

    assert asyncio.run(live()) == (True, False)


@pytest.mark.parametrize("background", [True, False])
def test_a_disabled_profiler_does_nothing(background: bool) -> None:
    """``enabled=False``: no thread, no gc callback, no trace, no record in the log; its metrics can be asked."""
    before = list(gc.callbacks)
    profiler = MemoryProfiler(Config(enabled=False, background=background, tracemalloc=True))
    profiler.ensure_running()
    assert not profiler.running
    assert gc.callbacks == before
    assert not tracemalloc.is_tracing()
    assert profiler.metrics().snapshot is None


def test_a_start_is_logged_once(running: MemoryProfiler, caplog: pytest.LogCaptureFixture) -> None:
    """Each process says once that it is watched."""
    with caplog.at_level(logging.INFO, "memprof"):
        running.ensure_running()
        running.ensure_running()
    assert [record.getMessage() for record in caplog.records] == [
        f"memprof: started in process {os.getpid()}: a snapshot every 1 s"
    ]


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody learns of it only when an incident is to be acknowledged at night; one that can still be made is fine."""
    (tmp_path / "file").write_text("")
    for folder, lines in ((tmp_path / "file" / "state", 1), (tmp_path / "new" / "state", 0)):
        caplog.clear()
        profiler = MemoryProfiler(Config(interval=1, state_dir=str(folder)), probes=FakeProbes())
        try:
            with caplog.at_level(logging.WARNING, "memprof"):
                profiler.ensure_running()
        finally:
            profiler.stop()
        told = [record.getMessage() for record in caplog.records if "state_dir" in record.getMessage()]
        assert len(told) == lines
        assert all(line.startswith(f"memprof: state_dir={str(folder)!r} cannot be written: ") for line in told)
    assert not (tmp_path / "new").exists()


def test_a_process_without_threads_goes_on(running: MemoryProfiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread may be started, the request goes on, and the failure is counted once, not per request."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(3):
        running.ensure_running()
    assert running.failures.counts == {"start": 1}


# -- alerts ------------------------------------------------------------------------------------------------------


def test_one_record_when_it_begins_and_one_when_it_ends(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A condition that holds for ten snapshots is told twice, to the log with ``memprof_*`` extras and to callbacks."""
    with caplog.at_level(logging.INFO, "memprof"):
        rig.step(3)
        rig.probes.heap_mb = 850
        rig.step(10)
        rig.probes.heap_mb = 100
        rig.step(3)
    told = [(alert.name, alert.active) for alert in rig.heard.alerts]
    assert told == [("heap_warning", True), ("heap_warning", False)]
    began, ended = (record for record in caplog.records if hasattr(record, "memprof_name"))
    assert (began.levelno, ended.levelno) == (logging.WARNING, logging.WARNING)
    assert (began.memprof_name, began.memprof_active) == ("heap_warning", True)  # type: ignore[attr-defined]
    assert (began.memprof_value, began.memprof_threshold) == (85.0, 80.0)  # type: ignore[attr-defined]
    assert ended.memprof_active is False  # type: ignore[attr-defined]
    assert "memory high: " in began.getMessage()
    assert "uses 85 % of its limit" in began.getMessage()
    assert "memory high, resolved after 10 min: " in ended.getMessage()
    assert "uses 10 % of its limit" in ended.getMessage()


def test_alerts_are_what_holds_now(rig: Rig) -> None:
    """``check_thresholds()`` and ``alerts`` list the conditions that hold, leaks included."""
    rig.probes.heap_mb = 950
    rig.leak()
    names = {"heap_warning", "heap_critical", "leak"}
    assert {alert.name for alert in rig.profiler.check_thresholds()} == names
    assert {alert.name for alert in rig.profiler.alerts} == names
    assert [a.subject for a in rig.profiler.alerts if a.name == "leak"] == ["shop.Cart"]


def test_a_leak_is_told_once_and_ends(rig: Rig) -> None:
    """A leak that goes on is one call of the callback; when it is freed, one record ends it."""
    rig.leak(30)
    rig.step(1, **{"shop.Cart": 5})
    assert len(rig.heard.leaks) == 1
    assert [(a.name, a.subject, a.active) for a in rig.heard.alerts] == [
        ("leak", "shop.Cart", True),
        ("leak", "shop.Cart", False),
    ]
    assert rig.profiler.metrics().leaks == ()


_IDLE = """
import json
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock
clock, named = FakeClock(), set()
profiler = MemoryProfiler(Config(background=False, cpu_budget=100, max_stall=1000), clock=clock)
for _ in range(150):
    clock.advance(60)
    profiler.step()
    named |= {leak.name for leak in profiler.detect_leaks() if "memprof" in leak.name}
counted = profiler.take_snapshot().object_counts
metrics = profiler.metrics()
profiler.stop()
own = [name for name in counted if name.startswith("memprof_middleware.")]
print(json.dumps([metrics.snapshots_taken, metrics.censuses_taken, sorted(named), own]))
"""


def test_the_profilers_own_windows_are_no_leak() -> None:
    """Over the hours in which its own bounded buffers fill, a profiler in an idle process calls none of its types."""
    done = subprocess.run([sys.executable, "-c", _IDLE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [151, 151, [], []]


def test_a_leak_that_gets_worse_counts_again(rig: Rig) -> None:
    """A slow leak begins low; each worse severity that it reaches is counted, once."""
    for number in range(80):
        rig.step(**{"shop.Cart": 1000 + 50 * number})
    assert rig.profiler.metrics().leak_detections == {"low": 1, "medium": 1, "high": 1, "critical": 1}
    assert len(rig.heard.leaks) == 1


def test_callbacks_that_raise(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is counted each time, logged once, without its text, and stops nothing."""

    @rig.profiler.register_alert_callback
    def bad_alert(_: Alert) -> None:
        raise ValueError("customer 4711")

    @rig.profiler.register_leak_callback
    def bad_leak(_: Leak) -> None:
        raise KeyError("customer 4712")

    after = Recorder().attach(rig.profiler)
    rig.probes.heap_mb = 950
    rig.leak()
    assert {alert.name for alert in after.alerts} == {"heap_warning", "heap_critical", "leak"}
    assert len(after.leaks) == 1
    assert rig.profiler.failures.counts == {"alert_callback": 3, "leak_callback": 1}
    logged = [record.getMessage() for record in caplog.records if hasattr(record, "memprof_failure")]
    assert len(logged) == 2
    assert "ValueError (test_profiler.py:" in logged[0] + logged[1]
    assert "customer" not in caplog.text


def test_callbacks_must_be_callable(rig: Rig) -> None:
    """What cannot be called is refused at once, without showing it."""
    for register in (rig.profiler.register_alert_callback, rig.profiler.register_leak_callback):
        with pytest.raises(ConfigError, match="callback is of type str"):
            register("s3cret")  # type: ignore[type-var]


def test_callbacks_may_ask_the_profiler(rig: Rig) -> None:
    """A callback may read metrics, take a snapshot and look at the alerts without a deadlock."""
    seen: list[int] = []

    @rig.profiler.register_alert_callback
    def ask(_: Alert) -> None:
        rig.profiler.take_snapshot()
        rig.profiler.statistics()
        seen.append(len(rig.profiler.alerts) + len(rig.profiler.detect_leaks()))

    rig.probes.heap_mb = 850
    worker = threading.Thread(target=rig.step, daemon=True)
    worker.start()
    worker.join(10)
    assert not worker.is_alive()
    assert seen == [1]


def test_two_threads_tell_once(rig: Rig) -> None:
    """When two threads judge at once, a condition still begins once and ends once."""
    for heap in (850, 100) * 20:
        rig.probes.heap_mb = heap
        rig.profiler.take_snapshot()
        workers = [threading.Thread(target=rig.profiler.check_thresholds) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [alert.active for alert in rig.heard.alerts] == [True, False] * 20


def test_a_log_that_raises_stops_nothing(rig: Rig) -> None:
    """A filter of the host's logging that raises does not reach the host, and callbacks are still told."""

    class Angry(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError

    logger = logging.getLogger("memprof.angry")
    logger.addFilter(Angry())
    rig.profiler.use_logger(logger)
    rig.probes.heap_mb = 850
    rig.step()
    assert [alert.name for alert in rig.heard.alerts] == ["heap_warning"]
    assert rig.profiler.failures.counts["log"] >= 1


def test_a_logger_that_was_given_stays() -> None:
    """An adapter's logger does not replace the one that the user gave."""
    given, host = logging.getLogger("given"), logging.getLogger("host")
    profiler = MemoryProfiler(Config(), logger=given)
    profiler.use_logger(host)
    assert profiler.logger is given
    other = MemoryProfiler(Config())
    other.use_logger(host)
    assert other.logger is host
    assert other.failures.logger is host


# -- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "missing"),
    [
        ("process", ["heap_used_mb", "rss_mb", "vms_mb", "heap_percent"]),
        ("limit", ["heap_size_mb", "heap_percent"]),
        ("gc", ["gc_per_hour"]),
        ("census", ["total_objects"]),
        ("tracemalloc", ["tracemalloc_current_mb", "tracemalloc_peak_mb"]),
    ],
)
def test_a_blind_instrument_hides_nothing_else(
    rig: Rig, caplog: pytest.LogCaptureFixture, probe: str, missing: list[str]
) -> None:
    """A probe that fails is counted each time and logged once; its figures are ``None``, the others are there."""
    figures = ["heap_used_mb", "rss_mb", "vms_mb", "heap_percent", "heap_size_mb", "total_objects", "gc_per_hour"]
    rig.step()
    rig.probes.broken = {probe}
    rig.step(3)
    snapshot = rig.profiler.metrics().snapshot
    assert all(getattr(snapshot, name) is None for name in missing)
    assert all(getattr(snapshot, name) is not None for name in figures if name not in missing)
    assert rig.profiler.failures.counts == {f"probe_{probe}": 3}
    assert [record.memprof_failure for record in caplog.records] == [f"probe_{probe}"]  # type: ignore[attr-defined]
    assert rig.profiler.statistics()["failures"] == {f"probe_{probe}": 3}


def test_all_instruments_blind(rig: Rig) -> None:
    """With every probe broken the profiler still steps, and its metrics can be read."""
    rig.probes.broken = {"process", "limit", "gc", "census", "tracemalloc"}
    rig.step(20)
    assert rig.profiler.metrics().snapshots_taken == 20
    assert rig.profiler.detect_leaks() == []


# -- baseline ----------------------------------------------------------------------------------------------------


def test_the_baseline_is_taken_after_warm_up(rig: Rig) -> None:
    """The first snapshot after the warm-up is the baseline; from then on drift is told."""
    for number in range(5):
        rig.probes.heap_mb = 100 + number
        rig.step()
    assert rig.profiler.baseline is not None
    assert rig.profiler.baseline.heap_used_mb == 103
    report = rig.profiler.compare_to_baseline()
    assert report is not None
    assert (report.heap_mb, report.significant) == (1.0, False)
    assert rig.profiler.metrics().drift == report


def test_without_auto_baseline_none_is_taken() -> None:
    """The setting keeps the profiler from taking one by itself."""
    rig = Rig(Config(background=False, auto_baseline=False))
    rig.step(6)
    assert rig.profiler.baseline is None
    assert rig.profiler.compare_to_baseline() is None
    with pytest.raises(BaselineError, match=r"call set_baseline\(\) first"):
        rig.profiler.save_baseline("nowhere")
    rig.profiler.stop()


def test_a_baseline_by_hand_wins(rig: Rig) -> None:
    """One that was set is not replaced by the one taken after warm-up, and may be any snapshot."""
    first = rig.profiler.set_baseline()
    rig.clock.advance(60)
    rig.step(10)
    assert rig.profiler.baseline == first
    last = rig.profiler.metrics().snapshot
    assert rig.profiler.set_baseline() == last
    assert rig.profiler.set_baseline(first) == first == rig.profiler.baseline


def test_a_baseline_outlives_the_process(rig: Rig, tmp_path: Path) -> None:
    """Saved by one profiler, loaded by the next: the same snapshot, in a file that only this user reads."""
    path = tmp_path / "baseline.json"
    baseline = rig.profiler.set_baseline()
    path.write_text("older")
    path.chmod(0o644)
    rig.profiler.save_baseline(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["heap_used_mb"] == 100
    assert list(tmp_path.iterdir()) == [path]
    other = Rig()
    assert other.profiler.load_baseline(str(path)) == baseline
    assert other.profiler.baseline == baseline


def test_a_baseline_file_is_loaded_at_start(rig: Rig, tmp_path: Path) -> None:
    """``baseline_file`` is loaded when the process is entered, unless one was set by hand before."""
    path = tmp_path / "baseline.json"
    saved = rig.profiler.set_baseline()
    rig.profiler.save_baseline(path)
    config = Config(background=False, baseline_file=str(path))
    loading = Rig(config)
    loading.clock.advance(60)
    loading.step()
    assert loading.profiler.baseline == saved
    by_hand = Rig(config)
    by_hand.clock.advance(60)
    mine = by_hand.profiler.set_baseline()
    assert by_hand.profiler.baseline == mine != saved


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"timestamp": 1.0, "pid": 2, "heap_used_mb": 1',
        b"[]",
        b"null",
        b"{}",
        b'"timestamp pid"',
        b'{"timestamp": 1.0, "pid": 2, "heap_used_mb": "much"}',
        b'{"timestamp": NaN, "pid": 2}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_corrupt_baseline_is_refused(rig: Rig, tmp_path: Path, content: bytes) -> None:
    """Half-written or foreign files are one kind of error that says what to do; the present baseline stays."""
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    present = rig.profiler.set_baseline()
    with pytest.raises(BaselineError, match=r"is not a baseline file .* Create one with save_baseline\(\)"):
        rig.profiler.load_baseline(path)
    assert rig.profiler.baseline == present


def test_an_unreadable_baseline_is_refused(rig: Rig, tmp_path: Path) -> None:
    """What cannot be read or written is named, with the system's reason."""
    with pytest.raises(BaselineError, match=r"absent.json' cannot be read: No such file"):
        rig.profiler.load_baseline(tmp_path / "absent.json")
    rig.profiler.set_baseline()
    with pytest.raises(BaselineError, match="cannot be written: No such file"):
        rig.profiler.save_baseline(tmp_path / "absent" / "baseline.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BaselineError, match="cannot be written: Is a directory"):
        rig.profiler.save_baseline(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_bad_baseline_file_does_not_stop_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With an unreadable ``baseline_file`` the profiler works, says so once, and takes its own baseline."""
    rig = Rig(Config(background=False, baseline_file=str(tmp_path / "absent.json")))
    rig.step(6)
    assert rig.profiler.failures.counts == {"baseline_file": 1}
    assert "absent.json' cannot be read" in caplog.text
    assert rig.profiler.baseline is not None


# -- what others read --------------------------------------------------------------------------------------------


def test_metrics_measure_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading serves the last snapshot; no probe is asked."""
    rig.step()
    rig.profiler.traffic._ended = {"GET /": 3}
    rig.probes.broken = {"process", "limit", "gc", "census", "tracemalloc"}
    metrics = rig.profiler.metrics()
    assert (metrics.pid, metrics.worker, metrics.requests) == (os.getpid(), "0", 3)
    assert metrics.snapshot == rig.profiler.history[-1]
    assert rig.profiler.failures.counts == {}


def test_statistics_are_ready_for_json(rig: Rig) -> None:
    """The profiler's own state, as plain types."""
    rig.probes.heap_mb = 850
    rig.leak()
    found = json.loads(json.dumps(rig.profiler.statistics(), allow_nan=False))
    assert (found["running"], found["pid"], found["snapshots_taken"], found["snapshots_kept"]) == (
        False,
        os.getpid(),
        12,
        12,
    )
    assert (found["active_leaks"], set(found["active_alerts"])) == (1, {"heap_warning", "leak"})
    assert 0 <= found["snapshot_seconds_mean"] <= found["snapshot_seconds_max"]
    assert found["leak_detections"] == {"medium": 1, "high": 1}


def test_the_history_is_bounded() -> None:
    """No more than ``history_size`` snapshots are kept; the number seen goes on."""
    rig = Rig(Config(background=False, history_size=10))
    rig.step(35)
    assert 9 <= len(rig.profiler.history) <= 10
    assert rig.profiler.metrics().snapshots_taken == 35
    rig.profiler.stop()


# -- finding it again --------------------------------------------------------------------------------------------


def test_the_process_has_one_profiler() -> None:
    """The first that is made is what ``get_memory_profiler()`` returns from then on."""
    made = profiler_for(config=Config(interval=5))
    assert get_memory_profiler() is made
    assert profiler_for() is made
    other = profiler_for(config=Config(interval=6))
    assert other is not made
    assert get_memory_profiler() is made


def test_a_ready_profiler_is_taken() -> None:
    """An adapter works with the profiler it is given."""
    ready = MemoryProfiler(Config(interval=5))
    assert profiler_for(ready) is ready
    assert get_memory_profiler() is ready


def test_without_any_the_environment_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody made one: it has the environment's settings, for a configuration as far as that leaves them free."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "7")
    monkeypatch.setenv("MEMPROF_TOP_TYPES", "7")
    assert get_memory_profiler().config.interval == 7
    monkeypatch.setattr(profiler_module, "_default", None)
    config = profiler_for(config=Config(interval=5)).config
    assert (config.interval, config.top_types) == (5, 7)


def test_both_are_a_contradiction() -> None:
    """A profiler and a configuration together are refused."""
    with pytest.raises(ConfigError, match="pass profiler= or config=, not both"):
        profiler_for(MemoryProfiler(Config()), Config())


def test_a_signal_handler_that_raises_in_a_step(rig: Rig) -> None:
    """A scrape's step that a handler of the application's ends leaves no lock held, and scrapes go on with the work."""
    rig.step()
    process = rig.probes.process

    def interrupted() -> ProcessMemory:
        raise KeyboardInterrupt

    rig.probes.process = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        rig.profiler.step()
    rig.probes.process = process  # type: ignore[method-assign]
    assert not rig.profiler._monitor.schedule.stepping
    assert not rig.profiler._monitor.snapshots.lock.locked()
    rig.step()
    assert rig.profiler.metrics().snapshots_taken == 2


# -- forks -------------------------------------------------------------------------------------------------------


def in_child(check: Callable[[], bool]) -> bool:
    """Whether a check holds in a forked child, within a minute."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")


@fork_test
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_knows_nothing_of_its_parent(rig: Rig) -> None:
    """History, leaks, alerts, counts and requests are the parent's; a baseline that was set is for all."""
    rig.profiler.traffic._ended = {"GET /": 5}
    rig.probes.heap_mb = 850
    rig.leak()
    rig.probes.broken = {"limit"}
    rig.step()
    baseline = rig.profiler.set_baseline()

    def check() -> bool:
        metrics = rig.profiler.metrics()
        return (
            metrics.pid == os.getpid()
            and metrics.snapshot is None
            and metrics.leaks == ()
            and metrics.leak_detections == {}
            and metrics.failures == {}
            and metrics.requests == 0
            and rig.profiler.alerts == []
            and len(rig.profiler.history) == 0
            and rig.profiler.baseline == baseline
        )

    assert in_child(check)
    assert rig.profiler.metrics().leaks != ()


@fork_test
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("first", ["ensure_running", "take_snapshot", "detect_leaks", "check_thresholds", "metrics"])
def test_a_fork_in_the_middle_of_a_snapshot(first: str) -> None:
    """Whatever the child does first, it does not wait for a lock that the parent's thread held."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow(FakeProbes):
        def limit(self):  # type: ignore[no-untyped-def]
            if threading.current_thread().name == "memprof-sampler" and not go_on.is_set():
                inside.set()
                go_on.wait(20)
            return super().limit()

    profiler = MemoryProfiler(Config(interval=3600), probes=Slow())
    profiler.start()
    assert inside.wait(5)

    def check() -> bool:
        go_on._flag = True  # type: ignore[attr-defined]  # its lock may be the waiting thread's
        getattr(profiler, first)()
        profiler.take_snapshot()
        profiler.ensure_running()
        return profiler.running and profiler.metrics().snapshots_taken >= 1

    try:
        assert in_child(check)
    finally:
        go_on.set()
        profiler.stop()
    assert profiler.metrics().snapshots_taken == 1


@fork_test
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_child_has_its_own_thread(running: MemoryProfiler) -> None:
    """The preload recipe: the parent runs, forks, and every child starts its own thread with its first request."""
    running.ensure_running()
    wait_until(lambda: running.metrics().snapshots_taken > 0)

    def check() -> bool:
        if running.running or running.metrics().snapshots_taken:
            return False
        running.ensure_running()
        wait_until(lambda: running.metrics().snapshots_taken > 0)
        alive = running.running
        running.stop()
        return alive and not running.running

    assert all(in_child(check) for _ in range(2))
    assert running.running


def test_what_is_ignored_is_judged_and_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """No line, no call, no metric of leaks; it is listed with its reason, and memory is judged as ever."""
    rig = Rig(Config(background=False, leak_confirm_hours=0.05, ignore=("type:shop.Cart = bounded by carts",)))
    rig.probes.heap_mb = 950
    with caplog.at_level(logging.INFO, "memprof"):
        rig.leak(30)
    told = rig.profiler.metrics()
    assert "leak " not in caplog.text
    assert (rig.heard.leaks, told.leaks, told.leak_detections) == ([], (), {})
    [ignored] = told.ignored
    assert (ignored.item, ignored.reason) == ("type:shop.Cart", "bounded by carts")
    assert [(leak.name, leak.state) for leak in ignored.leaks] == [("shop.Cart", "confirmed")]
    assert {alert.name for alert in rig.profiler.alerts} == {"heap_warning", "heap_critical"}
    assert MemoryMetrics.from_dict(told.to_dict()).ignored == told.ignored
    rig.profiler.stop()
