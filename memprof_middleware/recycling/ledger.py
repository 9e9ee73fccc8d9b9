"""Record of the retirements of a server's workers: a file in the run directory, and its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import psutil

from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass
from memprof_middleware.workers.locked_file import SlotFile
from memprof_middleware.workers.run_directory import run_directory

_PREFIX = "recycle-"
_KEPT = 1000
# Free space that the file needs: two copies of a full record.
_REQUIRED_BYTES = 1 << 16


@valueclass(frozen=True, kw_only=True, slots=True)
class Past(Value):
    """Contents of the file.

    Attributes:
        master: the server: process namespace, pid and start time of the workers' parent.
        total: workers that retired since the server began.
        retired: when, by the machine's monotonic clock, which no change of the date moves; the last ones.
        workers: live workers when the last one retired.
        fresh_mb: heap in use of a fresh worker.
    """

    master: str
    total: int = 0
    retired: tuple[float, ...] = ()
    workers: int = 0
    fresh_mb: float | None = None


class Ledger:
    """The file of this server. It lives as long as the server, whichever workers come and go.

    Whoever retires keeps the lock until its process is dead, so that two never do at once; the kernel frees it, however
    the process ends.

    Args:
        address: where the server listens, which tells the servers of one parent from each other.
        run_dir: as the setting.

    Raises:
        RunDirectoryError, OSError: there is no folder for it.
    """

    def __init__(self, address: str, run_dir: str | None = None) -> None:
        folder = run_directory(run_dir, required=lambda _: _REQUIRED_BYTES)
        self.master = _name(os.getppid())
        _clear(folder, self.master.partition(" ")[0])
        digest = hashlib.sha256(f"{self.master}\n{address}".encode()).hexdigest()[:16]
        self._file = SlotFile(folder / f"{_PREFIX}{digest}")

    def read(self) -> Past:
        """Read the file; empty at first, or if the file is of another version."""
        return _past(self._file) or Past(master=self.master)

    @property
    def busy(self) -> bool:
        """Whether another process holds the lock."""
        return self._file.is_live()

    def acquire(self) -> bool:
        """Take the lock; false if somebody has it.

        Raises:
            OSError: the file cannot be made.
        """
        return self._file.acquire()

    def release(self) -> None:
        """Release the lock; also in a child after a fork, where the lock is the parent's."""
        self._file.release()

    def record(self, now: float, workers: int) -> None:
        """Write down that this worker retires; only for the holder of the lock.

        Raises:
            OSError: it cannot be written: then it must not retire, for nobody would count it.
        """
        past = self.read()
        retired = (*past.retired, now)[-_KEPT:]
        self._write(dataclasses.replace(past, total=past.total + 1, retired=retired, workers=workers))

    def take_back(self) -> None:
        """The retirement that was recorded last did not begin; only for the holder of the lock.

        Raises:
            OSError: it cannot be written.
        """
        past = self.read()
        self._write(dataclasses.replace(past, total=past.total - 1, retired=past.retired[:-1]))

    def note_fresh(self, heap_mb: float) -> bool:
        """Write down what a fresh worker uses, the least of all: one that leaked at once must not speak for the others.

        False if another worker holds the lock: to be tried again.

        Raises:
            OSError: it cannot be written.
        """
        if not self.acquire():
            return False
        try:
            past = self.read()
            known = heap_mb if past.fresh_mb is None else min(heap_mb, past.fresh_mb)
            self._write(dataclasses.replace(past, fresh_mb=known))
        finally:
            self.release()
        return True

    def _write(self, past: Past) -> None:
        self._file.write(json.dumps(past.to_dict(), separators=(",", ":")).encode())


def _past(file: SlotFile) -> Past | None:
    payload = file.read(live=False)
    if payload:
        with contextlib.suppress(ValueError):  # another version's file says nothing to us
            return Past.from_dict(parsed_object(payload))
    return None


def _name(pid: int) -> str:
    """A process for as long as the machine runs: pids come again, start times do not."""
    if pid == 0:
        # The first process of a container: what starts it again is outside, and the next container's namespace is
        # another one. A folder that outlives the container keeps the file for it.
        return "0 0 0"
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - not a path to anything
        # The process's own name, which may hold spaces and brackets, is the second field; the start the 22nd.
        start = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        namespace, start = 0, _start_elsewhere(pid)
    return f"{namespace} {pid} {start}"


def _start_elsewhere(pid: int) -> str:
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:  # another user's, and hidden
        return "?"


def _clear(folder: Path, namespace: str) -> None:
    """Remove the files of servers that are gone; those of other containers that share the folder stay."""
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else clears at the same time
            past = _past(SlotFile(path))
            if past is not None and past.master.partition(" ")[0] == namespace and _is_gone(past.master):
                SlotFile(path).remove()


def _is_gone(master: str) -> bool:
    try:
        return _name(int(master.split()[1])) != master
    except (ValueError, IndexError):
        return True
