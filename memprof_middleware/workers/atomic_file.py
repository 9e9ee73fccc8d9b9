"""Private files that are replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

# Windows has no O_NONBLOCK, and no pipes in folders.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
# A write takes milliseconds; one that began a minute ago was never finished.
_LEFT_BEHIND_SECONDS = 60.0


def read_start(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """The first bytes of a file. A pipe in its place reads as empty: no thread waits for a writer.

    Args:
        path: the file.
        max_bytes: the most bytes to read.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as file:
        return file.read(max_bytes) or b""


def write_private(path: str | os.PathLike[str], content: str | bytes, mode: int = 0o600) -> None:
    """Write a file beside its place and move it there: a reader never sees half of it, and no link is followed.

    Args:
        path: the file.
        content: its new content.
        mode: its permissions, whatever the umask.

    Raises:
        OSError: it cannot be written; the old content stays.
    """
    path = Path(path)
    new = _beside(path, os.getpid())
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if mode != 0o600:
                os.fchmod(descriptor, mode)
            file.write(content.encode() if isinstance(content, str) else content)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    _remove_left_behind(path)


def can_be_written(folder: Path) -> bool:
    """Whether a file can be made in a folder, or the folder can be made. Nothing is written."""
    nearest = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _beside(path: Path, pid: int | str) -> Path:
    return path.with_name(f"{path.name}.{pid}.new")


def _remove_left_behind(path: Path) -> None:
    """Remove what processes that were killed while they wrote this file left beside it: each has its own name."""
    oldest = time.time() - _LEFT_BEHIND_SECONDS
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            pid = entry.name.removeprefix(f"{path.name}.").removesuffix(".new")
            if pid.isdecimal() and entry.name == _beside(path, pid).name and entry.stat().st_mtime < oldest:
                Path(entry).unlink(missing_ok=True)
