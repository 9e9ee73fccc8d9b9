"""The file that is live as long as its holder."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from memprof_middleware.workers import locked_file as slot_file
from memprof_middleware.workers.locked_file import SlotFile


@pytest.fixture(autouse=True)
def nothing_held():
    """No test leaves a file held."""
    yield
    assert not slot_file._held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0"


def hold(path: Path, payload: bytes = b"mine") -> bool:
    file = SlotFile(path)
    if not file.acquire():
        return False
    file.write(payload)
    return True


def test_one_holder(path, child):
    """Of two processes one holds the file; the other sees it live and reads it."""
    assert child(lambda: hold(path)).result is True
    file = SlotFile(path)
    assert file.acquire() is False
    assert file.is_live()
    assert file.read(live=True) == b"mine"


def test_death_lets_go(path, child):
    """A holder that is killed is dead at once; its payload stays for a successor."""
    holder = child(lambda: hold(path))
    holder.kill()
    file = SlotFile(path)
    assert not file.is_live()
    assert file.read(live=True) is None
    assert file.read(live=False) == b"mine"
    assert file.acquire()
    assert file.read(live=False) == b"mine"
    file.release()


def test_a_successor_that_has_not_written_does_not_speak(path, child):
    """From the moment in which a slot is taken over, the dead holder's payload is nobody's who lives."""
    child(lambda: hold(path, b"the dead one's")).kill()
    successor = child(lambda: SlotFile(path).acquire())
    file = SlotFile(path)
    assert successor.result is True
    assert file.is_live()
    assert file.read(live=True) is None
    assert file.read(live=False) == b"the dead one's"


def test_nor_does_one_in_the_same_process(path, child):
    """The same between two holders in one process, where a lock cannot tell."""
    child(lambda: hold(path, b"the dead one's")).kill()
    file = SlotFile(path)
    assert file.acquire()
    assert file.is_live()
    assert file.read(live=True) is None
    file.write(b"mine")
    assert file.read(live=True) == b"mine"
    file.release()
    assert file.acquire()
    assert file.read(live=True) is None
    file.release()


def test_a_forked_child_does_not_keep_a_dead_holder_alive(path, child):
    """A process that a worker forks holds nothing of the worker's, though it has its descriptors."""

    def hold_and_fork() -> int:
        hold(path)
        grandchild = os.fork()
        if not grandchild:
            time.sleep(600)
        return grandchild

    holder = child(hold_and_fork)
    try:
        assert SlotFile(path).is_live()
        holder.kill()
        os.kill(holder.result, 0)  # the grandchild lives
        assert not SlotFile(path).is_live()
    finally:
        os.kill(holder.result, 9)


def test_a_forked_child_does_not_take_its_parent_for_itself(path, child):
    """After a fork the child sees its parent's file as somebody else's, and that it dies with the parent."""
    assert hold(path)
    seen = child(lambda: (slot_file._held == {}, SlotFile(path).acquire(), SlotFile(path).is_live())).result
    assert seen == [True, False, True]
    SlotFile(path).release()
    assert child(lambda: SlotFile(path).is_live()).result is False


def test_the_holder_never_opens_its_own_file_again(path, child, monkeypatch):
    """Whatever the holder does with its file leaves the lock in place: a second descriptor, closed, would drop it."""
    assert hold(path)
    other = SlotFile(path)
    opened = []
    monkeypatch.setattr(os, "open", lambda *args, **kwargs: opened.append(args) or pytest.fail("opened"))
    assert other.read(live=True) == b"mine"
    assert other.is_live()
    assert other.acquire() is False
    other.remove()
    monkeypatch.undo()
    assert path.exists()
    assert child(lambda: SlotFile(path).acquire()).result is False
    other.release()


def test_threads_of_one_process_do_not_share_a_file(path, child):
    """The lock is the process's, not the thread's: of many threads that want the file at once one gets it."""
    for _ in range(20):
        gate = threading.Barrier(4)
        got = []

        def claim(gate=gate, got=got):
            gate.wait()
            if SlotFile(path).acquire():
                got.append(1)
            SlotFile(path).is_live()  # opens and closes the file, if it is not known to be held

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [1]
        assert child(lambda: SlotFile(path).acquire()).result is False
        SlotFile(path).release()


