"""The one thread: starts once, stops at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

from memprof_middleware.runtime.sampler import THREAD_NAME, Sampler


class Counting:
    """What a sampler calls, counted."""

    def __init__(self) -> None:
        self.ticks, self.started = 0, 0
        self.ticked = threading.Event()

    def tick(self) -> None:
        self.ticks += 1
        self.ticked.set()

    def start(self) -> None:
        self.started += 1


Make = Callable[..., Sampler]


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def make(counting: Counting) -> Iterator[Make]:
    made: list[Sampler] = []

    def make(interval: float = 60.0, *, background: bool = True, tick: Callable[[], None] | None = None) -> Sampler:
        sampler = Sampler(
            tick or counting.tick,
            interval,
            background=background,
            on_start=counting.start,
        )
        made.append(sampler)
        return sampler

    yield make
    for sampler in made:
        sampler.stop()


def threads() -> int:
    return sum(thread.name == THREAD_NAME for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_making_one_starts_nothing(make: Make, counting: Counting) -> None:
    """Construction wires; no thread, no call."""
    sampler = make()
    assert (sampler.running, threads(), counting.started) == (False, 0, 0)


def test_many_starts_make_one_thread(make: Make, counting: Counting) -> None:
    """Twenty threads that start it at once find one thread afterwards."""
    sampler = make()
    callers = [threading.Thread(target=sampler.start) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (threads(), counting.started, sampler.running) == (1, 1, True)


def test_it_ticks_at_once_and_then_every_interval(make: Make, counting: Counting) -> None:
    """The first call comes at once, the next after the interval."""
    make(0.05).start()
    assert counting.ticked.wait(60)
    wait_until(lambda: counting.ticks >= 4)


def test_stop_is_prompt_and_may_be_repeated(make: Make) -> None:
    """A stop in the middle of an hour's wait ends the thread now and not in an hour; a second one does nothing."""
    sampler = make(3600.0)
    sampler.start()
    sampler.stop()
    sampler.stop()
    assert not sampler.running
    wait_until(lambda: threads() == 0)


def test_stop_before_start_is_nothing(make: Make, counting: Counting) -> None:
    """What never ran can be stopped, and started afterwards."""
    sampler = make()
    sampler.stop()
    sampler.start()
    assert (sampler.running, counting.started) == (True, 1)


