"""A file that one process holds and writes, and others read; it counts as live while its holder runs.

The holder keeps a lock on it, which the kernel drops when the process ends, however it ends; no process id is trusted.
A second lock marks the content as the holder's own, not that of an earlier holder whose file was taken over.
POSIX record locks are used rather than ``flock``: they are not inherited, so a child that a worker forks does not keep
a dead worker alive. Their cost: closing any descriptor of the file drops them, so a process never opens its own
file twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import struct
import threading
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from memprof_middleware.forks import in_child

# Before the payload: a mark with the format's version, the number of the write, length and checksum of each section,
# and a checksum of the header. A reader of one section reads no other.
_SECTIONS = 3
_HEADER = struct.Struct(f">4sQ{2 * _SECTIONS}I")
_CHECK = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _CHECK.size
_MARK = b"MPW2"
# Two copies, written in turn: while one is written, the other one can be read.
_COPIES = (0, 1 << 20)
_MAX_BYTES = _COPIES[1] - _HEADER_BYTES
# Reserved on the disk when a slot is claimed, so that a worker can still publish when the disk fills up later.
_RESERVED = 32768
# Attempts of a reader: both copies are invalid only if two writes began during one attempt.
_READ_ATTEMPTS = 10
# struct flock of 64-bit Linux: type, whence, start, length, pid.
_CAN_QUERY_LOCK = platform.system() == "Linux" and struct.calcsize("P") == 8
_FLOCK = struct.Struct("@hhqqi4x")
# The byte that the holder of a file locks, and the byte that it locks once it has written.
_HELD_BYTE, _WRITTEN_BYTE = 0, 1
# Files that this process holds: their descriptors, by path; and those of them that it has written.
_held: dict[Path, int] = {}
_written: set[Path] = set()
# Between opening a file and noting that it is held, no other thread may open and close it.
_opening = threading.RLock()


@in_child
def _after_fork_in_child() -> None:
    global _opening
    _opening = threading.RLock()
    for descriptor in _held.values():  # the locks are the parent's: closing our copies leaves them
        with contextlib.suppress(OSError):  # a server may have closed all descriptors
            os.close(descriptor)
    _held.clear()
    _written.clear()


class SlotFile:
    """A file that is held by this process, or read by it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> bool:
        """Hold the file, which is created if it is missing. Returns false if it is held already.

        Raises:
            OSError: the file cannot be created.
        """
        with _opening:
            return self.path not in _held and self._acquire()

    def _acquire(self) -> bool:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _HELD_BYTE)
                with contextlib.suppress(FileNotFoundError):
                    if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                        _held[self.path] = descriptor
                        return True
                # The file was removed between our opening and our lock: again, with a new one.
            except (BlockingIOError, PermissionError):  # POSIX leaves the choice to the system
                os.close(descriptor)
                return False
            os.close(descriptor)

    def remove(self) -> None:
        """Remove the file unless a process holds it; a worker that claims it at the same moment keeps it.

        Raises:
            OSError: the file cannot be removed.
        """
        if self.acquire():
            try:
                self.path.unlink()
            finally:
                self.release()

    def release(self) -> None:
        """Release the file. In a forked child this closes the inherited descriptor and leaves the parent's lock."""
        with _opening:
            _written.discard(self.path)
            descriptor = _held.pop(self.path, None)
            if descriptor is not None:
                os.close(descriptor)

    def write(self, *sections: bytes) -> None:
        """Replace the payload of up to three sections, by the holder, which counts as live from now on.

        Raises:
            OSError: it cannot be written, for example because the disk is full.
        """
        if sum(map(len, sections)) > _MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        first, second = (_complete(_held[self.path], place) for place in _COPIES)
        place, number = (_COPIES[1], first + 1) if first > second else (_COPIES[0], second + 1)
        self._write(_header(number, sections) + b"".join(sections), place)
        if self.path not in _written:
            # Waits only for a reader that tries the lock.
            fcntl.lockf(_held[self.path], fcntl.LOCK_EX, 1, _WRITTEN_BYTE)
            _written.add(self.path)

    def reserve(self) -> None:
        """Reserve disk space for usual payloads, by the holder; an existing payload stays.

        Raises:
            OSError: the disk is full.
        """
        for place in _COPIES:
            content = os.pread(_held[self.path], _RESERVED, place)
            self._write(content.ljust(_RESERVED, b"\0"), place)

    @property
    def is_reserved(self) -> bool:
        """Whether the file has the disk space of :meth:`reserve`."""
        with contextlib.suppress(OSError):
            return self.path.lstat().st_size >= _COPIES[-1] + _RESERVED
        return False

    def _write(self, data: bytes, offset: int) -> None:
        if os.pwrite(_held[self.path], data, offset) < len(data):  # a disk that is nearly full takes a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read(self, section: int = 0, *, live: bool) -> bytes | None:
        """A section of the payload; ``None`` if there is none, or with ``live`` if the holder does not run.

        Raises:
            ValueError: the payload of a live holder is damaged.
        """
        with contextlib.suppress(OSError), self._open() as descriptor:
            if live and not self._is_locked(descriptor, _WRITTEN_BYTE):
                return None
            for _ in range(_READ_ATTEMPTS):
                written = sorted(((*_sections(descriptor, place), place) for place in _COPIES), reverse=True)
                for number, sections, place in written:  # the newest may be incomplete
                    content = _content(descriptor, place, sections[section]) if number else None
                    if content is not None:
                        return content
            if live and self._is_locked(descriptor, _WRITTEN_BYTE):
                raise ValueError("a worker's file is damaged")
        return None

    def is_live(self) -> bool:
        """Whether a process holds the file."""
        with contextlib.suppress(OSError), self._open() as descriptor:
            return self._is_locked(descriptor, _HELD_BYTE)
        return False

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        with _opening:
            if self.path in _held:
                yield _held[self.path]
                return
            descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _is_locked(self, descriptor: int, byte: int) -> bool:
        if self.path in _held:
            return byte == _HELD_BYTE or self.path in _written
        if _CAN_QUERY_LOCK:
            # Query the lock, not take it: a lock held for a moment would turn away a worker that claims the slot.
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
            return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return True
        return False


