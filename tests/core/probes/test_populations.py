"""Tasks, threads, files and sockets, counted by name."""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from pathlib import Path

import pytest

from memprof_middleware.probes import roots
from memprof_middleware.probes.populations import count_populations

NOWHERE = Path("/nonexistent")


class Custom(asyncio.Task):  # type: ignore[type-arg]
    def done(self) -> bool:
        raise AssertionError("code of the program ran")

    get_coro = get_loop = done  # type: ignore[assignment]


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


def test_other_kinds_of_tasks() -> None:
    """Tasks of the program's own class and those written in Python count, without running their code."""

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

    assert asyncio.run(main())[f"task {__name__}.test_other_kinds_of_tasks.<locals>.watchdog"] == 2


def test_naming_a_coroutine_makes_no_frame() -> None:
    """A coroutine's frame object would stay as long as the coroutine, and be counted as one more object."""
    import gc
    import types

    async def watchdog() -> None:
        await asyncio.sleep(3600)

    coroutine = watchdog()
    gc.collect()
    before = sum(type(one) is types.FrameType for one in gc.get_objects())
    assert roots.coroutine_name(coroutine).endswith("watchdog")
    after = sum(type(one) is types.FrameType for one in gc.get_objects())
    coroutine.close()
    assert after == before


def test_threads_by_name() -> None:
    """Threads count by name with the digits folded; ours are left out."""
    done = threading.Event()
    names = [*(f"Worker-{number}_{number}" for number in range(3)), "memprof-sampler"]
    threads = [threading.Thread(target=done.wait, name=name) for name in names]
    for thread in threads:
        thread.start()
    try:
        found = count_populations(NOWHERE)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert found["thread Worker-#_#"] == 3
    assert not [name for name in found if "memprof" in name]


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
    names = weakref.WeakSet[threading.Thread]()
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, name="x" * (number + 1)) for number in range(3)]
    for thread in threads:
        thread.start()
        names.add(thread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memprof_middleware.probes.populations._MOST_NAMES", 2)
        found = count_populations(NOWHERE)
    done.set()
    for thread in threads:
        thread.join()
    assert len(found) == 2
