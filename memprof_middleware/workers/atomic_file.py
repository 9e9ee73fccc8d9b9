"""A file that only this user can read, unless it is said otherwise, replaced as a whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


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
