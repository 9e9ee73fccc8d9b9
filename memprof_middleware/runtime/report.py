"""The figures of one process, from all parts of its monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memprof_middleware.model import MemoryMetrics

if TYPE_CHECKING:
    from memprof_middleware.runtime.monitor import ProcessMonitor


def figures_of(monitor: ProcessMonitor) -> MemoryMetrics:
    """The figures of this process as of the last snapshot; measures nothing."""
    return MemoryMetrics(
        worker=monitor.worker,
        pid=monitor.pid,
        start_time=monitor.start_time,
        snapshot=monitor.snapshots.last,
        leaks=monitor.evaluator.leaks,
        resolved=monitor.features.leaks.resolved(),
        ignored=monitor.features.triage.ignored(monitor.features.leaks.leaks),
        acknowledged=monitor.features.triage.acknowledged,
        drift=monitor.snapshots.drift,
        leak_detections=dict(monitor.features.leaks.detections),
        snapshots_taken=monitor.snapshots.history.seen,
        requests=monitor.traffic.total,
        failures=dict(monitor.failures.counts),
        cpu_seconds=monitor.budget.cpu_seconds,
        censuses_taken=monitor.count_policy.censuses,
        census_skipped=dict(monitor.count_policy.skipped),
        history_bytes=monitor.snapshots.history.nbytes,
        heap_start_mb=monitor.snapshots.heap_start_mb,
        baseline=monitor.snapshots.baseline,
        in_flight=monitor.traffic.in_flight,
        route_requests=monitor.traffic.read()[0],
        route_growth=monitor.features.routes.growth,
        route_leaks=monitor.evaluator.route_leaks,
        forecast=monitor.features.capacity.forecast,
        sinks=monitor.sinks.health(),
        evidence_refused=monitor.evidence_writer.watch.refused,
        **monitor.recycler.figures(),
    )


def statistics_of(monitor: ProcessMonitor) -> dict[str, Any]:
    """The monitor's own state, as JSON-ready types."""
    durations = monitor.snapshots.history.series("duration_seconds")
    return {
        "running": monitor.schedule.sampler.running,
        "pid": monitor.pid,
        "worker": monitor.worker,
        "interval_seconds": monitor.config.interval,
        "start_time": monitor.start_time,
        "snapshots_taken": monitor.snapshots.history.seen,
        "snapshots_kept": len(monitor.snapshots.history),
        "snapshot_seconds_mean": sum(durations) / len(durations) if durations else None,
        "snapshot_seconds_max": max(durations, default=None),
        "cpu_seconds": monitor.budget.cpu_seconds,
        "requests": monitor.traffic.total,
        "active_leaks": sum(leak.notable for leak in monitor.evaluator.leaks),
        "active_alerts": [alert.name for alert in monitor.alerts],
        "leak_detections": dict(monitor.features.leaks.detections),
        "failures": dict(monitor.failures.counts),
        **monitor.features.tuner.statistics(),
    }
