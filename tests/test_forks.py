"""A forked child finds nothing of its parent's in its way."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Config, MemoryProfiler, forks
from memprof_middleware.registry import get_memory_profiler
from memprof_middleware.runtime import shared_census
from memprof_middleware.sinks import Sink
from memprof_middleware.web.http.exposition import MetricsEndpoint
from tests.asking import scrape

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "forks.py"
LOCKS = (type(threading.Lock()), type(threading.RLock()))


class Quiet(Sink):
    name = "quiet"

    def snapshot(self, metrics: Any) -> None:
        pass


def in_child(check: Callable[[], bool], seconds: float = 60) -> str:
    """What becomes of a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return f"ended with {os.waitstatus_to_exitcode(status)}"
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hung"


def our_locks() -> Iterator[Any]:
    """Every lock that an object or a module of ours has, those inside of conditions and events included."""
    places = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("memprof_middleware")]
    for thing in gc.get_objects():
        module = type(thing).__module__  # some classes in C answer with a descriptor
        ours = isinstance(module, str) and module.startswith("memprof_middleware")
        if ours and not isinstance(thing, (type, types.ModuleType)):
            slots = {name: getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())}
            places.append(slots | getattr(thing, "__dict__", {}))
    for place in places:
        for name, value in list(place.items()):
            for found in (value, getattr(value, "_lock", None), getattr(getattr(value, "_cond", None), "_lock", None)):
                if isinstance(found, LOCKS) and name != "_wait_lock":  # that one is held while all is well
                    yield found


def test_every_lock_of_ours_may_be_held_when_a_process_forks(tmp_path: Path) -> None:
    """Whatever the parent's threads hold, a child starts, is scraped, steps, delivers and stops."""
    profiler = MemoryProfiler(Config(interval=3600, run_dir=str(tmp_path)), sinks=[Quiet()])
    profiler.start()
    profiler.publish()
    _ = profiler.flames.desk
    while profiler.metrics().snapshot is None:
        time.sleep(0.01)
    held = [lock for lock in our_locks() if lock.acquire(blocking=False)]
    try:

        def check() -> bool:
            profiler.ensure_running()
            answered = scrape(MetricsEndpoint(profiler)).status == 200
            profiler.flames.beat()
            profiler.step()
            found = profiler.workers()[0].pid == os.getpid() and get_memory_profiler() is not None
            profiler.stop()
            return answered and found

        assert len(held) >= 8, "the locks were not found"
        assert in_child(check) == "ended with 0"
        assert in_child(lambda: profiler.stop() is None) == "ended with 0"
    finally:
        for lock in held:
            lock.release()
    profiler.stop()


def test_a_child_measures_with_instruments_of_its_own() -> None:
    """A child reports no pause of its parent's collections, and goes on with none of its samples, marks and counts."""
    profiler = MemoryProfiler(Config(background=False))
    profiler.take_snapshot()
    gc.collect()
    assert profiler.take_snapshot().gc_pause_seconds > 0
    parents = profiler._monitor.probes
    gc.disable()
    try:

        def check() -> bool:
            is_counted = shared_census._latest is not None
            snapshot = profiler.take_snapshot()
            return not is_counted and snapshot.gc_pause_seconds == 0 and profiler._monitor.probes is not parents

        assert in_child(check) == "ended with 0"
    finally:
        gc.enable()
    assert profiler._monitor.probes is parents
    profiler.stop()


def test_a_fork_waits_for_an_import_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child never meets a module half loaded; an import that hangs holds a fork up for a moment only."""
    begun, goes_on, steps = threading.Event(), threading.Event(), []

    def load() -> None:
        with forks.loading():
            begun.set()
            steps.append("begun")
            goes_on.wait(10)
            steps.append("loaded")

    def enters() -> bool:
        with forks.loading():
            return True

    for seconds, expected in ((60.0, ["begun", "loaded", "forked"]), (0.01, ["begun", "forked", "loaded"])):
        monkeypatch.setattr(forks, "_FORK_WAITS_SECONDS", seconds)
        thread = threading.Thread(target=load)
        thread.start()
        assert begun.wait(10)
        if seconds > 1:
            threading.Timer(0.1, goes_on.set).start()
        assert in_child(enters) == "ended with 0"
        steps.append("forked")
        goes_on.set()
        thread.join()
        assert steps == expected
        begun.clear()
        goes_on.clear()
        steps.clear()


def test_one_that_fails_keeps_no_other_from_being_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that raises is passed over in silence: a fork is the application's."""
    done: list[str] = []

    class Thing:
        def renew(self) -> None:
            done.append("renewed")

    def fail() -> None:
        raise RuntimeError("not now")

    thing = Thing()
    monkeypatch.setattr(forks, "_functions", [fail])
    forks.renew_in_child(thing.renew)
    assert in_child(lambda: done == ["renewed"]) == "ended with 0"
    before = len(forks._methods)
    del thing
    assert len(forks._methods) == before - 1


@pytest.mark.parametrize(
    ("way", "number"), [("fork", 200), ("request", 50), ("exit", 100), ("mp-fork", 100), ("mp-forkserver", 100)]
)
def test_many_children(way: str, number: int) -> None:
    """Of the children of a process whose profiler is at work none hangs and none fails, whichever way they are made."""
    done = subprocess.run(
        [sys.executable, BENCHMARK, str(number), way], check=False, capture_output=True, text=True, timeout=600
    )
    assert " 0 hung, 0 failed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
