"""The private folder in which workers find one another."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from memprof_middleware.errors import RunDirectoryError
from memprof_middleware.workers.run_directory import run_directory

NAME = f"memprof-{os.geteuid()}"


def open_to_all(folder):
    """Another user may make folders in it, and reach it through those that pytest makes for one user alone."""
    folder.chmod(0o1777)
    for parent in folder.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(0o755)


def test_it_is_private(tmp_path):
    """The folder is made inside the given one, which is made too, and nobody else may enter it."""
    folder = run_directory(str(tmp_path / "run"))
    assert folder == tmp_path / "run" / NAME
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.geteuid()


def test_it_is_private_whatever_the_umask(tmp_path):
    """A wide umask of the server does not open the folder."""
    before = os.umask(0)
    try:
        assert stat.S_IMODE(run_directory(str(tmp_path)).stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_it_may_be_there(tmp_path):
    """Asking again gives the same folder and leaves nothing in it."""
    folder = run_directory(str(tmp_path))
    assert run_directory(str(tmp_path)) == folder
    assert list(folder.iterdir()) == []


def test_one_spelling(tmp_path):
    """By whatever path a folder is given, it has one name: slots are told apart by their path."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    given = [tmp_path / "run", tmp_path / "link", tmp_path / "run" / ".." / "run"]
    assert len({run_directory(str(path)) for path in given}) == 1


def test_a_planted_link_is_refused(tmp_path):
    """A link in the folder's place, even to a private folder of the same user, is not followed."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match=r"a link or no folder.*set run_dir"):
        run_directory(str(tmp_path))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_planted_file_is_refused(tmp_path):
    """A file in the folder's place is refused."""
    (tmp_path / NAME).write_text("")
    with pytest.raises(RunDirectoryError, match="a link or no folder"):
        run_directory(str(tmp_path))


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777, 0o711])
def test_an_open_mode_is_refused(tmp_path, mode):
    """A folder that others may enter is refused; it is not quietly closed, since something may be in it already."""
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME).chmod(mode)
    with pytest.raises(RunDirectoryError, match="mode must be 0700"):
        run_directory(str(tmp_path))
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path):
    """Somebody who makes the folder first does not get the workers' figures."""
    (tmp_path / NAME).mkdir(mode=0o700)
    os.chown(tmp_path / NAME, 12345, 12345)
    with pytest.raises(RunDirectoryError, match="belongs to another user"):
        run_directory(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_two_users(tmp_path, child):
    """Two users of one machine have a folder each."""
    open_to_all(tmp_path)
    mine = run_directory(str(tmp_path))

    def as_another() -> list[str]:
        os.setgid(12345)
        os.setuid(12345)
        theirs = run_directory(str(tmp_path))
        try:
            list(mine.iterdir())
        except PermissionError:
            return [theirs.name, "closed"]
        return [theirs.name, "open"]

    assert child(as_another).result == ["memprof-12345", "closed"]


def test_a_full_file_system_is_refused(tmpfs):
    """A folder that can be made but takes no data, as in a tiny /dev/shm that others filled, is not used."""
    folder = tmpfs("size=16k")
    with pytest.raises(RunDirectoryError, match="No space left"):
        run_directory(str(folder))
    assert list((folder / NAME).iterdir()) == []


def test_a_read_only_file_system_is_refused(tmpfs):
    """A container with a read-only root says so."""
    with pytest.raises(RunDirectoryError, match="Read-only"):
        run_directory(str(tmpfs("ro")))


def test_no_parent(tmp_path):
    """Of a path that leads nowhere the error names the folder."""
    with pytest.raises(RunDirectoryError, match=str(tmp_path / "a" / "b")):
        run_directory(str(tmp_path / "a" / "b"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a user whom the test has for itself")
def test_memory_first_then_disk(tmp_path, child, monkeypatch):
    """Without a given folder /dev/shm is used, and where that is refused the folder for temporary files."""
    open_to_all(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    user = 200_000 + os.getpid()
    in_memory = Path(f"/dev/shm/memprof-{user}")

    def as_user() -> str:
        os.setuid(user)
        return str(run_directory())

    try:
        assert child(as_user).result == str(in_memory)
        in_memory.rmdir()
        in_memory.symlink_to(tmp_path)
        assert child(as_user).result == str(tmp_path / f"memprof-{user}")
    finally:
        in_memory.unlink()
