"""A private folder in memory or on disk where the workers of one user find one another."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from memprof_middleware.errors import RunDirectoryError

# What must fit: the files of one worker, and some.
_ROOM = 1 << 18
# How the file is called that holds the past of a slot: its number and this.
PAST = ".past"
# The folder of the windows for flame graphs, which ends with the last worker.
FLAME = "flame"
# The folder of what the workers tell one another about incidents; the same.
SHARED = "shared"


def run_directory(given: str | None = None, *, lasting: bool = False) -> Path:
    """The folder ``memprof-<user id>``: in the one given, else in the first of a few where it can be made and used.

    It belongs to this user and nobody else may enter it; a link or a folder that somebody planted is refused.

    Args:
        given: where to make it; this one is made too if need be.
        lasting: for what is read later: not in memory, which it would take up.

    Raises:
        RunDirectoryError: none can be used; the message says why for each.
    """
    refused = []
    for folder in _candidates(given, lasting=lasting):
        try:
            if given is not None:
                folder.parent.mkdir(mode=0o700, exist_ok=True)
            _make_private(folder)
        except OSError as error:
            refused.append(f"{folder}: {error.strerror or error}")
        else:
            return folder
    what, setting = ("evidence", "evidence_dir") if lasting else ("the workers", "run_dir")
    reasons = "; ".join(refused) or "there is none for temporary files"
    raise RunDirectoryError(f"no folder for {what}: {reasons}; set {setting} to one that can be used")


def private_folders(given: str | None = None, *, lasting: bool = False) -> list[Path]:
    """Those folders of :func:`run_directory` that are there and private, whether or not they take more data.

    A server whose first folder filled up meanwhile has workers in more than one.
    """
    return [folder for folder in _candidates(given, lasting=lasting) if _is_private(folder)]


def temporary_folders() -> list[str]:
    """The folders for temporary files that are there, whether or not they can be used.

    As ``tempfile`` looks for them, which however tries each by writing, ends with the application's own folder, and
    holds a lock meanwhile that a forked child may find held.
    """
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    folders = dict.fromkeys(folder for folder in (*named, "/tmp", "/var/tmp") if folder)  # noqa: S108 - a private one is made inside
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112


def private_path(parent: str) -> Path:
    """Where the folder of this user is, or would be, in another one; nothing is made."""
    # One spelling of each path: a process that opens its own slot by another would lose its lock.
    return Path(os.path.realpath(parent)) / f"memprof-{os.geteuid()}"


def _candidates(given: str | None, *, lasting: bool) -> Iterator[Path]:
    return map(private_path, _parents(given, lasting=lasting))


def _is_private(folder: Path) -> bool:
    try:
        _check_private(folder)
    except OSError:
        return False
    return True


def _parents(given: str | None, *, lasting: bool) -> Iterator[str]:
    if given is not None:
        yield given
        return
    # Memory first: no disk is touched. Every worker of a server walks the same list in the same environment.
    if not lasting and os.path.isdir("/dev/shm"):  # noqa: PTH112, S108 - the folder made inside is private and checked
        yield "/dev/shm"  # noqa: S108
    yield from temporary_folders()


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _check_private(folder)
    # Said to be writable is not enough: a tiny /dev/shm may be full.
    with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
        if probe.write(bytes(_ROOM)) < _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check_private(folder: Path) -> None:
    found = folder.lstat()  # not stat: a link is not followed
    if not stat.S_ISDIR(found.st_mode):
        raise OSError("it is a link or no folder")
    if found.st_uid != os.geteuid():
        raise OSError("it belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError("others may enter it: its mode must be 0700")
