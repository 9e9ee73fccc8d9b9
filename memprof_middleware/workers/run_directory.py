"""The run directory: a private folder, in memory or on disk, for the files of one user's workers."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from memprof_middleware.errors import RunDirectoryError

# Free space that a folder needs: the files of one worker, and some more.
REQUIRED_BYTES = 1 << 18
# The timeline file of a slot has its number as its name, and this suffix.
TIMELINE_SUFFIX = ".past"
# The folder of the windows for flame graphs, which ends with the last worker.
FLAME = "flame"
# The folder of files about incidents that all workers write; it ends with the last worker too.
SHARED = "shared"


def run_directory(
    given: str | None = None, *, lasting: bool = False, required: Callable[[Path], int] = lambda _: REQUIRED_BYTES
) -> Path:
    """The folder ``memprof-<user id>`` in a given folder, else in the first usual one that can be used.

    Only this user may enter it; a link, or a folder of another user, is refused.

    Args:
        given: the parent folder, which is created too; ``None``: the usual ones.
        lasting: for files that are kept: not in memory, which they would fill.
        required: bytes of free space that a folder needs, asked for a folder that is private.

    Raises:
        RunDirectoryError: none can be used; the message says why for each.
    """
    refused = []
    for folder in _candidates(given, lasting=lasting):
        try:
            if given is not None:
                folder.parent.mkdir(mode=0o700, exist_ok=True)
            _make_private(folder)
            _check_room(folder, required(folder))
        except OSError as error:
            refused.append(f"{folder}: {error.strerror or error}")
        else:
            return folder
    what, setting = ("evidence", "evidence_dir") if lasting else ("the workers", "run_dir")
    reasons = "; ".join(refused) or "there is none for temporary files"
    raise RunDirectoryError(f"no folder for {what}: {reasons}; set {setting} to one that can be used")


def private_folders(given: str | None = None, *, lasting: bool = False) -> list[Path]:
    """The folders of :func:`run_directory` that exist and are private, full ones included.

    A server whose first folder filled up meanwhile has workers in more than one.
    """
    return [folder for folder in _candidates(given, lasting=lasting) if _is_private(folder)]


def temporary_folders() -> list[str]:
    """The existing folders for temporary files, usable or not.

    The same as in ``tempfile``, which however writes a file into each, includes the working directory, and holds a
    lock that a forked child would inherit locked.
    """
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    folders = dict.fromkeys(folder for folder in (*named, "/tmp", "/var/tmp") if folder)  # noqa: S108 - a private one is made inside
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112


def private_path(parent: str) -> Path:
    """The path of this user's folder inside another one; nothing is created."""
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


def _check_room(folder: Path, required: int) -> None:
    # Permission to write is not enough: a tiny /dev/shm may be full.
    with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
        if probe.write(bytes(required)) < required:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check_private(folder: Path) -> None:
    found = folder.lstat()  # not stat: a link is not followed
    if not stat.S_ISDIR(found.st_mode):
        raise OSError("it is a link or no folder")
    if found.st_uid != os.geteuid():
        raise OSError("it belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError("others may enter it: its mode must be 0700")
