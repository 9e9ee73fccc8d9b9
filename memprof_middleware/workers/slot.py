"""Worker slots: every worker publishes its figures in a file, so that whichever is scraped can show all of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from memprof_middleware.errors import RunDirectoryError
from memprof_middleware.model import MemoryMetrics, RouteWindows, WorkerSummary
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.workers.locked_file import SlotFile
from memprof_middleware.workers.run_directory import FLAME, PAST, SHARED, private_folders, run_directory

_MOST_SLOTS = 1024
# A server that was killed leaves at most a file for each of its workers; the next one to start clears them away.
_ABANDONED_SECONDS = 3600
_OURS = re.compile(r"[0-9a-f]{16}")
_SLOT = re.compile(r"[0-9]{1,9}")
# The sections of a slot's file: what every sibling reads with each step, what a scrape reads, and what the one worker
# reads that judges the routes of all.
_SUMMARY, _DETAIL, _WINDOWS = range(3)
_Told = TypeVar("_Told", MemoryMetrics, WorkerSummary)
_Unreadable = Callable[[ValueError], object]


class WorkerSlot:
    """The place of this process among the workers of its server.

    Args:
        address: what all workers of the server have in common: where it listens.
        run_dir: a folder to use instead of the usual ones.
        server: tells this run of the server from the one before; ``None`` if nothing does: nobody's successor.

    Raises:
        RunDirectoryError: there is no folder in which workers can find one another.

    Attributes:
        number: the slot: the smallest number that no live worker of the server holds.
        predecessor: what the slot's last holder published, if it was a worker of the same running server.
    """

    def __init__(self, address: str, run_dir: str | None = None, server: str | None = None) -> None:
        base = run_directory(run_dir)
        self._run_dir, self._server = run_dir, server
        self._folder = base / hashlib.sha256(f"{_network()}\n{address}".encode()).hexdigest()[:16]
        try:
            _clear_abandoned(base)
            self._claim()
        except OSError as error:
            raise RunDirectoryError(f"{self._folder}: {error.strerror}; set run_dir to another folder") from error
        self._claimed = time.time()
        self._files: dict[str, SlotFile] = {}  # of the others: what a path is made of is found out once
        self._parsed: dict[tuple[str, int], tuple[int, object]] = {}

    @property
    def folder(self) -> Path:
        """What the server's workers share; the last one to leave takes it along."""
        return self._folder

    @property
    def shared(self) -> Path:
        """The folder of what the workers tell one another about incidents; made by who writes there first."""
        return self._folder / SHARED

    @property
    def past(self) -> Path:
        """The file for the past of this slot."""
        return self._folder / f"{self.number}{PAST}"

    @property
    def pasts(self) -> dict[str, Path]:
        """The files for the pasts of all slots, by worker, those of workers that have ended included."""
        found = (path for folder in self._folders() for path in sorted(folder.glob(f"*{PAST}")))
        named = {path.name.removesuffix(PAST): path for path in found}
        return {worker: path for worker, path in named.items() if _SLOT.fullmatch(worker)} | {
            str(self.number): self.past
        }

    @property
    def run(self) -> str:
        """Names this run of the server; where nothing does, this process."""
        return self._server or f"{os.getpid()} {self._claimed}"

    def publish(self, metrics: MemoryMetrics, windows: RouteWindows | None = None) -> None:
        """Let the other workers see these figures.

        Args:
            metrics: the figures.
            windows: for the worker that judges the routes of all.

        Raises:
            OSError: not all of it can be written, for example because the folder is full.
        """
        summary = _json(WorkerSummary.of(metrics).to_dict())
        detail = _json({"server": self._server, "metrics": metrics.to_dict()})
        try:
            self._own.write(summary, detail, b"" if windows is None else windows.pack())
        except OSError:
            # There is the room that was reserved: for the figures, though not for what the others reckon with.
            self._own.write(summary, detail)
            raise

    def summaries(self, unreadable: _Unreadable = lambda _: None) -> list[WorkerSummary]:
        """What is needed with each step of the other live workers of the server, by slot.

        Args:
            unreadable: hears of a file that says nothing to us, once for each time that it was written.
        """
        return self._each(_SUMMARY, _summary, unreadable)

    def others(self, unreadable: _Unreadable = lambda _: None) -> list[MemoryMetrics]:
        """All that the other live workers of the server published last, by slot; ``unreadable`` as above."""
        return self._each(_DETAIL, _metrics, unreadable)

    def windows(self, worker: str) -> RouteWindows | None:
        """The windows of a live worker; ``None`` if it has left none.

        Raises:
            ValueError: they say nothing to us.
        """
        found = [SlotFile(folder / worker).read(_WINDOWS, live=True) for folder in self._folders()]
        return next((RouteWindows.unpack(data) for data in found if data), None)

    def leave(self, *, replaced: bool = False) -> None:
        """Give the slot back. The last worker to leave takes the files with it, unless it has a successor to come."""
        self._own.release()
        # First let go, then look: of workers that leave together, the last one sees nobody.
        if not replaced:
            _remove_if_dead(self._folders())

    def _claim(self) -> None:
        self.number = self._first_free()
        try:
            self._own.reserve()
            self.predecessor = self._succeed()
        except BaseException:
            self._own.release()  # held by nobody who knows of it, it would be lost for the life of the process
            raise

    def _first_free(self) -> int:
        while True:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                return next(number for number in range(_MOST_SLOTS) if self._take(number))
            except FileNotFoundError:
                continue  # the last worker of a server that ends took the folder with it
            except StopIteration:
                raise OSError(errno.EBUSY, f"all {_MOST_SLOTS} worker numbers are taken") from None

    def _folders(self) -> list[Path]:
        """The server's folders, its own first: where that was full, later workers are in another."""
        found = (base / self._folder.name for base in private_folders(self._run_dir))
        return [self._folder, *(folder for folder in found if folder != self._folder)]

    def _take(self, number: int) -> bool:
        self._own = SlotFile(self._folder / str(number))
        if self._is_taken_elsewhere(number) or not self._own.acquire():
            return False
        if self._is_taken_elsewhere(number):  # meanwhile: each of two sees the other one, and both go on
            self._own.release()
            return False
        return True

    def _is_taken_elsewhere(self, number: int) -> bool:
        return any(SlotFile(folder / str(number)).is_live() for folder in self._folders()[1:])

    def _succeed(self) -> MemoryMetrics | None:
        """Take over from the slot's last holder, whose figures must not show as those of a live worker any more."""
        last = self._own.read(_DETAIL, live=False)
        predecessor = None
        for dead in (SlotFile(folder / str(self.number)) for folder in self._folders()[1:]):
            elsewhere = dead.read(_DETAIL, live=False)
            if elsewhere is not None:
                last = elsewhere  # and the newer one, since of two files of a slot the other is removed
                with contextlib.suppress(OSError):
                    dead.remove()
        if last and self._server is not None:
            with contextlib.suppress(ValueError):  # there is nothing to be taken over from another version
                predecessor = _metrics(last, "metrics", self._server) or _metrics(last, "predecessor", self._server)
        left = predecessor and predecessor.to_dict()
        self._own.write(b"", _json({"server": self._server, "predecessor": left}))
        return predecessor

    def _each(self, section: int, read: Callable[[bytes], _Told | None], unreadable: _Unreadable) -> list[_Told]:
        found = []
        own = str(self._own.path)
        for _, path in sorted((int(name), f"{folder}/{name}") for folder in self._folders() for name in _names(folder)):
            if path == own:
                continue
            file = self._files.get(path) or self._files.setdefault(path, SlotFile(Path(path)))
            try:
                told = self._remembered(path, file, section, read)
            except ValueError as error:  # the others are shown
                unreadable(error)
            else:
                if told is not None:
                    found.append(told)
        return found

    def _remembered(
        self, path: str, file: SlotFile, section: int, read: Callable[[bytes], _Told | None]
    ) -> _Told | None:
        """A worker publishes once an interval and may be scraped more often: read again only what is new."""
        content = file.read(section, live=True)
        if not content:
            return None
        checksum = zlib.crc32(content)
        known, told = self._parsed.get((path, section), (None, None))
        if known == checksum:
            return cast("_Told | None", told)
        self._parsed[path, section] = checksum, None
        found = read(content)
        if found is not None and found.worker != file.path.name:
            raise ValueError("a worker's file bears another one's number")  # and would show as a second of it
        self._parsed[path, section] = checksum, found
        return found


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _summary(content: bytes) -> WorkerSummary:
    return WorkerSummary.from_dict(parsed_object(content))


