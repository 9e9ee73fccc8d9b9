"""The timeline of one worker: its figures over the last hours, oldest first."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memprof_middleware.model.value import valueclass

if TYPE_CHECKING:
    from memprof_middleware.analysis.history import History
    from memprof_middleware.model import MemoryMetrics

OF_SNAPSHOT = (
    "rss_mb",
    "heap_used_mb",
    "heap_size_mb",
    "container_used_mb",
    "native_in_use_mb",
    "native_retained_mb",
    "file_mb",
    "shared_mb",
    "total_objects",
    "allocated_blocks",
    "gc_per_hour",
    "gc_pause_seconds",
)
OF_WORKER = ("pid", "requests", "cpu_seconds")
COLUMNS = (*OF_WORKER, *OF_SNAPSHOT)


@valueclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The figures of a slot over time. Unknown values are ``nan``; a change of ``pid`` is a new worker.

    Attributes:
        worker: the slot.
        times: seconds since the epoch.
        figures: by the names in ``COLUMNS``.
        types: live objects of the types that were followed.
    """

    worker: str
    times: array[float]
    figures: Mapping[str, array[float]]
    types: Mapping[str, array[float]] = dataclasses.field(default_factory=dict)

    def figure(self, name: str) -> array[float]:
        """One figure of every row."""
        return self.figures.get(name) or array("f", [float("nan")]) * len(self.times)


def row_of(metrics: MemoryMetrics) -> dict[str, Any]:
    """The row of a timeline for these figures."""
    snapshot = metrics.snapshot
    row: dict[str, Any] = {name: getattr(snapshot, name, None) for name in OF_SNAPSHOT}
    row |= {name: getattr(metrics, name) for name in OF_WORKER}
    return row | {
        "time": snapshot and snapshot.timestamp,
        "counted": snapshot is not None and snapshot.census_timestamp == snapshot.timestamp,
    }


def timeline_of(history: History, metrics: MemoryMetrics, types: list[str]) -> Timeline:
    """The timeline of a process that is alone, from its own history."""
    figures = {name: array("f", history.series(name)) for name in OF_SNAPSHOT if _is_kept(history, name)}
    figures["pid"] = array("f", [metrics.pid]) * len(history)
    return Timeline(
        worker=metrics.worker,
        times=array("d", history.series("timestamp")),
        figures=figures,
        types={name: array("f", history.counts(name)) for name in types},
    )


def _is_kept(history: History, name: str) -> bool:
    try:
        history.series(name)
    except KeyError:
        return False
    return True
