"""The recorder: a window in the process that was asked for, never over a foreign trace, ended early when need be."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
import tracemalloc

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.errors import FlameError
from memprof_middleware.failures import Failures
from memprof_middleware.flame import making as module
from memprof_middleware.flame.queue import FlameDesk
from memprof_middleware.flame.recorder import THREAD_NAME, FlameRecorder, tightness
from memprof_middleware.model import MB, MemorySnapshot
from memprof_middleware.testing import FakeProbes

DEADLINE_SECONDS = 20.0


class Host:
    """What a recorder has around it, for a test to turn."""

    def __init__(self, folder):
        self.folder = folder
        self.requests = 0
        self.tight = None
        self.paid = []
        self.failures = Failures(logging.getLogger("memprof.tests"))
        self.recorder = FlameRecorder(
            folder=lambda: self.folder,
            worker=lambda: "3",
            requests=lambda: self.requests,
            tight=lambda: self.tight,
            clock=time.time,
            failures=self.failures,
            charge=self.paid.append,
        )

    def until_done(self, order):
        """The result of an order, once it is there."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := self.recorder.desk.results.get(order.id)) is None:
            assert time.monotonic() < deadline, self.failures.counts
            time.sleep(0.01)
        return found


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path)
    yield found
    found.recorder.stop()


def until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


kept = []


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    kept.clear()


def remember():
    kept.append(bytearray(400_000))


def test_it_records_what_stays(host):
    """What the application allocates while the window is open and holds at its end is in the result, by function."""
    order = host.recorder.ask(os.getpid(), "tracemalloc", 1)
    until(tracemalloc.is_tracing)
    host.requests = 17
    remember()
    found = host.until_done(order)
    assert found.summary.error == found.summary.early == ""
    assert (found.summary.pid, found.summary.worker, found.summary.requests) == (os.getpid(), "3", 17)
    assert found.summary.size == sum(stack.size for stack in found.stacks) >= 400_000
    assert found.summary.seconds == pytest.approx(1, abs=5)
    (own,) = [stack for stack in found.stacks if stack.size >= 400_000]
    assert own.frames[-1].label == "tests/flame/test_recorder.py:remember"
    assert own.frames[-1].kind == "own"
    assert not tracemalloc.is_tracing()
    assert len(host.paid) == 1
    assert host.paid[0] > 0


def test_our_own_work_is_not_in_it(host):
    """The profiler allocates too, in the same window: none of that shows."""
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())
    order = host.recorder.ask(os.getpid(), "tracemalloc", 1)
    until(tracemalloc.is_tracing)
    for _ in range(20):
        profiler.step()
    found = host.until_done(order)
    profiler.stop()
    assert not [frame for stack in found.stacks for frame in stack.frames if frame.kind == "profiler"]


def test_an_order_for_another_process_is_left_alone(host, tmp_path):
    """A beat takes only what is meant for this process."""
    host.recorder.desk.ask(os.getpid() + 1, "tracemalloc", 1)
    host.recorder.beat()
    assert not host.recorder.open
    assert FlameDesk(tmp_path, time.time).order().started_at is None


def test_a_beat_takes_what_another_worker_left(host, tmp_path):
    """An order that another worker put on the desk is begun by this one's thread."""
    order = FlameDesk(tmp_path, time.time).ask(os.getpid(), "tracemalloc", 1)
    host.recorder.beat()
    assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1
    assert host.until_done(order).summary.error == ""


def test_a_foreign_trace_goes_on(host):
    """Where the application traces, there is no graph, the result says why, and the trace goes on."""
    tracemalloc.start(2)
    try:
        found = host.until_done(host.recorder.ask(os.getpid(), "tracemalloc", 1))
        assert "traces already" in found.summary.error
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 2
    finally:
        tracemalloc.stop()


def test_short_memory_refuses(host):
    """Where memory is short no window is opened, and it is said why."""
    host.tight = "memory is above 90 % of its limit"
    with pytest.raises(FlameError, match="above 90 %"):
        host.recorder.ask(os.getpid(), "tracemalloc", 1)
    assert host.recorder.desk.order() is None
    assert not tracemalloc.is_tracing()


def test_short_memory_refuses_what_another_worker_ordered(host, tmp_path):
    """The worker itself looks at its memory once more before it begins."""
    order = FlameDesk(tmp_path, time.time).ask(os.getpid(), "tracemalloc", 1)
    host.tight = "memory is above 90 % of its limit"
    host.recorder.beat()
    assert "not begun: memory is above 90 %" in host.until_done(order).summary.error


def test_short_memory_ends_it_early(host):
    """Memory gets short while the window is open: it ends, with what it has seen so far and the reason."""
    order = host.recorder.ask(os.getpid(), "tracemalloc", 60)
    until(tracemalloc.is_tracing)
    remember()
    host.tight = "memory is above 90 % of its limit"
    found = host.until_done(order)
    assert found.summary.early == "memory is above 90 % of its limit"
    assert found.summary.seconds < 60
    assert found.summary.size >= 400_000


