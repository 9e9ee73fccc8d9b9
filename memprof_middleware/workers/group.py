"""The group of workers of one server: join it, publish figures, read those of the others."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from memprof_middleware.errors import RunDirectoryError
from memprof_middleware.failures import Failures
from memprof_middleware.forks import at_exit, not_at_exit
from memprof_middleware.model import MemoryMetrics, RouteWindows, WorkerSummary
from memprof_middleware.probes.replacement import will_be_replaced

if TYPE_CHECKING:
    from pathlib import Path

    from memprof_middleware.probes import Listener
    from memprof_middleware.workers.slot import WorkerSlot

# Seconds until the next attempt after no folder was found, for example because the disk is full.
_RETRY_SECONDS = 60.0
_Figures = TypeVar("_Figures", MemoryMetrics, WorkerSummary)


def load_slots() -> None:
    """Import what a worker needs once its server listens: no request is to wait for that."""
    with contextlib.suppress(ImportError):  # on Windows there is no fcntl
        import_module("memprof_middleware.workers.slot")


class WorkerGroup:
    """This process and its siblings. Alone until the listening address of the server is known.

    Args:
        listener: finds the listening address of the server; ``None`` before it listens.
        run_dir: a folder to use instead of the usual ones.
        failures: where a failure to join or to publish is counted.
        replaced: whether the server will replace this worker, called when it leaves.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        listener: Callable[[], Listener | None],
        run_dir: str | None,
        failures: Failures,
        replaced: Callable[[Listener], bool] = will_be_replaced,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener, self._run_dir, self._failures, self._replaced = listener, run_dir, failures, replaced
        self._clock = clock
        self._found: Listener | None = None
        self._slot: WorkerSlot | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._retry_at = -math.inf

    @property
    def worker(self) -> str:
        """The label of this worker: its slot; ``0`` while alone."""
        return "0" if self._slot is None else str(self._slot.number)

    @property
    def settled(self) -> bool:
        """Whether this process has a slot, or does not look for one at present."""
        return self._slot is not None or self._closed or self._clock() < self._retry_at

    @property
    def slot(self) -> WorkerSlot | None:
        """The slot; ``None`` while alone."""
        return self._slot

    @property
    def folder(self) -> Path | None:
        """The folder of the workers' files; ``None`` while alone."""
        slot = self._slot
        return None if slot is None else slot.folder

    @property
    def shared_folder(self) -> Path | None:
        """The folder of files that all workers write; ``None`` while alone."""
        slot = self._slot
        return None if slot is None else slot.shared

    @property
    def run(self) -> str:
        """The name of this run of the server; while alone, of this process."""
        slot = self._slot
        return str(os.getpid()) if slot is None else slot.run

    def join(self) -> MemoryMetrics | None:
        """Take a slot, once the server listens. Returns the predecessor's figures, if there was one."""
        with self._lock:
            if self.settled:
                return None
            with self._failures.caught("probe_listener"):
                found = self._listener()
                if found is None:
                    return None
                self._found = found
                try:
                    from memprof_middleware.workers.slot import WorkerSlot

                    self._slot = WorkerSlot(found.address, self._run_dir, found.server)
                except (RunDirectoryError, ImportError) as error:
                    # A disk that is full will have room again; on Windows there never is an fcntl.
                    passing = isinstance(error, RunDirectoryError)
                    self._retry_at = self._clock() + _RETRY_SECONDS if passing else math.inf
                    self._failures.record("run_directory", error)
                else:
                    at_exit(self.leave)
                    return self._slot.predecessor
        return None

    def publish(self, metrics: MemoryMetrics, windows: Callable[[], RouteWindows] | None = None) -> None:
        """Publish figures for the other workers, and route windows for the leading one."""
        slot = self._slot
        if slot is not None:
            with self._failures.caught("publish"):
                slot.publish(metrics, None if windows is None else windows())

    def siblings(self, own_pid: int) -> list[WorkerSummary]:
        """Summaries of the other live workers, by slot: one small read each; see :meth:`others`."""
        slot, found = self._slot, list[WorkerSummary]()
        if slot is not None:
            with self._failures.caught("read_workers"):
                found = slot.summaries(self._record_unreadable)
        return _one_per_process(found, own_pid)

    def others(self, own_pid: int) -> list[MemoryMetrics]:
        """All figures of the other live workers, by slot; one entry for a process with several profilers."""
        slot, found = self._slot, list[MemoryMetrics]()
        if slot is not None:
            with self._failures.caught("read_workers"):
                found = slot.others(self._record_unreadable)
        return _one_per_process(found, own_pid)

    def windows(self, worker: str) -> RouteWindows | None:
        """The route windows that a worker has published for the leading worker; ``None``: it has published none."""
        slot = self._slot
        if slot is not None:
            with self._failures.caught("read_workers"):
                return slot.windows(worker)
        return None

    def workers(self, own: MemoryMetrics) -> list[MemoryMetrics]:
        """These figures and those of the other live workers, by slot."""
        found = [dataclasses.replace(own, answering=True), *self.others(own.pid)]
        return sorted(found, key=lambda metrics: int(metrics.worker))

    def leave(self) -> None:
        """Release the slot, and take none until :meth:`open`."""
        with self._lock:
            self._closed = True
            slot, self._slot = self._slot, None
            if slot is not None:
                not_at_exit(self.leave)
                with self._failures.caught("leave"):
                    slot.leave(replaced=self._found is not None and self._replaced(self._found))

    def _record_unreadable(self, error: ValueError) -> None:
        self._failures.record("read_workers", error)

    def open(self) -> None:
        """Allow a slot again after :meth:`leave`."""
        with self._lock:
            self._closed = False


def _one_per_process(found: Iterable[_Figures], own_pid: int) -> list[_Figures]:
    """One entry for each other process: several profilers of a process must not count its memory twice."""
    first_of: dict[int, _Figures] = {}
    for figures in found:
        if figures.pid != own_pid:
            first_of.setdefault(figures.pid, figures)
    return list(first_of.values())
