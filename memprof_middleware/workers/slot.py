"""Worker slots: each worker publishes its figures in a file, so that a scrape of any worker shows all of them."""

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
from memprof_middleware.workers.run_directory import (
    FLAME,
    REQUIRED_BYTES,
    SHARED,
    TIMELINE_SUFFIX,
    private_folders,
    run_directory,
)

_MAX_SLOTS = 1024
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
# A server that was killed leaves one file for each worker; the next server that starts removes them.
_ABANDONED_SECONDS = 3600
_SERVER_FOLDER = re.compile(r"[0-9a-f]{16}")
_SLOT_NAME = re.compile(r"[0-9]{1,9}")
# The sections of a slot's file: every sibling reads the summary at each step, a scrape reads the detail, and the
# leading worker, which judges the routes of all, reads the windows.
_SUMMARY, _DETAIL, _WINDOWS = range(3)
_Figures = TypeVar("_Figures", MemoryMetrics, WorkerSummary)
_OnUnreadable = Callable[[ValueError], object]


class WorkerSlot:
    """The slot of this process among the workers of its server.

    Args:
        address: the listening address, which all workers of the server have in common.
        run_dir: a folder to use instead of the usual ones.
        server: identifies this run of the server; ``None``: not known, so no predecessor is accepted.

    Raises:
        RunDirectoryError: there is no folder in which workers can find one another.

    Attributes:
        number: the slot: the smallest number that no live worker of the server holds.
        predecessor: the figures of the slot's last holder, if it was a worker of the same run of the server.
    """

    def __init__(self, address: str, run_dir: str | None = None, server: str | None = None) -> None:
        name = hashlib.sha256(f"{_network()}\n{address}".encode()).hexdigest()[:16]
        self._run_dir, self._server = run_dir, server
        self._settle(name)
        self._claimed = time.time()
        self._files: dict[str, SlotFile] = {}  # of the other workers, by path
        self._parsed: dict[tuple[str, int], tuple[int, object]] = {}

    def _settle(self, name: str, *, again: bool = True) -> None:
        """Take a number in the first folder that has room; another worker may take the room that was seen."""
        base = run_directory(self._run_dir, required=lambda folder: _required(folder / name))
        self._folder = base / name
        try:
            _clear_abandoned(base)
            self._claim()
        except OSError as error:
            if again and error.errno in _NO_ROOM:
                self._settle(name, again=False)
                return
            raise RunDirectoryError(f"{self._folder}: {error.strerror}; set run_dir to another folder") from error

    @property
    def folder(self) -> Path:
        """The folder that the server's workers share; the last worker to leave removes it."""
        return self._folder

    @property
    def shared(self) -> Path:
        """The folder of files about incidents; created with the first of them."""
        return self._folder / SHARED

    @property
    def timeline(self) -> Path:
        """The timeline file of this slot."""
        return self._folder / f"{self.number}{TIMELINE_SUFFIX}"

    @property
    def timelines(self) -> dict[str, Path]:
        """The timeline files of all slots, by worker, those of ended workers included."""
        found = (path for folder in self._folders() for path in sorted(folder.glob(f"*{TIMELINE_SUFFIX}")))
        named = {path.name.removesuffix(TIMELINE_SUFFIX): path for path in found}
        return {worker: path for worker, path in named.items() if _SLOT_NAME.fullmatch(worker)} | {
            str(self.number): self.timeline
        }

    @property
    def run(self) -> str:
        """The name of this run of the server; if it is not known, of this process."""
        return self._server or f"{os.getpid()} {self._claimed}"

    def publish(self, metrics: MemoryMetrics, windows: RouteWindows | None = None) -> None:
        """Publish figures for the other workers.

        Args:
            metrics: the figures.
            windows: route windows, for the leading worker.

        Raises:
            OSError: a part cannot be written, for example because the folder is full.
        """
        summary = _json(WorkerSummary.of(metrics).to_dict())
        detail = _json({"server": self._server, "metrics": metrics.to_dict()})
        try:
            self._own.write(summary, detail, b"" if windows is None else windows.pack())
        except OSError:
            # The reserved space suffices for the figures, not for the windows.
            self._own.write(summary, detail)
            raise

    def summaries(self, on_unreadable: _OnUnreadable = lambda _: None) -> list[WorkerSummary]:
        """The summaries of the other live workers, by slot: what a step needs of them.

        Args:
            on_unreadable: called for a file that cannot be read, once for each time that it was written.
        """
        return self._read_others(_SUMMARY, _summary, on_unreadable)

    def others(self, on_unreadable: _OnUnreadable = lambda _: None) -> list[MemoryMetrics]:
        """All figures of the other live workers, by slot; ``on_unreadable`` as for :meth:`summaries`."""
        return self._read_others(_DETAIL, _metrics, on_unreadable)

    def windows(self, worker: str) -> RouteWindows | None:
        """The route windows of a live worker; ``None`` if it has published none.

        Raises:
            ValueError: they cannot be read.
        """
        found = [SlotFile(folder / worker).read(_WINDOWS, live=True) for folder in self._folders()]
        return next((RouteWindows.unpack(data) for data in found if data), None)

    def leave(self, *, replaced: bool = False) -> None:
        """Release the slot. The last worker to leave removes the files, unless a successor will come."""
        self._own.release()
        # Release before the check: of workers that leave together, the last one finds no live file.
        if not replaced:
            _remove_if_dead(self._folders())

    def _claim(self) -> None:
        self.number = self._first_free()
        try:
            self._own.reserve()
            self.predecessor = self._take_over()
        except BaseException:
            self._own.release()  # else the number would be lost until the process ends
            raise

    def _first_free(self) -> int:
        while True:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                return next(number for number in range(_MAX_SLOTS) if self._try_number(number))
            except FileNotFoundError:
                continue  # the last worker of a server that ends has removed the folder
            except StopIteration:
                raise OSError(errno.EBUSY, f"all {_MAX_SLOTS} worker numbers are taken") from None

    def _folders(self) -> list[Path]:
        """The server's folders, the own one first: when one is full, later workers use another."""
        found = (base / self._folder.name for base in private_folders(self._run_dir))
        return [self._folder, *(folder for folder in found if folder != self._folder)]

    def _try_number(self, number: int) -> bool:
        self._own = SlotFile(self._folder / str(number))
        if self._is_held_elsewhere(number) or not self._own.acquire():
            return False
        if self._is_held_elsewhere(number):  # meanwhile: both workers see each other, and both go on
            self._own.release()
            return False
        return True

    def _is_held_elsewhere(self, number: int) -> bool:
        return any(SlotFile(folder / str(number)).is_live() for folder in self._folders()[1:])

    def _take_over(self) -> MemoryMetrics | None:
        """Take over the figures of the slot's last holder, and clear them: they must not show as a live worker's."""
        last = self._own.read(_DETAIL, live=False)
        predecessor = None
        for dead in (SlotFile(folder / str(self.number)) for folder in self._folders()[1:]):
            elsewhere = dead.read(_DETAIL, live=False)
            if elsewhere is not None:
                last = elsewhere  # this is the newer file: the other one is removed
                with contextlib.suppress(OSError):
                    dead.remove()
        if last and self._server is not None:
            with contextlib.suppress(ValueError):  # figures of another version are not taken over
                predecessor = _metrics(last, "metrics", self._server) or _metrics(last, "predecessor", self._server)
        left = predecessor and predecessor.to_dict()
        self._own.write(b"", _json({"server": self._server, "predecessor": left}))
        return predecessor

    def _read_others(
        self, section: int, read: Callable[[bytes], _Figures | None], on_unreadable: _OnUnreadable
    ) -> list[_Figures]:
        found = []
        own = str(self._own.path)
        for _, path in sorted((int(name), f"{folder}/{name}") for folder in self._folders() for name in _names(folder)):
            if path == own:
                continue
            file = self._files.get(path) or self._files.setdefault(path, SlotFile(Path(path)))
            try:
                figures = self._parse_once(path, file, section, read)
            except ValueError as error:  # the others are shown
                on_unreadable(error)
            else:
                if figures is not None:
                    found.append(figures)
        return found

    def _parse_once(
        self, path: str, file: SlotFile, section: int, read: Callable[[bytes], _Figures | None]
    ) -> _Figures | None:
        """The parsed figures of a worker; parsed again only when they changed, as scrapes may be more frequent."""
        content = file.read(section, live=True)
        if not content:
            return None
        checksum = zlib.crc32(content)
        known, figures = self._parsed.get((path, section), (None, None))
        if known == checksum:
            return cast("_Figures | None", figures)
        self._parsed[path, section] = checksum, None
        found = read(content)
        if found is not None and found.worker != file.path.name:
            raise ValueError("a worker's file bears another one's number")  # two workers would show under one number
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