_Place = tuple[int, int, int]  # of a section: where it begins, its length and its checksum
_VOID: tuple[int, tuple[_Place, ...]] = (0, ())


def _header(number: int, sections: tuple[bytes, ...]) -> bytes:
    described = [figure for section in sections for figure in (len(section), zlib.crc32(section))]
    header = _HEADER.pack(_MARK, number, *described, *[0] * (2 * (_SECTIONS - len(sections))))
    return header + _CHECK.pack(zlib.crc32(header))


def _sections(descriptor: int, place: int) -> tuple[int, tuple[_Place, ...]]:
    """The number of the write and the positions of its sections; zero and none without a header."""
    header = os.pread(descriptor, _HEADER_BYTES, place)
    if len(header) == _HEADER_BYTES and header.startswith(_MARK):
        _, number, *figures = _HEADER.unpack_from(header)
        lengths = figures[::2]
        if header.endswith(_CHECK.pack(zlib.crc32(header[: -_CHECK.size]))) and sum(lengths) <= _MAX_BYTES:
            begins = accumulate(lengths[:-1], initial=_HEADER_BYTES)
            return number, tuple(zip(begins, lengths, figures[1::2], strict=True))
    return _VOID


def _content(descriptor: int, place: int, section: _Place) -> bytes | None:
    begin, length, checksum = section
    content = os.pread(descriptor, length, place + begin)
    return content if len(content) == length and zlib.crc32(content) == checksum else None


def _complete(descriptor: int, place: int) -> int:
    """The number of a write that is complete; else zero."""
    number, sections = _sections(descriptor, place)
    return number if all(_content(descriptor, place, section) is not None for section in sections) else 0
