"""A small private file that the workers of a server change one after another."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from memprof_middleware.workers.atomic_file import read_start, write_private

# A change takes less than a millisecond; a process that was stopped in the middle of one must not stop the others.
_TRIES, _PAUSE_SECONDS = 20, 0.005


class SharedFile:
    """One such file. A reader sees it before a change or after it; two changes at once are one after the other.

    Args:
        path: the file; its folder is made if need be.
        largest: bytes.
    """

    def __init__(self, path: Path, largest: int = 1 << 16) -> None:
        self.path, self._largest = path, largest
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """Whether it was changed since this was asked last; the first time, whether it is there."""
        try:
            found = self.path.stat()
        except OSError:
            before, self._seen = self._seen, None
            return before is not None
        before, self._seen = self._seen, (found.st_ino, found.st_size, found.st_mtime_ns)
        return before != self._seen

    def read(self) -> bytes:
        """What it holds; nothing if it is not there.

        Raises:
            OSError: it cannot be read.
            ValueError: it is too long.
        """
        try:
            data = read_start(self.path, self._largest + 1)
        except FileNotFoundError:
            return b""
        if len(data) > self._largest:
            raise ValueError("it is too long")
        return data

    def change(self, update: Callable[[bytes], str]) -> None:
        """Replace what it holds.

        Args:
            update: given what it holds now, returns what it shall hold; what it raises leaves the file as it is.

        Raises:
            OSError: it cannot be read or written, or another process holds it for too long.
            ValueError: it is, or would be, too long.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            text = update(self.read())
            if len(text.encode()) > self._largest:
                raise ValueError("it would be too long")
            write_private(self.path, text)

    def move_aside(self) -> Path:
        """Keep what cannot be understood, out of the way.

        Raises:
            OSError: it cannot be moved.
        """
        aside = self.path.with_suffix(".unreadable")
        self.path.replace(aside)
        return aside

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:  # Windows, where a server has one process
            yield
            return
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for attempt in range(_TRIES):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == _TRIES - 1:
                        raise
                    time.sleep(_PAUSE_SECONDS)
            try:
                yield
            finally:
                # By name: a child that was forked meanwhile has the descriptor too, and would keep the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)