def test_a_torn_write_is_never_read(path, child):
    """While a holder writes without a pause, every look finds one of its payloads, whole."""
    payloads = [b"a" * 20_000, b"b" * 5_000, b"c" * 20_001]

    def write_forever() -> bool:
        hold(path, payloads[0])
        threading.Thread(target=lambda: [SlotFile(path).write(payloads[n % 3]) for n in range(10**9)]).start()
        return True

    child(write_forever)
    file, deadline = SlotFile(path), time.monotonic() + 60
    seen = []
    while len(seen) < 20_000 or set(seen) != set(payloads):
        seen.append(file.read(live=True))
        assert seen[-1] in payloads
        assert time.monotonic() < deadline, f"{len(seen)} looks, {len(set(seen))} of {len(payloads)} payloads"


def test_a_short_payload_replaces_a_long_one(path):
    """What is left of a longer payload behind a shorter one is not read."""
    assert hold(path, b"a" * 5000)
    file = SlotFile(path)
    file.write(b"short")
    assert file.read(live=True) == b"short"
    file.release()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"MP", b"XXXX" + b"\0" * 16, b"MPW2" + b"\xff" * 16])
def test_foreign_content_is_no_payload(path, content):
    """An empty, reserved, foreign or cut file has no payload, and reading it raises nothing."""
    path.write_bytes(content)
    assert not SlotFile(path).read(live=False)


def test_a_missing_file_is_dead(path):
    """A file that is not there is neither live nor read, and is not made by looking."""
    assert not SlotFile(path).is_live()
    assert SlotFile(path).read(live=False) is None
    assert not path.exists()


def test_a_link_is_not_followed(path, tmp_path):
    """A planted link is neither written through nor read."""
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        SlotFile(path).acquire()
    assert SlotFile(path).read(live=False) is None
    assert target.read_bytes() == b"precious"


def test_a_full_disk_is_an_error(tmpfs, path):
    """A write that the disk takes only in part raises instead of leaving half a payload without a word."""
    file = SlotFile(tmpfs("size=16k") / "0")
    assert file.acquire()
    try:
        with pytest.raises(OSError, match="No space left"):
            file.write(b"x" * 40_000)
        with pytest.raises(OSError, match="No space left"):
            file.reserve()
    finally:
        file.release()


def test_reserved_room_is_there_when_the_disk_is_full(tmpfs):
    """A worker that has its slot goes on publishing when others fill the disk."""
    folder = tmpfs("size=128k")
    file = SlotFile(folder / "0")
    assert file.acquire()
    file.reserve()
    with (folder / "hog").open("wb", buffering=0) as hog, contextlib.suppress(OSError):
        while hog.write(b"x" * 4096):
            pass
    with pytest.raises(OSError, match="No space left"):
        (folder / "more").write_bytes(b"x" * 4096)
    file.write(b"y" * 30_000)
    assert file.read(live=True) == b"y" * 30_000
    file.release()


def test_reserving_keeps_the_predecessors_payload(path):
    """A successor reserves room before it reads what its predecessor left."""
    assert hold(path, b"left behind")
    file = SlotFile(path)
    file.reserve()
    assert file.read(live=False) == b"left behind"
    assert path.stat().st_blocks * 512 >= 65536
    file.release()


def test_too_large_a_payload_is_refused(path):
    """What no reader would accept is not written."""
    file = SlotFile(path)
    assert file.acquire()
    with pytest.raises(OSError, match="too large"):
        file.write(bytes(1 << 20))
    file.release()


def test_remove_spares_what_somebody_holds(path, child):
    """A held file stays, a dead one goes."""
    holder = child(lambda: hold(path))
    SlotFile(path).remove()
    assert path.exists()
    holder.kill()
    SlotFile(path).remove()
    assert not path.exists()


def test_a_file_removed_under_a_claimer_is_made_again(path, child, monkeypatch):
    """Who locks a file that was removed meanwhile does not hold a ghost that nobody else sees."""
    import fcntl

    real, removed = fcntl.lockf, []

    def remove_first(descriptor, *args):
        if not removed:
            removed.append(path.unlink())
        return real(descriptor, *args)

    monkeypatch.setattr(fcntl, "lockf", remove_first)
    file = SlotFile(path)
    assert file.acquire()
    monkeypatch.undo()
    assert path.exists()
    assert child(lambda: SlotFile(path).is_live()).result is True
    file.release()


def test_without_asking_a_lock_is_tried(path, child, monkeypatch):
    """Where the system cannot be asked who holds a lock, as on macOS, liveness is found out by trying."""
    monkeypatch.setattr(slot_file, "_CAN_QUERY_LOCK", False)
    holder = child(lambda: hold(path))
    assert SlotFile(path).is_live()
    holder.kill()
    assert not SlotFile(path).is_live()
