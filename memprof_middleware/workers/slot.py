"""Worker slots: every worker publishes its figures in a file, so that whichever is scraped can show all of them."""

from __future__ import annotations

import contextlib
import dataclasses
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

from memprof_middleware.errors import RunDirectoryError
from memprof_middleware.model import MemoryMetrics
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.workers.locked_file import SlotFile
from memprof_middleware.workers.run_directory import FLAME, PAST, private_folders, run_directory

_MOST_SLOTS = 1024
# A server that was killed leaves at most a file for each of its workers; the next one to start clears them away.
_ABANDONED_SECONDS = 3600
_OURS = re.compile(r"[0-9a-f]{16}")
_SLOT = re.compile(r"[0-9]{1,9}")


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
        self._parsed: dict[Path, tuple[int, MemoryMetrics | None]] = {}

    @property
    def folder(self) -> Path:
        """What the server's workers share; the last one to leave takes it along."""
        return self._folder

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

    def publish(self, metrics: MemoryMetrics) -> None:
        """Let the other workers see these figures.

        Raises:
            OSError: not all of it can be written, for example because the folder is full.
        """
        try:
            self._write(metrics, "metrics")
        except OSError:
            # There is the room that was reserved: for the figures, though not for what the others reckon with.
            self._write(dataclasses.replace(metrics, route_windows=None), "metrics")
            raise

    def others(self, unreadable: Callable[[ValueError], object] = lambda _: None) -> list[MemoryMetrics]:
        """What the other live workers of the server published last, by slot.

        Args:
            unreadable: hears of a file that says nothing to us, once for each time that it was written.
        """
        files = (file for folder in self._folders() for file in _files(folder) if file.path != self._own.path)
        found = []
        for file in sorted(files, key=lambda file: int(file.path.name)):
            try:
                metrics = self._remembered(file)
            except ValueError as error:  # the others are shown
                unreadable(error)
            else:
                if metrics is not None:
                    found.append(metrics)
        return found

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
                raise OSError(errno.EBUSY, f"all {_MOST_SLOTS} slots are taken") from None

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
        last = self._own.read(live=False)
        predecessor = None
        for dead in (SlotFile(folder / str(self.number)) for folder in self._folders()[1:]):
            elsewhere = dead.read(live=False)
            if elsewhere is not None:
                last = elsewhere  # and the newer one, since of two files of a slot the other is removed
                with contextlib.suppress(OSError):
                    dead.remove()
        if last and self._server is not None:
            with contextlib.suppress(ValueError):  # there is nothing to be taken over from another version
                predecessor = _metrics(last, "metrics", self._server) or _metrics(last, "predecessor", self._server)
        self._write(predecessor, "predecessor")
        return predecessor

    def _write(self, metrics: MemoryMetrics | None, role: str) -> None:
        data = {"server": self._server, role: metrics and metrics.to_dict()}
        self._own.write(json.dumps(data, separators=(",", ":")).encode())

    def _remembered(self, file: SlotFile) -> MemoryMetrics | None:
        """A worker publishes once an interval and may be scraped more often: read again only what is new."""
        payload = file.read(live=True)
        if not payload:
            return None
        checksum = zlib.crc32(payload)
        if self._parsed.get(file.path, (None,))[0] != checksum:
            self._parsed[file.path] = checksum, None
            metrics = _metrics(payload, "metrics")
            if metrics is not None and metrics.worker != file.path.name:
                raise ValueError("a worker's file bears another one's number")  # and would show as a second of it
            self._parsed[file.path] = checksum, metrics
        return self._parsed[file.path][1]


def _metrics(payload: bytes, role: str, server: str | None = None) -> MemoryMetrics | None:
    """The figures in a slot's file; ``None`` if it has none in that role, or those of another server.

    Raises:
        ValueError: it was not written by this version, or is damaged.
    """
    data = parsed_object(payload)
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


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if _SLOT.fullmatch(name))  # noqa: PTH208
    except OSError:
        return []


def _clear_abandoned(base: Path) -> None:
    oldest = time.time() - _ABANDONED_SECONDS
    for folder in base.iterdir():
        with contextlib.suppress(OSError):  # somebody else clears at the same time
            paths = [folder, *(folder / str(number) for number in _numbers(folder))]
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
            shutil.rmtree(folder / FLAME, ignore_errors=True)
            for past in folder.glob(f"*{PAST}*"):
                past.unlink()
            folder.rmdir()


def _files(folder: Path) -> list[SlotFile]:
    return [SlotFile(folder / str(number)) for number in _numbers(folder)]
