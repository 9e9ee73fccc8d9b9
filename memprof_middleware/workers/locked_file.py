"""A file that one process holds and writes, and others read: live as long as its holder lives.

The holder keeps a lock on it, which the kernel drops when the process ends, however it ends; no pid is ever trusted.
A second lock says that what stands in the file is the holder's own, and not a dead one's whose file it has taken over.
POSIX record locks are used rather than ``flock``: they are not inherited, so a child that a worker forks does not keep
a dead worker alive. Their price: closing any descriptor of the file drops them, so a process never opens its own file
twice.
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

# What stands before the payload: a mark with the format's version, the number of the write, length and checksum of each
# section, and a checksum of all that. Who wants one section reads no other.
_SECTIONS = 3
_HEADER = struct.Struct(f">4sQ{2 * _SECTIONS}I")
_CHECK = struct.Struct(">I")
_BEFORE = _HEADER.size + _CHECK.size
_MARK = b"MPW2"
# There are two places, written in turn: while one is written, however long that takes, the other one can be read.
_PLACES = (0, 1 << 20)
_LARGEST = _PLACES[1] - _BEFORE
# Taken from the disk when a slot is claimed, so that a disk that fills up later does not silence a worker.
_RESERVED = 32768
# How often a reader looks again: both places are void only if two writes were begun during one look.
_LOOKS = 10
# struct flock of 64-bit Linux: type, whence, start, length, pid.
_CAN_ASK = platform.system() == "Linux" and struct.calcsize("P") == 8
_FLOCK = struct.Struct("@hhqqi4x")
# The bytes that are locked by who holds the file, and by who has written in it.
_HOLDS, _SPEAKS = 0, 1
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
        with contextlib.suppress(OSError):  # a server may have closed all there was
            os.close(descriptor)
    _held.clear()
    _written.clear()


class SlotFile:
    """One such file, held by this process or read by it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> bool:
        """Make the file if need be and hold it; false if somebody does already.

        Raises:
            OSError: the file cannot be made.
        """
        with _opening:
            return self.path not in _held and self._acquire()

    def _acquire(self) -> bool:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _HOLDS)
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
        """Remove the file unless somebody holds it; never takes it from under a worker that claims it meanwhile.

        Raises:
            OSError: the file cannot be removed.
        """
        if self.acquire():
            try:
                self.path.unlink()
            finally:
                self.release()

    def release(self) -> None:
        """Let go. In a child after a fork this closes the inherited descriptor and leaves the parent's lock."""
        with _opening:
            _written.discard(self.path)
            descriptor = _held.pop(self.path, None)
            if descriptor is not None:
                os.close(descriptor)

    def write(self, *sections: bytes) -> None:
        """Replace the payload, of up to three sections; only for the holder, who is live for readers from now on.

        Raises:
            OSError: it cannot be written, for example because the disk is full.
        """
        if sum(map(len, sections)) > _LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        first, second = (_complete(_held[self.path], place) for place in _PLACES)
        place, number = (_PLACES[1], first + 1) if first > second else (_PLACES[0], second + 1)
        self._write(_header(number, sections) + b"".join(sections), place)
        if self.path not in _written:
            # Waits for a moment at most, where a reader tries the lock.
            fcntl.lockf(_held[self.path], fcntl.LOCK_EX, 1, _SPEAKS)
            _written.add(self.path)

    def reserve(self) -> None:
        """Take the room for usual payloads now; only for the holder. A payload that is there stays.

        Raises:
            OSError: the disk is full.
        """
        for place in _PLACES:
            content = os.pread(_held[self.path], _RESERVED, place)
            self._write(content.ljust(_RESERVED, b"\0"), place)

    def _write(self, data: bytes, offset: int) -> None:
        if os.pwrite(_held[self.path], data, offset) < len(data):  # a disk that is nearly full takes a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read(self, section: int = 0, *, live: bool) -> bytes | None:
        """A section of the payload; ``None`` if there is none, or if it must be of a live holder and is not.

        Raises:
            ValueError: a live holder has written one, and it cannot be read any more.
        """
        with contextlib.suppress(OSError), self._open() as descriptor:
            if live and not self._is_locked(descriptor, _SPEAKS):
                return None
            for _ in range(_LOOKS):
                written = sorted(((*_sections(descriptor, place), place) for place in _PLACES), reverse=True)
                for number, sections, place in written:  # the newest may be under the pen
                    content = _content(descriptor, place, sections[section]) if number else None
                    if content is not None:
                        return content
            if live and self._is_locked(descriptor, _SPEAKS):
                raise ValueError("a worker's file is damaged")
        return None

    def is_live(self) -> bool:
        """Whether a process holds the file."""
        with contextlib.suppress(OSError), self._open() as descriptor:
            return self._is_locked(descriptor, _HOLDS)
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
            return byte == _HOLDS or self.path in _written
        if _CAN_ASK:
            # Asks without taking: a lock taken for the blink of an eye would turn away a worker that claims the slot.
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
    """The number of the write and where its sections are; zero and nothing if there is no header."""
    header = os.pread(descriptor, _BEFORE, place)
    if len(header) == _BEFORE and header.startswith(_MARK):
        _, number, *figures = _HEADER.unpack_from(header)
        lengths = figures[::2]
        if header.endswith(_CHECK.pack(zlib.crc32(header[: -_CHECK.size]))) and sum(lengths) <= _LARGEST:
            begins = accumulate(lengths[:-1], initial=_BEFORE)
            return number, tuple(zip(begins, lengths, figures[1::2], strict=True))
    return _VOID


def _content(descriptor: int, place: int, section: _Place) -> bytes | None:
    begin, length, checksum = section
    content = os.pread(descriptor, length, place + begin)
    return content if len(content) == length and zlib.crc32(content) == checksum else None


def _complete(descriptor: int, place: int) -> int:
    """The number of a write that all is there of; else zero."""
    number, sections = _sections(descriptor, place)
    return number if all(_content(descriptor, place, section) is not None for section in sections) else 0
