"""The timelines of this worker and its siblings: written at each step, read by the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from memprof_middleware.workers.timeline import Timeline, row_of, timeline_of
from memprof_middleware.workers.timeline_file import TYPES, read, record

if TYPE_CHECKING:
    from pathlib import Path

    from memprof_middleware.analysis.history import History
    from memprof_middleware.failures import Failures
    from memprof_middleware.model import MemoryMetrics
    from memprof_middleware.workers.group import WorkerGroup

Detail = Callable[[str], Timeline | None]


class Timelines:
    """The timelines of one server's workers, in files; those of a process that is alone, in its history.

    Args:
        group: the workers, with their files.
        history: the snapshots of this process.
        failures: where an unreadable timeline is counted; the others are shown.
    """

    def __init__(self, group: WorkerGroup, history: History, failures: Failures) -> None:
        self._group, self._history, self._failures = group, history, failures

    def append(self, metrics: MemoryMetrics | None) -> None:
        """Add the published figures to this worker's timeline.

        Raises:
            OSError: the file cannot be written.
        """
        slot = self._group.slot
        if slot is not None and metrics is not None and metrics.snapshot is not None:
            try:
                record(slot.timeline, slot.run, row_of(metrics), followed(metrics), self._history)
            except FileNotFoundError:
                if self._group.slot is slot:
                    raise  # else the worker has left in the middle of its last step, and the folder with it

    def read(self, own: MemoryMetrics, columns: tuple[str, ...]) -> tuple[Mapping[str, Timeline], Detail]:
        """Some figures of every worker, ended ones included; and a function that returns all figures of one.

        Args:
            own: the figures of this process.
            columns: names as in :data:`~memprof_middleware.workers.timeline.COLUMNS`.
        """
        slot = self._group.slot
        files = {} if slot is None else slot.timelines
        found = {worker: self._read(path, columns) for worker, path in files.items()}
        timelines = {worker: timeline for worker, timeline in found.items() if timeline is not None and timeline.times}
        alone = None if own.worker in timelines else timeline_of(self._history, own, followed(own))
        if alone is not None:
            timelines[own.worker] = alone

        def detail(worker: str) -> Timeline | None:
            if alone is not None and worker == alone.worker:
                return alone
            return self._read(files[worker]) if worker in files else None

        return timelines, detail

    def _read(self, path: Path, columns: tuple[str, ...] | None = None) -> Timeline | None:
        try:
            return read(path, columns)
        except ValueError as error:
            self._failures.record("read_timeline", error)
            return None


def followed(metrics: MemoryMetrics) -> list[str]:
    """The types in the timeline: those that leak, then the most numerous."""
    leaking = [leak.name for leak in metrics.leaks if leak.kind == "objects"]
    counted = list(metrics.snapshot.object_counts) if metrics.snapshot else []
    return list(dict.fromkeys([*leaking, *counted]))[:TYPES]
