"""Private files that are replaced as a whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Windows has no O_NONBLOCK, and no pipes in folders.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)


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


def write_private(path: str | os.PathLike[str], text: str, mode: int = 0o600) -> None:
    """Write a file beside its place and move it there: a reader never sees half of it, and no link is followed.

    Args:
        path: the file.
        text: its new content.
        mode: its permissions, whatever the umask.

    Raises:
        OSError: it cannot be written; the old content stays.
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