def test_many_traces_end_it_early(host, monkeypatch):
    """The traces themselves take memory: at a bound the window ends."""
    monkeypatch.setattr(module, "_MOST_OVERHEAD", 2**20)
    order = host.recorder.ask(os.getpid(), "tracemalloc", 60)
    until(tracemalloc.is_tracing)
    kept.append([[number] for number in range(50_000)])
    assert "the traces took 1 MiB" in host.until_done(order).summary.early


def test_stopping_ends_it(host):
    """The profiler stops while a window is open: the trace is gone, the result says why there is none."""
    order = host.recorder.ask(os.getpid(), "tracemalloc", 60)
    until(tracemalloc.is_tracing)
    host.recorder.stop()
    assert not tracemalloc.is_tracing()
    assert not host.recorder.open
    assert "stopped" in host.until_done(order).summary.error


def test_a_failure_is_told_and_counted(host, monkeypatch):
    """An engine that breaks leaves no trace and no order that waits for ever; the failure is counted once."""
    monkeypatch.setattr(module, "fold_window", lambda raw: 1 / 0)
    found = host.until_done(host.recorder.ask(os.getpid(), "tracemalloc", 1))
    assert "ZeroDivisionError" in found.summary.error
    assert host.failures.counts["flame"] == 1
    assert not tracemalloc.is_tracing()
    assert host.recorder.desk.order() is None


def test_memray(host):
    """With the extra, the same through memray's tracker, and its own file to take away."""
    pytest.importorskip("memray", reason="memray is not installed here")
    order = host.recorder.ask(os.getpid(), "memray", 1)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while host.recorder.desk.results.get(order.id) is None and time.monotonic() < deadline:
        if len(kept) < 50:
            remember()
        time.sleep(0.01)
    found = host.until_done(order)
    assert found.summary.error == ""
    assert found.summary.has_bin
    assert "tests/flame/test_recorder.py:remember" in {stack.frames[-1].label for stack in found.stacks}
    assert host.recorder.desk.results.bin(order.id)


def test_alone_it_has_a_folder_of_its_own():
    """A process without siblings keeps its results in a private folder, which goes with the profiler."""
    host = Host(None)
    folder = host.recorder.desk._folder.parent
    found = host.until_done(host.recorder.ask(os.getpid(), "tracemalloc", 1))
    assert found.summary.error == ""
    host.recorder.stop()
    assert not folder.exists()


def test_a_child_leaves_the_parents_window_alone(host):
    """After a fork the child knows of no window, traces nothing, and the parent's goes on to its result."""
    order = host.recorder.ask(os.getpid(), "tracemalloc", 1)
    until(tracemalloc.is_tracing)
    pid = os.fork()
    if pid == 0:
        os._exit(int(Host(host.folder).recorder.open or tracemalloc.is_tracing()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert host.until_done(order).summary.error == ""


SNAPSHOT = MemorySnapshot(timestamp=0.0, pid=1, heap_size_mb=1000.0)


@pytest.mark.parametrize(
    ("heap_mb", "container_mb", "tight"),
    [
        (100.0, None, False),
        (950.0, None, True),
        (100.0, (100.0, 1000.0), False),
        (100.0, (950.0, 1000.0), True),
    ],
)
def test_tightness(heap_mb, container_mb, tight):
    """Memory is short when this process, or its container, is above the critical threshold."""
    probes = FakeProbes(heap_mb=heap_mb)
    probes.container_mb = container_mb
    assert (tightness(SNAPSHOT, probes, Config()) is not None) is tight


def test_tightness_is_not_known_before_the_first_snapshot():
    """Without a limit there is nothing to judge by."""
    assert tightness(None, FakeProbes(heap_mb=5000), Config()) is None
    assert tightness(dataclasses.replace(SNAPSHOT, heap_size_mb=None), FakeProbes(heap_mb=5000), Config()) is None
    assert FakeProbes().process().anonymous == 100 * MB


class TestProfiler:
    def test_the_sampler_takes_orders_while_it_waits(self, tmp_path):
        """With a token set, the thread takes an order within a second or so, however long the interval is."""
        profiler = MemoryProfiler(Config(token="a-long-token", interval=3600, run_dir=str(tmp_path)))
        profiler.start()
        try:
            order = profiler.flames.desk.ask(os.getpid(), "tracemalloc", 1)
            until(lambda: profiler.flames.desk.results.get(order.id))
            assert profiler.flames.desk.results.get(order.id).summary.error == ""
        finally:
            profiler.stop()
        assert not tracemalloc.is_tracing()

    def test_without_a_token_nobody_looks_for_orders(self, monkeypatch):
        """Where nothing can be asked, the thread sleeps through: no look each second."""
        profiler = MemoryProfiler(Config(background=False))
        beats = []
        monkeypatch.setattr(profiler.flames, "beat", lambda: beats.append(1))
        profiler._monitor.between_steps()
        assert beats == []
