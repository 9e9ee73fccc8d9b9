"""A file that several processes change loses nothing and is never half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memprof_middleware.workers import shared_file
from memprof_middleware.workers.shared_file import SharedFile

COUNT = """
import sys
from pathlib import Path
from memprof_middleware.workers.shared_file import SharedFile
file = SharedFile(Path(sys.argv[1]))
done = 0
while done < 50:
    try:
        file.change(lambda data: str(int(data or b"0") + 1))
        done += 1
    except BlockingIOError:
        pass
"""


def test_changes_of_several_processes_are_one_after_another(tmp_path: Path) -> None:
    """Three processes that each add 1 fifty times make 150."""
    path = tmp_path / "shared" / "count"
    running = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert path.read_text() == "150"


def test_private_and_noticed(tmp_path: Path) -> None:
    """Only this user may read it; a change is noticed once, by whoever asks, and its removal too."""
    file, other = SharedFile(tmp_path / "a" / "b.json"), SharedFile(tmp_path / "a" / "b.json")
    assert (file.read(), file.has_changed()) == (b"", False)
    other.change(lambda data: json.dumps([*json.loads(data or b"[]"), 1]))
    assert (file.has_changed(), file.has_changed(), file.read()) == (True, False, b"[1]")
    assert (file.path.stat().st_mode & 0o777, file.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.path.unlink()
    assert (file.has_changed(), file.has_changed()) == (True, False)


def test_no_more_than_so_many_bytes(tmp_path: Path) -> None:
    """What is too long is neither read nor written, and stays as it is."""
    file = SharedFile(tmp_path / "b.json", max_bytes=10)
    with pytest.raises(ValueError, match="too long"):
        file.change(lambda _: "x" * 11)
    file.path.write_text("y" * 11)
    with pytest.raises(ValueError, match="too long"):
        file.read()
    assert file.move_aside().read_text() == "y" * 11
    assert not file.path.exists()


def test_one_that_is_held_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped in the middle of a change stops nobody else for long."""
    import fcntl

    monkeypatch.setattr(shared_file, "_PAUSE_SECONDS", 0.0)
    file = SharedFile(tmp_path / "b.json")
    file.change(lambda _: "1")
    with Path(f"{file.path}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            file.change(lambda _: "2")
    file.change(lambda _: "3")
    assert file.read() == b"3"


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A fork in the middle of a change leaves the child a descriptor, and no lock."""
    file = SharedFile(tmp_path / "b.json")
    read, write = os.pipe()

    def fork(_: bytes) -> str:
        if not (child := os.fork()):
            os.read(read, 1)  # lives as long as the test wants
            os._exit(0)
        children.append(child)
        return "1"

    children: list[int] = []
    file.change(fork)
    try:
        file.change(lambda _: "2")
        assert file.read() == b"2"
    finally:
        os.write(write, b"x")
        os.waitpid(children[0], 0)
        os.close(read)
        os.close(write)
