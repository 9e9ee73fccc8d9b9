"""Tasks, threads, files and sockets, counted by name."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import functools
import gc
import socket
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Config, MemoryExporter, MemoryProfiler
from memprof_middleware.heap import stacks
from memprof_middleware.heap.containers import find_containers
from memprof_middleware.heap.populations import count_populations

NOWHERE = Path("/nonexistent")


def test_tasks_by_coroutine() -> None:
    """Pending tasks of all loops are counted by the coroutine that they run, those that are done are not."""

    async def watchdog() -> None:
        await asyncio.sleep(3600)

    async def nothing() -> None:
        pass

    async def main() -> dict[str, int]:
        kept = [asyncio.create_task(watchdog()) for _ in range(12)]
        done = [asyncio.create_task(nothing()) for _ in range(5)]
        await asyncio.gather(*done)
        found = await asyncio.to_thread(count_populations, NOWHERE)
        for task in kept:
            task.cancel()
        return found

    found = asyncio.run(main())
    here = f"task {__name__}.test_tasks_by_coroutine.<locals>"
    assert found[f"{here}.watchdog"] == 12
    assert found[f"{here}.main"] == 1
    assert f"{here}.nothing" not in found


@pytest.fixture
def no_class_left() -> Iterator[None]:
    """A class that the test has made is gone before the next one."""
    yield
    gc.collect()


@pytest.mark.usefixtures("no_class_left")
def test_other_kinds_of_tasks() -> None:
    """Tasks of the program's own class and those written in Python count, without running their code.

    From 3.14 on it is the loop that asks each task, so none is asked while the program has a class that answers itself.
    """

    class Custom(asyncio.Task):  # type: ignore[type-arg]
        def done(self) -> bool:
            raise AssertionError("code of the program ran")

        get_coro = get_loop = done  # type: ignore[assignment]

    async def watchdog() -> None:
        await asyncio.sleep(3600)

    async def main() -> dict[str, int]:
        loop = asyncio.get_running_loop()
        python = asyncio.tasks._PyTask(watchdog(), loop=loop)  # type: ignore[attr-defined]
        custom = Custom(watchdog(), loop=loop)
        await asyncio.sleep(0)
        found = count_populations(NOWHERE)
        python.cancel()
        custom.cancel()
        return found

    counted = 1 if sys.version_info >= (3, 14) else 2
    assert asyncio.run(main())[f"task {__name__}.test_other_kinds_of_tasks.<locals>.watchdog"] == counted


class Named(asyncio.Task):  # type: ignore[type-arg]
    """A class of the program's own that answers nothing itself."""


async def waits() -> None:
    await asyncio.sleep(3600)


def counted() -> int:
    return count_populations(NOWHERE).get(f"task {__name__}.waits", 0)


def run(loop: asyncio.AbstractEventLoop, number: int) -> list[asyncio.Task[None]]:
    async def begin() -> list[asyncio.Task[None]]:
        return [Named(waits(), loop=loop) for _ in range(number)]

    return loop.run_until_complete(begin())


def test_a_loop_that_a_runner_has() -> None:
    """A loop that is compiled runs without a variable of its own, and the runner that has started it has one."""
    with asyncio.Runner() as runner:
        kept = run(runner.get_loop(), 3)
        assert counted() == len(kept)


def test_a_loop_that_has_stopped_is_known() -> None:
    """Once a loop was seen running, or a walk has met it, its tasks are counted in between too, and it may go."""
    shop: Any = types.ModuleType("shop")
    shop.LOOP = asyncio.new_event_loop()
    shop.__file__ = "/app/shop.py"
    tasks = run(shop.LOOP, 4)
    sys.modules["shop"] = shop
    try:
        find_containers(most_seconds=10.0)
    finally:
        del sys.modules["shop"]
    assert counted() == 4
    for task in tasks:
        task.cancel()
    shop.LOOP.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    shop.LOOP.close()
    gone = weakref.ref(shop.LOOP)
    del shop, task, tasks
    gc.collect()
    assert (counted(), gone()) == (0, None)


def test_naming_a_coroutine_makes_no_frame() -> None:
    """A coroutine's frame object would stay as long as the coroutine, and be counted as one more object."""

    async def watchdog() -> None:
        await asyncio.sleep(3600)

    coroutine = watchdog()
    gc.collect()
    before = sum(type(one) is types.FrameType for one in gc.get_objects())
    assert stacks.coroutine_name(coroutine).endswith("watchdog")
    after = sum(type(one) is types.FrameType for one in gc.get_objects())
    coroutine.close()
    assert after == before


class Job(threading.Thread):
    """What a thread does may be a class of its own."""

    over: threading.Event

    def run(self) -> None:
        self.over.wait()


class Service:
    def serve(self, over: threading.Event) -> None:
        over.wait()


def wait(over: threading.Event) -> None:
    over.wait()