def _required(folder: Path) -> int:
    """Free bytes that the next worker of a server needs: none where an ended one has left it the room of its files."""
    files = (SlotFile(folder / str(number)) for number in range(_MAX_SLOTS))
    free = next((file for file in files if not file.is_live()), None)
    return 0 if free is not None and free.is_reserved else REQUIRED_BYTES


def _names(folder: Path) -> list[str]:
    """The names of the slots' files in a folder."""
    try:
        return [name for name in os.listdir(folder) if _SLOT_NAME.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return []


def _clear_abandoned(base: Path) -> None:
    oldest = time.time() - _ABANDONED_SECONDS
    for folder in base.iterdir():
        with contextlib.suppress(OSError):  # another process removes it at the same time
            paths = [folder, *(folder / name for name in _names(folder))]
            if _SERVER_FOLDER.fullmatch(folder.name) and all(path.stat().st_mtime < oldest for path in paths):
                _remove_if_dead([folder])


def _remove_if_dead(folders: list[Path]) -> None:
    files = {folder: _files(folder) for folder in folders}
    if any(file.is_live() for found in files.values() for file in found):
        return
    for folder, found in files.items():
        with contextlib.suppress(OSError):  # another process removes or claims it at the same time
            for file in found:
                file.remove()
            for inner in (folder / FLAME, folder / SHARED):
                if inner.is_dir():  # of a pipe, it would wait for a writer
                    shutil.rmtree(inner, ignore_errors=True)
            for past in folder.glob(f"*{TIMELINE_SUFFIX}*"):
                past.unlink()
            folder.rmdir()


def _files(folder: Path) -> list[SlotFile]:
    return [SlotFile(folder / name) for name in _names(folder)]
