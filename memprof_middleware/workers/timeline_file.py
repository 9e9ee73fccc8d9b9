"""The timeline file of a slot, of fixed size: the figures of the last hours, which outlive the worker.

The slot's holder writes rows, and every worker can read them. There are two rings: a fine one with the last snapshots,
and a coarse one with a row a minute, so that a server with an interval of a second still shows hours. A row is written
at once, at each step of each worker; a page, which is rarer, reads a whole ring and takes every n-th value of it. The
number of rows is written last, so that a writer that is killed leaves a complete timeline.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import struct
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from memprof_middleware.model.clean import clean
from memprof_middleware.workers.run_directory import TIMELINE_SUFFIX
from memprof_middleware.workers.timeline import COLUMNS, Timeline

TYPES = 24
_WIDTH = len(COLUMNS) + TYPES
_NAME_BYTES = 200
_COARSE_SECONDS = 60.0
_MARK = b"MPT1"
# The mark, a checksum of the layout, and a checksum of the name of the run of the server.
_HEADER = struct.Struct("<4sII")
# Rows ever written, and the same inverted: the two do not match in the middle of a write.
_COUNT = struct.Struct("<QQ")
_ONES = 0xFFFFFFFFFFFFFFFF
# A file with more rows is damaged, and so is one with a time outside of the years 1 to 9999.
_MAX_ROWS = 1 << 48
_EARLIEST, _LATEST = -62135596800.0, 253402300799.0
_READ_ATTEMPTS = 10
# Windows has no such flags; the folder is private in any case. O_NONBLOCK: a pipe in a file's place must not block.
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class _Ring(NamedTuple):
    """The position of a ring in the file; one row more than can be read, since the oldest may be overwritten."""

    rows: int
    counter: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.rows * (8 + 4 * _WIDTH)

    def time(self, index: int = 0) -> int:
        return self.start + 8 * index

    def row(self, index: int = 0) -> int:
        return self.start + 8 * self.rows + 4 * _WIDTH * index


_NAMES = _HEADER.size + 2 * _COUNT.size
_COARSE = _Ring(721, _HEADER.size, _NAMES + TYPES * _NAME_BYTES)
_FINE = _Ring(281, _HEADER.size + _COUNT.size, _COARSE.end)
_LAYOUT = zlib.crc32(repr(("by rows", COLUMNS, TYPES, _NAME_BYTES, _COARSE, _FINE, sys.byteorder)).encode())
_KIND = _MARK + struct.pack("<I", _LAYOUT)
BYTES = _FINE.end
"""The size of one file, which does not grow."""


class SnapshotHistory(Protocol):
    """The snapshots of this process, from which the counts of a new type are filled in."""

    def series(self, column: str) -> list[float]:
        """One figure of every snapshot."""

    def counts(self, name: str, start: int = 0) -> list[int]:
        """Live objects of a type, from snapshot ``start`` on."""

    def __len__(self) -> int: ...


def record(
    path: Path, run: str, row: Mapping[str, float | None], types: Sequence[str], snapshots: SnapshotHistory
) -> None:
    """Add a row; only for the holder of the slot.

    Args:
        path: the slot's file; created if it is missing, and replaced if it is of another run or version.
        run: the name of this run of the server.
        row: ``time``, and figures by the names in ``COLUMNS``; one that is missing is not known. With a false
            ``counted`` the types are not known either: an old count drawn as a new one would be a plateau.
        types: the types to follow, the most important first. A new type gets its past counts from ``snapshots``.
        snapshots: the snapshots of this process.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
        ValueError: the row has no valid time.
    """
    if not _is_moment(row["time"] or 0.0):
        raise ValueError("a row needs a time of our calendar")
    with _writable(path, zlib.crc32(run.encode())) as fd:
        names = _follow(fd, types[:TYPES], snapshots)
        time = row["time"] or 0.0
        counted = bool(len(snapshots)) and row.get("counted", True)
        counts = [
            float(snapshots.counts(name, len(snapshots) - 1)[-1]) if name and counted else math.nan for name in names
        ]
        figures = array("f", [*(_figure(row.get(name)) for name in COLUMNS), *counts]).tobytes()
        for ring, seconds in ((_COARSE, _COARSE_SECONDS), (_FINE, 0.0)):
            rows = _rows(fd, ring)
            last = _read(fd, "d", ring.time((rows - 1) % ring.rows), 1)[0] if rows else -math.inf
            if not 0 <= time - last < seconds * 0.99:  # a beat may come a little early, and a clock be set back
                index = rows % ring.rows
                _write(fd, array("d", [time]).tobytes(), ring.time(index))
                _write(fd, figures, ring.row(index))
                _write(fd, _COUNT.pack(rows + 1, ~(rows + 1) & _ONES), ring.counter)


def read(path: Path, columns: Sequence[str] | None = None) -> Timeline | None:
    """The timeline in a slot's file, oldest first; ``None`` if there is no file.

    Args:
        path: the file.
        columns: the figures that are wanted; ``None``: all, and the types.

    Raises:
        ValueError: the file is damaged, or is another version's.
    """
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | _SAFE)
        try:
            # A file of the right size and kind holds every row: all further content is numbers.
            if os.fstat(fd).st_size != BYTES or os.pread(fd, 8, 0) != _KIND:
                raise ValueError("the past of a worker is damaged, or another version's")
            return _timeline(fd, path.name.removesuffix(TIMELINE_SUFFIX), columns)
        finally:
            os.close(fd)
    return None


def _timeline(fd: int, worker: str, columns: Sequence[str] | None) -> Timeline:
    wanted = {name: number for number, name in enumerate(COLUMNS) if columns is None or name in columns}
    names = [] if columns is not None else [clean(name) for name in _names(fd)]
    numbers = {name: len(COLUMNS) + number for number, name in enumerate(names) if name}
    times: array[float] = array("d")
    figures: dict[str, array[float]] = {name: array("f") for name in (*wanted, *numbers)}
    fine = _rows(fd, _FINE)
    fine_times = _oldest_first(_read(fd, "d", _FINE.time(), _FINE.rows), fine)
    for ring, rows in ((_COARSE, _rows(fd, _COARSE)), (_FINE, fine)):
        if not rows:
            continue
        own = fine_times if ring is _FINE else _oldest_first(_read(fd, "d", ring.time(), ring.rows), rows)
        # Of the coarse ring only the rows that are older than the fine one.
        keep = len(own) if ring is _FINE or not len(fine_times) else bisect_right(own, fine_times[0] - 1e-6)
        times.extend(own[:keep])
        cells = _read(fd, "f", ring.row(), ring.rows * _WIDTH)
        for name, number in (wanted | numbers).items():
            figures[name].extend(_oldest_first(cells[number::_WIDTH], rows)[:keep])
    # Unknown values are nan; infinite values are never written.
    if not all(map(_is_moment, times)) or any(math.inf in f or -math.inf in f for f in figures.values()):
        raise ValueError("the past of a worker is damaged")
    return Timeline(
        worker=worker,
        times=times,
        figures={name: figures[name] for name in wanted},
        types={name: figures[name] for name in numbers},
    )


def _is_moment(time: float) -> bool:
    return _EARLIEST <= time <= _LATEST


def _oldest_first(values: array[float], rows: int) -> array[float]:
    """The readable rows, oldest first, of ``rows`` that were ever written."""
    size = len(values)
    kept = min(rows, size - 1)
    first = (rows - kept) % size
    return (values[first:] + values[:first])[:kept]


def _follow(fd: int, types: Sequence[str], snapshots: SnapshotHistory) -> list[str]:
    """The types by column, after columns were assigned to new types."""
    names = _names(fd)
    cut = [name.encode()[: _NAME_BYTES - 2].decode(errors="ignore") for name in types]
    new: dict[int, str] = {}
    for name, whole in zip(cut, types, strict=True):
        if name not in names:
            column = names.index("") if "" in names else next(i for i, old in enumerate(names) if old not in cut)
            names[column], new[column] = name, whole
    if new:
        for column in new:
            _write(fd, struct.pack("<H", 0), _NAMES + column * _NAME_BYTES)  # nameless while its figures change
        _fill(fd, new, snapshots)
        for column in new:
            encoded, place = names[column].encode(), _NAMES + column * _NAME_BYTES
            _write(fd, encoded, place + 2)
            _write(fd, struct.pack("<H", len(encoded)), place)
    return names


def _fill(fd: int, types: Mapping[int, str], snapshots: SnapshotHistory) -> None:
    """Write the past counts of new types into their columns."""
    times = snapshots.series("timestamp")
    for ring in (_COARSE, _FINE):
        at = [bisect_right(times, time) - 1 for time in _read(fd, "d", ring.time(), ring.rows)]
        cells = _read(fd, "f", ring.row(), ring.rows * _WIDTH)
        for column, name in types.items():
            counts = snapshots.counts(name)
            known = array("f", [float(counts[i]) if i >= 0 else math.nan for i in at])
            cells[len(COLUMNS) + column :: _WIDTH] = known
        _write(fd, cells.tobytes(), ring.row())


def _names(fd: int) -> list[str]:
    table = os.pread(fd, TYPES * _NAME_BYTES, _NAMES)
    found = []
    for place in range(0, TYPES * _NAME_BYTES, _NAME_BYTES):
        (length,) = struct.unpack_from("<H", table, place)
        name = table[place + 2 : place + 2 + min(length, _NAME_BYTES - 2)].decode(errors="replace")
        found.append("" if name in found else name)
    return found


def _rows(fd: int, ring: _Ring) -> int:
    for _ in range(_READ_ATTEMPTS):
        rows, inverse = _COUNT.unpack(os.pread(fd, _COUNT.size, ring.counter))
        if rows ^ inverse == _ONES and rows < _MAX_ROWS:
            return int(rows)
    return 0


def _read(fd: int, kind: str, place: int, count: int) -> array[float]:
    found: array[float] = array(kind)
    found.frombytes(os.pread(fd, found.itemsize * count, place))
    return found


def _write(fd: int, data: bytes, place: int) -> None:
    os.pwrite(fd, data, place)  # the file has its full size since it was created


def _figure(value: float | None) -> float:
    return math.nan if value is None else float(value)


@contextlib.contextmanager
def _writable(path: Path, run: int) -> Iterator[int]:
    header = _HEADER.pack(_MARK, _LAYOUT, run)
    fd = _opened(path, header)
    if fd is None:
        # Written beside and moved: a reader sees the old file or the new one, never half of it.
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
    else:
        new = None
    try:
        if new is not None:
            _make(fd, header, new, path)
        yield fd
    finally:
        os.close(fd)


def _make(fd: int, header: bytes, new: Path, path: Path) -> None:
    empty = header + 2 * _COUNT.pack(0, _ONES)
    try:
        # Reserved on the disk now, so that no rows are lost when it fills up later.
        _reserve(fd, empty.ljust(BYTES, b"\0"))
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()  # an incomplete file takes space that others need
        raise


def _reserve(fd: int, content: bytes) -> None:
    if os.write(fd, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _opened(path: Path, header: bytes) -> int | None:
    """The file, if it is there and of this run and version."""
    try:
        fd = os.open(path, os.O_RDWR | _SAFE)
    except FileNotFoundError:
        return None
    if os.pread(fd, _HEADER.size, 0) == header and os.fstat(fd).st_size == BYTES:
        return fd
    os.close(fd)
    return None