@contextlib.contextmanager
def running(make: Callable[[threading.Event], Iterable[threading.Thread]]) -> Iterator[list[threading.Thread]]:
    over = threading.Event()
    threads = list(make(over))
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_threads_by_what_they_run() -> None:
    """Threads count by their target or their class; a name, which may be made of data, does not leave the process."""

    def make(over: threading.Event) -> Iterator[threading.Thread]:
        for user in ("alice", "bob", "17"):
            yield threading.Thread(target=wait, args=(over,), name=f"job-for-{user}")
            yield threading.Thread(target=Service().serve, args=(over,), name=f"Thread-1 ({user})")
            yield threading.Thread(target=functools.partial(functools.partial(wait, over)), name=user)
            yield threading.Thread(target=over.wait, name=user)
            job = Job(name=f"{user}\n\x1b[2J")
            job.over = over
            yield job

    with running(make):
        found = count_populations(NOWHERE)
    assert found[f"thread {__name__}.wait"] == 6
    assert found[f"thread {__name__}.Service.serve"] == 3
    assert found["thread threading.Event.wait"] == 3
    assert found[f"thread {__name__}.Job"] == 3
    assert found["thread threading._MainThread"] == 1
    assert not [name for name in found if "alice" in name or "bob" in name or not name.isprintable()]


def test_a_pool_and_a_thread_of_c() -> None:
    """A pool's threads count by the pool's function; what was started without ``threading`` by its class."""
    pools = "thread concurrent.futures.thread._worker"
    before = count_populations(NOWHERE).get(pools, 0)  # those that others keep, as Django does
    foreign = threading.Event()
    seen = threading.Event()

    def in_c() -> None:
        threading.current_thread()  # makes a dummy
        seen.set()
        foreign.wait()

    with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="for-alice") as pool:
        pool.submit(lambda: None).result()
        _thread.start_new_thread(in_c, ())
        assert seen.wait(60)
        found = count_populations(NOWHERE)
        foreign.set()
    assert found[pools] == before + 1
    assert found["thread threading._DummyThread"] >= 1
    assert not [name for name in found if "alice" in name]


def test_our_own_threads_are_left_out() -> None:
    """By their names, and by what they run: a profiler, an exporter, what answers its requests."""
    profiler = MemoryProfiler(Config(interval=3600))
    exporter = MemoryExporter(host="127.0.0.1", port=0)
    exporter.set_memory_profiler(profiler)
    exporter.start()
    try:
        with running(lambda over: [threading.Thread(target=over.wait, name="memprof-other")]):
            found = count_populations(NOWHERE)
            ours = [one for one in threading.enumerate() if one.name.startswith("memprof-")]
            assert len(ours) == 3
            for thread in ours:
                thread.name = "Thread-1"
            named = count_populations(NOWHERE)
            for thread in ours:
                thread.name = "memprof-again"
    finally:
        exporter.stop()
        profiler.stop()
    assert not [name for name in found if "memprof" in name or "Event" in name or "erver" in name]
    assert not [name for name in named if "memprof" in name or "erver" in name]


class HostileThread(threading.Thread):
    """Code of the program in every place where a thread's name could be looked for."""

    def _trap(self, *_: object) -> None:
        raise AssertionError("code of the program ran")

    _target = property(_trap)  # type: ignore[assignment]
    _name = property(_trap)  # type: ignore[assignment]
    __getattribute__ = __getattr__ = _trap  # type: ignore[assignment]


def test_hostile_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No code of the program runs to name a thread."""
    hostile = threading.Thread.__new__(HostileThread)
    monkeypatch.setitem(vars(threading)["_active"], -1, hostile)
    found = count_populations(NOWHERE)
    monkeypatch.undo()
    assert found[f"thread {__name__}.HostileThread"] == 1


def test_task_names_stay_in_the_process() -> None:
    """A task goes by its coroutine, whatever it was named."""

    async def job() -> None:
        await asyncio.sleep(3600)

    async def main() -> dict[str, int]:
        task = asyncio.create_task(job(), name="job-for-alice")
        await asyncio.sleep(0)
        found = count_populations(NOWHERE)
        task.cancel()
        return found

    found = asyncio.run(main())
    assert [name for name in found if name.endswith(".job")]
    assert not [name for name in found if "alice" in name]


def test_open_files_and_sockets(tmp_path: Path) -> None:
    """Files and sockets are told apart; what is neither, such as a pipe, is not counted."""
    before = count_populations()
    kept = [(tmp_path / str(number)).open("w") for number in range(4)]
    pair = socket.socketpair()
    found = count_populations()
    for one in (*kept, *pair):
        one.close()
    assert found["open files"] - before["open files"] == 4
    assert found["sockets"] - before["sockets"] == 2


def test_a_recorded_proc(tmp_path: Path) -> None:
    """The listing comes from the procfs that is given; a link that cannot be read is passed over."""
    folder = tmp_path / "self" / "fd"
    folder.mkdir(parents=True)
    for number, target in enumerate(["/var/log/app.log", "socket:[123]", "socket:[124]", "pipe:[9]", "anon_inode:[x]"]):
        (folder / str(number)).symlink_to(target)
    (folder / "9").write_text("no link")
    found = count_populations(tmp_path)
    assert (found["open files"], found["sockets"]) == (1, 2)


def test_without_proc() -> None:
    """Where there is no procfs, files and sockets are left out."""
    assert "open files" not in count_populations(NOWHERE)


def test_names_are_bounded() -> None:
    """However many names there are, the most frequent of them are told."""

    def make(over: threading.Event) -> list[threading.Thread]:
        return [threading.Thread(target=target, args=(over,)) for target in (wait, Service().serve)]

    with running(make), pytest.MonkeyPatch.context() as patch:
        assert len(count_populations(NOWHERE)) >= 3
        patch.setattr("memprof_middleware.heap.populations._MOST_NAMES", 2)
        assert len(count_populations(NOWHERE)) == 2
