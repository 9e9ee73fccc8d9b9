"""A small private file that the workers of a server change, one at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from memprof_middleware.workers.atomic_file import read_start, write_private

# A change takes less than a millisecond; a process that was stopped in the middle of one must not stop the others.
_LOCK_ATTEMPTS, _PAUSE_SECONDS = 20, 0.005


class SharedFile:
    """A file with a lock for changes. A reader sees it before a change or after it, never in between.

    Args:
        path: the file; its folder is created with the first change.
        max_bytes: the maximum size.
    """

    def __init__(self, path: Path, max_bytes: int = 1 << 16) -> None:
        self.path, self._max_bytes = path, max_bytes
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """Whether the file changed since the last call; at the first call, whether it exists."""
        try:
            found = self.path.stat()
        except OSError:
            before, self._seen = self._seen, None
            return before is not None
        before, self._seen = self._seen, (found.st_ino, found.st_size, found.st_mtime_ns)
        return before != self._seen

    def read(self) -> bytes:
        """The content; empty if there is no file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is too long.
        """
        try:
            data = read_start(self.path, self._max_bytes + 1)
        except FileNotFoundError:
            return b""
        if len(data) > self._max_bytes:
            raise ValueError("it is too long")
        return data

    def change(self, update: Callable[[bytes], str]) -> None:
        """Replace the content.

        Args:
            update: makes the new content of the old; an exception leaves the file unchanged.

        Raises:
            OSError: it cannot be read or written, or another process keeps the lock for too long.
            ValueError: it is, or would be, too long.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            text = update(self.read())
            if len(text.encode()) > self._max_bytes:
                raise ValueError("it would be too long")
            write_private(self.path, text)

    def move_aside(self) -> Path:
        """Rename a file with unreadable content, so that it is kept and a new one can be written.

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
            for attempt in range(_LOCK_ATTEMPTS):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == _LOCK_ATTEMPTS - 1:
                        raise
                    time.sleep(_PAUSE_SECONDS)
            try:
                yield
            finally:
                # By name: a child that was forked meanwhile has the descriptor too, and would keep the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)
