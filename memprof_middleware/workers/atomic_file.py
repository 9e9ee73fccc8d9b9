"""A file that only this user can read, unless it is said otherwise, replaced as a whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Elsewhere there is no O_NONBLOCK, and no pipe in a folder.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)


def read_start(path: str | os.PathLike[str], largest: int) -> bytes:
    """The first bytes of a file. A pipe that lies there in its place is empty: nobody waits for who would write in it.

    Args:
        path: where.
        largest: bytes that are read.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as file:
        return file.read(largest) or b""


def write_private(path: str | os.PathLike[str], text: str, mode: int = 0o600) -> None:
    """Write beside the file and move into place: a reader never sees half of it, and no link is followed.

    Args:
        path: where.
        text: what.
        mode: who may read it, whatever the umask.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    new = Path(f"{os.fspath(path)}.{os.getpid()}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if mode != 0o600:
                os.fchmod(descriptor, mode)
            file.write(text)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