def _metrics(content: bytes, role: str = "metrics", server: str | None = None) -> MemoryMetrics | None:
    """The figures in a slot's file; ``None`` if it has none in that role, or those of another server.

    Raises:
        ValueError: it was not written by this version, or is damaged.
    """
    data = parsed_object(content)
    if "server" not in data:
        raise ValueError("it is not what a worker writes")
    if data.get(role) is None or (server is not None and server != data["server"]):
        return None
    return MemoryMetrics.from_dict(data[role])


def _network() -> str:
    """The network namespace: port 8000 in one container is not port 8000 in another that shares the folder."""
    try:
        return os.readlink("/proc/self/ns/net")  # noqa: PTH115 - not a path to anything
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    """How the slots' files in a folder are called."""
    try:
        return [name for name in os.listdir(folder) if _SLOT.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return []


def _clear_abandoned(base: Path) -> None:
    oldest = time.time() - _ABANDONED_SECONDS
    for folder in base.iterdir():
        with contextlib.suppress(OSError):  # somebody else clears at the same time
            paths = [folder, *(folder / name for name in _names(folder))]
            if _OURS.fullmatch(folder.name) and all(path.stat().st_mtime < oldest for path in paths):
                _remove_if_dead([folder])


def _remove_if_dead(folders: list[Path]) -> None:
    files = {folder: _files(folder) for folder in folders}
    if any(file.is_live() for found in files.values() for file in found):
        return
    for folder, found in files.items():
        with contextlib.suppress(OSError):  # somebody else removes or claims at the same time
            for file in found:
                file.remove()
            for inner in (folder / FLAME, folder / SHARED):
                if inner.is_dir():  # of a pipe, it would wait for a writer
                    shutil.rmtree(inner, ignore_errors=True)
            for past in folder.glob(f"*{PAST}*"):
                past.unlink()
            folder.rmdir()


def _files(folder: Path) -> list[SlotFile]:
    return [SlotFile(folder / name) for name in _names(folder)]
