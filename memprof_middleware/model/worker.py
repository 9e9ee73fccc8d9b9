"""The report of one worker: all that a scrape, a page or a sink shows of it, and the summary for its siblings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from memprof_middleware.model.codec import Moment, SlotNumber, Value
from memprof_middleware.model.drift import DriftReport
from memprof_middleware.model.forecast import Forecast
from memprof_middleware.model.ignored import Acknowledged, Ignored
from memprof_middleware.model.leak import Leak, Resolved
from memprof_middleware.model.route import RouteGrowth, RouteLeak
from memprof_middleware.model.snapshot import MemorySnapshot
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, kw_only=True, slots=True)
class SinkHealth(Value):
    """Statistics of one worker's deliveries to another monitoring system.

    Attributes:
        name: the sink.
        delivered: figures and alerts that it took; for a sink that is read, how often it was read.
        dropped: figures that newer ones replaced before it took them, and alerts that it could not be given.
        failed: calls that raised.
        last_delivery: when it took something last, seconds since the epoch; ``None``: never in this process.
    """

    name: str
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    last_delivery: Moment | None = None


@valueclass(frozen=True, kw_only=True, slots=True)
class MemoryMetrics(Value):
    """The report of one process: the last snapshot and the results of its analysis.

    Attributes:
        worker: the label that tells this process from its siblings.
        pid: this process.
        start_time: when the profiler began to watch this process, seconds since the epoch.
        snapshot: the last snapshot; ``None`` before the first.
        leaks: open leaks.
        resolved: confirmed leaks that were over within the last hour.
        ignored: what is not reported, with the leaks that it would be.
        acknowledged: incidents that somebody knows of, quiet until their urgency rises.
        drift: distance from the baseline, where there is one.
        leak_detections: leaks called so far, by severity; one that gets worse counts again under its new severity.
        snapshots_taken: snapshots so far.
        requests: requests the host has answered so far.
        failures: failures inside the profiler so far, by kind.
        cpu_seconds: processor time that the profiler has used.
        censuses_taken: how often objects were counted so far.
        census_skipped: snapshots that went without a census, by reason.
        history_bytes: memory that the kept snapshots take.
        heap_start_mb: heap used when this process was first looked at, after its fork.
        baseline: what drift is measured against.
        in_flight: requests that had begun and not ended at the last snapshot.
        route_requests: requests answered so far, by route.
        route_growth: what requests keep, by route, over all workers; told by the worker with the lowest number.
        route_leaks: of these what the alert ``route_leak`` has reported and what is not over; ``None``: not judged yet.
        remedies: remedies that ran so far, by name.
        remedy_freed_mb: what they gave back, by name.
        recycles: workers of this server that retired so far; ``None``: recycling is off, or its file cannot be read.
        recycle_refusals: snapshots at which this worker was to retire and did not, by reason.
        answering: whether this is the worker that answers.
        forecast: what is left of the limits, and for how long; ``None`` before the first snapshot.
        sinks: how the deliveries to other monitoring systems go.
        evidence_refused: evidence files that were not written so far: two of their kind were within the hour.
    """

    worker: SlotNumber
    pid: int
    start_time: Moment
    snapshot: MemorySnapshot | None = None
    leaks: tuple[Leak, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()
    drift: DriftReport | None = None
    leak_detections: Mapping[str, int] = dataclasses.field(default_factory=dict)
    snapshots_taken: int = 0
    requests: int = 0
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cpu_seconds: float = 0.0
    censuses_taken: int = 0
    census_skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    history_bytes: int = 0
    heap_start_mb: float | None = None
    baseline: MemorySnapshot | None = None
    in_flight: int = 0
    route_requests: Mapping[str, int] = dataclasses.field(default_factory=dict)
    route_growth: tuple[RouteGrowth, ...] = ()
    route_leaks: tuple[RouteLeak, ...] | None = None
    remedies: Mapping[str, int] = dataclasses.field(default_factory=dict)
    remedy_freed_mb: Mapping[str, float] = dataclasses.field(default_factory=dict)
    recycles: int | None = None
    recycle_refusals: Mapping[str, int] = dataclasses.field(default_factory=dict)
    answering: bool = False
    forecast: Forecast | None = None
    sinks: tuple[SinkHealth, ...] = ()
    evidence_refused: int = 0


# What a snapshot tells of a limit that is shared.
_OF_MEMORY = (
    "timestamp",
    "pid",
    "heap_size_mb",
    "heap_size_source",
    "heap_used_mb",
    "proportional_mb",
    "container_used_mb",
    "container_size_mb",
)


@valueclass(frozen=True, kw_only=True, slots=True)
class WorkerSummary(Value):
    """What the other workers need of one with every step.

    Attributes:
        worker: its slot.
        pid: its process.
        snapshot: its last snapshot, of which only what is about memory is told.
        leaks: its open leaks, and when each was first suspected.
        forecast: of the worker with the lowest number, which tells the past of what is shared.
        confirmed: whether a leak is confirmed in it.
        route_leaks: as in :class:`MemoryMetrics`.
    """

    worker: SlotNumber
    pid: int
    snapshot: MemorySnapshot | None = None
    leaks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    forecast: Forecast | None = None
    confirmed: bool = False
    route_leaks: tuple[RouteLeak, ...] | None = None

    @classmethod
    def of(cls, metrics: MemoryMetrics) -> WorkerSummary:
        """From all that a worker tells."""
        told = metrics.forecast if metrics.forecast is not None and metrics.forecast.shared_past else None
        return cls(
            worker=metrics.worker,
            pid=metrics.pid,
            snapshot=metrics.snapshot,
            leaks={leak.name: leak.detected_at for leak in metrics.leaks},
            forecast=told,
            confirmed=any(leak.state == "confirmed" for leak in metrics.leaks),
            route_leaks=metrics.route_leaks,
        )

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON-ready types, as short as can be: it is read by every sibling with every step."""
        found = Value.to_dict(dataclasses.replace(self, snapshot=None))
        if self.snapshot is not None:
            found["snapshot"] = {name: getattr(self.snapshot, name) for name in _OF_MEMORY}
        return found
