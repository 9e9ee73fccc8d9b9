"""One monitor for each process: made anew after a fork, with the hook and without it."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memprof_middleware import Config, MemoryProfiler, forks
from memprof_middleware.runtime import monitor as monitor_module
from memprof_middleware.runtime.monitor import ProcessMonitor
from memprof_middleware.runtime.sampler import THREAD_NAME
from memprof_middleware.testing import FakeProbes
from tests.workers.processes import children

fork_test = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Make = Callable[..., MemoryProfiler]


@pytest.fixture
def make(tmp_path: Any) -> Iterator[Make]:
    """``make(background=False)``: a profiler, stopped after the test."""
    made: list[MemoryProfiler] = []

    def new(**settings: Any) -> MemoryProfiler:
        config = Config(**{"interval": 3600, "run_dir": str(tmp_path), **settings})
        made.append(MemoryProfiler(config, probes=FakeProbes()))
        return made[-1]

    yield new
    for profiler in made:
        profiler.stop()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes in which the files were read."""
    found: list[int] = []
    monkeypatch.setattr(ProcessMonitor, "_read_files", lambda monitor: found.append(monitor.pid))
    return found


def rests(profiler: MemoryProfiler) -> bool:
    """Whether the thread waits for the next snapshot: a fork in the middle of its work leaves the child its frames."""
    thread = profiler._monitor.schedule.sampler._thread
    frame = sys._current_frames().get(thread.ident or 0) if thread is not None else None
    return frame is not None and frame.f_code.co_name == "wait" and frame.f_locals.get("seconds", 0.0) > 60