def test_stop_does_not_wait_for_a_slow_tick(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot under way holds an exit up for a second at the most, and the thread ends after it."""
    go_on = threading.Event()
    inside = threading.Event()
    waited: list[float | None] = []

    def slow() -> None:
        inside.set()
        go_on.wait()

    join = threading.Thread.join
    monkeypatch.setattr(
        threading.Thread, "join", lambda thread, timeout=None: waited.append(timeout) or join(thread, 0)
    )
    sampler = make(tick=slow)
    sampler.start()
    assert inside.wait(60)
    sampler.stop()
    assert waited == [1.0]
    assert threads() == 1
    go_on.set()
    wait_until(lambda: threads() == 0)


def test_the_tick_itself_may_stop_it(make: Make) -> None:
    """A callback that stops the profiler does not wait for itself."""
    done = threading.Event()

    def tick() -> None:
        sampler.stop()
        done.set()

    sampler = make(tick=tick)
    sampler.start()
    assert done.wait(60)
    wait_until(lambda: threads() == 0)


def test_it_starts_again(make: Make, counting: Counting) -> None:
    """A host that begins anew after a stop has its thread again."""
    sampler = make()
    for _ in range(3):
        sampler.start()
        assert sampler.running
        sampler.stop()
    assert (counting.started, threads()) == (3, 0)


def test_without_background_no_thread(make: Make, counting: Counting) -> None:
    """A profiler that its caller steps starts no thread."""
    sampler = make(background=False)
    sampler.start()
    sampler.start()
    assert (sampler.running, threads(), counting.started) == (False, 0, 1)


def test_a_process_that_may_not_start_threads(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is raised once to the starter; stopping is still possible, and so is a later start."""
    sampler = make()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            sampler.start()
    assert not sampler.running
    sampler.stop()
    sampler.start()
    assert sampler.running


def test_work_longer_than_the_interval_leaves_room(make: Make) -> None:
    """A tick that takes four intervals is followed by a pause, not by the next tick at once."""
    starts: list[float] = []
    ends: list[float] = []

    def slow() -> None:
        starts.append(time.monotonic())
        time.sleep(0.2)
        ends.append(time.monotonic())

    sampler = make(0.05, tick=slow)
    sampler.start()
    wait_until(lambda: len(starts) >= 4)
    sampler.stop()
    assert all(start - end >= 0.04 for start, end in zip(starts[1:], ends, strict=False))


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed: .ci/install-servers does it")
def test_a_greenlet_that_outlives_a_fork_ends_without_a_word() -> None:
    """Under gevent a child inherits the parent's thread as it runs: it ends for the child's own, and prints nothing."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gc, os, time\n"
        "from memprof_middleware import Config, MemoryProfiler\n"
        "from memprof_middleware.runtime import sampler\n"
        "ended, run = [], sampler.Sampler._run\n"
        "sampler.Sampler._run = lambda *them: (run(*them), ended.append(os.getpid()))\n"
        "profiler = MemoryProfiler(Config(interval=3600))\n"
        "profiler.start()\n"
        "while not profiler.metrics().snapshots_taken: time.sleep(0.01)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    profiler.ensure_running()\n"
        "    gc.collect()\n"
        "    deadline = time.monotonic() + 60\n"
        "    while not ended and time.monotonic() < deadline: time.sleep(0.01)\n"
        "    print(ended == [os.getpid()], profiler.running, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


KILLED = """
from gevent import monkey; monkey.patch_all()
import gc, logging, sys, time
import gevent
from memprof_middleware import Config, MemoryProfiler
logging.basicConfig(level="WARNING", format="%(message)s", stream=sys.stdout)
profiler = MemoryProfiler(Config(interval=3600))
stepping = []
if sys.argv[1] == "in a step":
    def slow(*_):
        stepping.append(1)
        time.sleep(600 if len(stepping) < 3 else 0)
    profiler._monitor.snapshots.take = slow
def wait(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
profiler.ensure_running()
for times in (1, 2):
    ready = (lambda: len(stepping) == times) if sys.argv[1] == "in a step" else profiler.metrics
    assert wait(lambda: profiler.running and ready())
    gevent.killall([found for found in gc.get_objects() if isinstance(found, gevent.Greenlet)], timeout=30)
    print(profiler.running)
    profiler.ensure_running()
    print(profiler.running)
profiler.stop()
profiler.ensure_running()
print(profiler.running, profiler.failures.counts.total())
profiler.start()
print(profiler.running)
profiler.stop()
"""


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed: .ci/install-servers does it")
@pytest.mark.parametrize("moment", ["idle", "in a step"])
def test_a_thread_that_the_application_kills_comes_back_with_the_next_request(moment: str) -> None:
    """``gevent.killall()`` of everything does not wait for the thread, which says once that it was started again."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, moment], check=False, capture_output=True, text=True, timeout=200
    )
    told = [line for line in done.stdout.splitlines() if "killed" in line]
    rest = [line for line in done.stdout.splitlines() if "killed" not in line]
    assert (rest, done.stderr) == (["False", "True"] * 2 + ["False 0", "True"], "")
    assert len(told) == 1
    assert told[0].endswith("was killed, as gevent.killall() does: it is started again")


def test_a_process_ends_promptly() -> None:
    """A script that starts the profiler and ends does not wait for the next snapshot."""
    program = (
        "from memprof_middleware import Config, MemoryProfiler\n"
        "import time\n"
        "profiler = MemoryProfiler(Config(interval=3600))\n"
        "profiler.start()\n"
        "print(profiler.running, flush=True)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
