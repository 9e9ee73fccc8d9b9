"""Metrics of the profiler itself: its snapshots, its cost, its failures, and what it is made of."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from memprof_middleware.metrics.spec import MetricSpec, Sample, Workers, each, labelled, of_snapshot
from memprof_middleware.text.version import package_version


def _versions(workers: Workers) -> Iterator[Sample]:
    versions = (package_version(), platform.python_version(), platform.python_implementation())
    return (((worker.worker, *versions), 1) for worker in workers)


def _census_kind(workers: Workers) -> Iterator[Sample]:
    kinds = ((worker.worker, worker.snapshot.census_kind) for worker in workers if worker.snapshot)
    return ((labels, 1) for labels in kinds if labels[1])


SNAPSHOTS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_snapshot_timestamp_seconds",
        "gauge",
        "Time of the last snapshot, in seconds since the epoch.",
        of_snapshot(lambda s: s.timestamp),
    ),
    MetricSpec(
        "memory_snapshot_duration_seconds",
        "gauge",
        "Duration of the last snapshot, in seconds.",
        of_snapshot(lambda s: s.duration_seconds),
    ),
    MetricSpec("memory_snapshots_total", "counter", "Snapshots taken.", each(lambda m: m.snapshots_taken)),
    MetricSpec(
        "memory_profiler_cpu_seconds_total",
        "counter",
        "CPU time used by the profiler, in seconds.",
        each(lambda m: m.cpu_seconds),
    ),
    MetricSpec(
        "memory_history_bytes",
        "gauge",
        "Memory used by the history of snapshots, in bytes.",
        each(lambda m: m.history_bytes),
    ),
    MetricSpec(
        "memory_profiler_failures_total",
        "counter",
        "Internal errors of the profiler, by kind.",
        labelled(lambda m: m.failures),
        ("kind",),
    ),
)
COUNTS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_census_seconds",
        "gauge",
        "Duration of the last object count, in seconds.",
        of_snapshot(lambda s: s.census_seconds),
    ),
    MetricSpec(
        "memory_census_cpu_seconds",
        "gauge",
        "CPU time of the last object count, in seconds.",
        of_snapshot(lambda s: s.census_cpu_seconds),
    ),
    MetricSpec(
        "memory_census_stall_seconds",
        "gauge",
        "Longest pause of other threads during the last object count, in seconds.",
        of_snapshot(lambda s: s.census_stall_seconds),
    ),
    MetricSpec(
        "memory_census_timestamp_seconds",
        "gauge",
        "Time of the last object count, in seconds since the epoch.",
        of_snapshot(lambda s: s.census_timestamp),
    ),
    MetricSpec(
        "memory_census_age_seconds",
        "gauge",
        "Age of the last object count at the last snapshot, in seconds.",
        of_snapshot(lambda s: s.census_age_seconds),
    ),
    MetricSpec("memory_censuses_total", "counter", "Object counts.", each(lambda m: m.censuses_taken)),
    MetricSpec(
        "memory_census_sampling_ratio",
        "gauge",
        "Share of the objects that the last object count looked at. 1 is exact.",
        of_snapshot(lambda s: 1 / s.census_stride),
    ),
    MetricSpec(
        "memory_census_skipped_total",
        "counter",
        "Object counts skipped because of the CPU budget or the pause limit, by reason.",
        labelled(lambda m: {reason: m.census_skipped.get(reason, 0) for reason in ("budget", "stall")}),
        ("reason",),
    ),
    MetricSpec(
        "memory_census_info",
        "info",
        "Implementation of the object count: compiled (the extra `fast`) or pure.",
        _census_kind,
        ("kind",),
    ),
)
VERSIONS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_profiler_info",
        "info",
        "Versions of the profiler and of Python.",
        _versions,
        ("version", "python_version", "implementation"),
    ),
)