def threads() -> int:
    return sum(thread.name == THREAD_NAME for thread in threading.enumerate())


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def without_hook(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """``without_hook(check)``: what a check returns in a child in which no hook has run."""

    def run(check: Callable[[], Any]) -> Any:
        renew = forks._renew

        def checked() -> Any:
            forks._renew = renew
            return check()

        with monkeypatch.context() as patch, children() as child:
            patch.setattr(forks, "_renew", lambda: None)
            return child(checked).result

    return run


def test_a_process_is_entered_once(make: Make, read: list[int]) -> None:
    """Twenty threads that begin at once have one monitor, which has read its files once, and one thread."""
    profiler = make()
    monitors: list[ProcessMonitor] = []

    def begin() -> None:
        profiler.ensure_running()
        monitors.append(profiler._entered)

    callers = [threading.Thread(target=begin) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    wait_until(lambda: profiler.running)
    assert (len(set(monitors)), read, threads()) == (1, [os.getpid()], 1)


def test_entering_a_process_is_not_starting(make: Make, read: list[int]) -> None:
    """A snapshot by hand before the first request must not keep the thread from starting with that request."""
    profiler = make()
    profiler.take_snapshot()
    profiler.take_snapshot()
    assert (read, threads()) == ([os.getpid()], 0)
    profiler.ensure_running()
    assert (read, profiler.running) == ([os.getpid()], True)


def test_a_getter_reads_nothing(make: Make, read: list[int]) -> None:
    """What only asks for what is known leaves the files alone."""
    profiler = make()
    assert (profiler.alerts, profiler.worker, profiler.running, len(profiler.history)) == ([], "0", False, 0)
    assert read == []


def test_one_that_is_made_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constructing a profiler makes no monitor yet, and so touches nothing."""
    made: list[object] = []
    monkeypatch.setattr(monitor_module.ProcessMonitor, "__init__", lambda monitor, given: made.append(given))
    MemoryProfiler(Config())
    assert made == []


def test_a_process_that_may_not_start_threads_is_told_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is counted with the first request, and not with each."""
    profiler = make()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(3):
        profiler.ensure_running()
    assert profiler.failures.counts["start"] == 1


def test_a_step_reads_its_siblings_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaks, thresholds, routes and evidence judge what was read once, however many workers there are."""
    profiler = make()
    profiler.publish()
    reads: list[int] = []
    monkeypatch.setattr(profiler._monitor.group, "siblings", lambda pid: reads.append(pid) or [])
    profiler.step()
    assert reads == [os.getpid()]


def test_an_observer_that_fails_harms_no_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure is counted under its own kind, and what the others find is judged, told and published."""
    profiler = make(background=False)
    profiler._setup.probes().heap_mb = 990  # type: ignore[attr-defined]
    for watch, name in (("leaks", "judge"), ("capacity", "see"), ("routes", "judge")):
        monkeypatch.setattr(getattr(profiler._monitor.features, watch), name, lambda *_args, **_kwargs: 1 / 0)
    profiler.step()
    assert profiler.failures.counts == {"leaks": 1, "capacity": 1, "route_growth": 1}
    assert {alert.name for alert in profiler.alerts} == {"heap_warning", "heap_critical"}
    assert profiler._monitor.publisher.published is not None
    assert profiler._monitor.publisher.published.snapshots_taken == 1
    assert (profiler.detect_leaks(), profiler.judge_routes()) == ([], [])


def test_a_callback_that_ends_its_thread_ends_nothing(make: Make) -> None:
    """``sys.exit()`` in a callback is counted; the thread goes on, and the next callback is called."""
    profiler = make(background=True, warmup_snapshots=1, heap_warning_percent=50)
    probes: Any = profiler._setup.probes()
    probes.heap_mb, probes.limit_mb = 900.0, 1000.0
    heard = threading.Event()

    @profiler.register_alert_callback
    def leave(_: object) -> None:
        raise SystemExit

    profiler.register_alert_callback(lambda _: heard.set())
    profiler.start()
    assert heard.wait(60)
    assert profiler.running
    assert profiler.failures.counts["alert_callback"] >= 1


@fork_test
def test_a_child_has_a_monitor_of_its_own(make: Make, read: list[int]) -> None:
    """The parent's is dropped at once, and freed; the first event in the child makes another and brings a thread."""
    profiler = make()
    profiler.start()
    wait_until(lambda: profiler.metrics().snapshots_taken)
    profiler._monitor.group.leave()  # nothing is left to be waited for
    wait_until(lambda: rests(profiler))
    parents = weakref.ref(profiler._monitor)

    def check() -> list[Any]:
        dropped = profiler._made is None and profiler._started_in is None
        gc.collect()
        fresh = parents() is None and not profiler.running
        profiler.ensure_running()
        wait_until(lambda: profiler.metrics().snapshots_taken)
        own = [dropped, fresh, profiler.running, read.count(os.getpid()), threads()]
        profiler.stop()
        return own

    with children() as child:
        assert child(check).result == [True, True, True, 1, 1]
    assert profiler.running
    assert parents() is profiler._monitor


@fork_test
@pytest.mark.parametrize(
    "lock", ["schedule.sampler._lock", "_entrance", "snapshots.lock", "publisher.lock", "group._lock"]
)
def test_a_fork_while_a_lock_is_held(make: Make, lock: str, without_hook: Callable[..., Any]) -> None:
    """A fork in the middle of a start does not leave the child before a lock that nobody opens, hook or no hook."""
    profiler = make()
    profiler.start()
    held: Any = profiler._monitor
    for name in lock.split("."):
        held = getattr(held, name)

    def check() -> bool:
        profiler.start()
        running = profiler.running
        profiler.stop()
        return running

    with held, forks.entering():
        with children() as child:
            assert child(check).result
        assert without_hook(check)


@fork_test
def test_a_server_that_forks_without_python_knowing(make: Make, without_hook: Callable[..., Any]) -> None:
    """UWSGI skips Python's fork hooks: the pid tells, whatever the inherited thread says of itself."""
    profiler = make()
    profiler.start()
    wait_until(lambda: profiler.metrics().snapshots_taken)
    profiler.traffic.started += 7
    parents = profiler._monitor

    def check() -> list[Any]:
        kept = profiler._made is parents
        running = profiler.running
        profiler.ensure_running()
        wait_until(lambda: profiler.metrics().snapshots_taken)
        metrics = profiler.metrics()
        found = [kept, running, profiler.running, metrics.pid == os.getpid(), metrics.in_flight]
        profiler.stop()
        return found

    assert without_hook(check) == [True, False, True, True, 0]


@fork_test
def test_what_is_due_at_exit_is_the_parents(make: Make, without_hook: Callable[..., Any]) -> None:
    """A child that never used the profiler ends without a word of it, whoever holds the locks, hook or no hook."""
    profiler = make()
    profiler.start()
    called: list[int] = []
    due = lambda: called.append(os.getpid())  # noqa: E731
    forks.at_exit(due)

    def check() -> list[int]:
        atexit._run_exitfuncs()
        return called

    try:
        with profiler._monitor.group._lock, profiler._monitor.schedule.sampler._lock:
            with children() as child:
                assert child(check).result == []
            assert without_hook(check) == []
    finally:
        forks.not_at_exit(due)
    forks.not_at_exit(due)
