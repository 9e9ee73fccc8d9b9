"""The last hours of this worker and its siblings: written with each step, read by the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from memprof_middleware.workers.timeline import TYPES, read, record
from memprof_middleware.workers.track import Track, row_of, track_of

if TYPE_CHECKING:
    from pathlib import Path

    from memprof_middleware.analysis.history import History
    from memprof_middleware.failures import Failures
    from memprof_middleware.model import MemoryMetrics
    from memprof_middleware.workers.group import WorkerGroup

Detail = Callable[[str], Track | None]


class Pasts:
    """The pasts of one server's workers. Holds nothing of its own: they are in the files and in the history.

    Args:
        group: knows where the files are; a process that is alone has none and shows its history.
        history: the snapshots of this process.
        failures: where a past that cannot be read is counted; the others are shown.
    """

    def __init__(self, group: WorkerGroup, history: History, failures: Failures) -> None:
        self._group, self._history, self._failures = group, history, failures

    def keep(self, metrics: MemoryMetrics | None) -> None:
        """Add what was published last to this worker's past.

        Raises:
            OSError: the file cannot be written.
        """
        slot = self._group.slot
        if slot is not None and metrics is not None and metrics.snapshot is not None:
            record(slot.past, slot.run, row_of(metrics), followed(metrics), self._history)

    def read(self, own: MemoryMetrics, columns: tuple[str, ...]) -> tuple[Mapping[str, Track], Detail]:
        """These figures of every worker, those included that have ended; and what gives all of one worker's.

        Args:
            own: the figures of the process that asks.
            columns: names as in :data:`~memprof_middleware.workers.track.COLUMNS`.
        """
        slot = self._group.slot
        files = {} if slot is None else slot.pasts
        found = {worker: self._past(path, columns) for worker, path in files.items()}
        tracks = {worker: track for worker, track in found.items() if track is not None and track.times}
        alone = None if own.worker in tracks else track_of(self._history, own, followed(own))
        if alone is not None:
            tracks[own.worker] = alone

        def detail(worker: str) -> Track | None:
            if alone is not None and worker == alone.worker:
                return alone
            return self._past(files[worker]) if worker in files else None

        return tracks, detail

    def _past(self, path: Path, columns: tuple[str, ...] | None = None) -> Track | None:
        try:
            return read(path, columns)
        except ValueError as error:
            self._failures.record("read_timeline", error)
            return None


def followed(metrics: MemoryMetrics) -> list[str]:
    """The types whose past is kept: those that leak, then the most numerous."""
    leaking = [leak.name for leak in metrics.leaks if leak.kind == "objects"]
    counted = list(metrics.snapshot.object_counts) if metrics.snapshot else []
    return list(dict.fromkeys([*leaking, *counted]))[:TYPES]
