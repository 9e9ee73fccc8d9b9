"""Metrics of what workers have, what they share, and how near they are to their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memprof_middleware.analysis.sharing import SharedMemory, shared_memory
from memprof_middleware.metrics.spec import (
    ALL,
    MetricSpec,
    Sample,
    Samples,
    Workers,
    each,
    in_bytes,
    of_all,
    of_snapshot,
)
from memprof_middleware.model import MB, MemoryMetrics, Outlook


def _shared(value: Callable[[SharedMemory], float | None]) -> Samples:
    def sample(workers: Workers) -> float | None:
        shared = shared_memory([worker.snapshot for worker in workers if worker.snapshot])
        return None if shared is None else value(shared)

    return of_all(sample)


def _outlook(value: Callable[[Outlook], float | None]) -> Samples:
    """Of each worker's own limit, and of the shared one by the first worker that knows it."""

    def samples(workers: Workers) -> Iterator[Sample]:
        known = [(worker.worker, worker.forecast) for worker in workers if worker.forecast]
        yield from (((worker,), value(told.worker)) for worker, told in known if told.worker)
        yield from [((ALL,), value(told.shared)) for _, told in known if told.shared][:1]

    return samples


def _growth(worker: MemoryMetrics) -> float | None:
    # Of anonymous memory, not of private: a page that is copied on write was anonymous before, and private only now.
    now = None if worker.snapshot is None else worker.snapshot.heap_used_mb
    return None if now is None or worker.heap_start_mb is None else (now - worker.heap_start_mb) * MB


WORKERS: tuple[MetricSpec, ...] = (
    MetricSpec("memory_workers", "gauge", "Live workers of this server.", of_all(len)),
    MetricSpec(
        "memory_worker_answered",
        "gauge",
        "1 for the worker that answered this scrape, 0 for the others.",
        each(lambda m: int(m.answering)),
    ),
    MetricSpec(
        "memory_worker_start_time_seconds",
        "gauge",
        "Start of the worker, in seconds since the epoch.",
        each(lambda m: m.start_time),
    ),
    # A value and no label: a label would be a new series for each worker that is restarted.
    MetricSpec(
        "memory_worker_pid",
        "gauge",
        "Process id of the worker, in the process namespace of its container.",
        each(lambda m: m.pid),
    ),
    MetricSpec(
        "memory_private_bytes",
        "gauge",
        "Memory that only this worker maps (USS), in bytes, at most one minute old.",
        of_snapshot(lambda s: in_bytes(s.private_mb)),
    ),
    MetricSpec(
        "memory_worker_growth_bytes",
        "gauge",
        "Memory in use minus its value after the fork, in bytes.",
        each(_growth),
    ),
    MetricSpec(
        "memory_proportional_bytes",
        "gauge",
        "Memory with shared pages divided among the workers that map them (PSS), in bytes.",
        of_snapshot(lambda s: in_bytes(s.proportional_mb)),
    ),
)
LIMITS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_shared_limit_bytes",
        "gauge",
        "Memory limit that all workers share, in bytes: of the container, else of the machine.",
        _shared(lambda shared: in_bytes(shared.size_mb)),
    ),
    MetricSpec(
        "memory_shared_used_bytes",
        "gauge",
        "Memory in use by all workers together, in bytes: working set of the container, else the sum of the workers.",
        _shared(lambda shared: shared.used_mb * MB),
    ),
    MetricSpec(
        "memory_shared_percent",
        "gauge",
        "Memory in use by all workers together, in percent of the shared limit.",
        _shared(lambda shared: shared.percent),
    ),
    MetricSpec(
        "memory_headroom_bytes",
        "gauge",
        'Limit minus memory in use, in bytes. `worker="all"`: of the shared limit.',
        _outlook(lambda outlook: in_bytes(outlook.headroom_mb)),
    ),
    MetricSpec(
        "memory_time_to_limit_low_seconds",
        "gauge",
        "Earliest time to the limit, in seconds. Absent if memory does not grow steadily.",
        _outlook(lambda outlook: outlook.low_seconds),
    ),
    MetricSpec(
        "memory_time_to_limit_high_seconds",
        "gauge",
        "Latest time to the limit, in seconds. Absent if memory does not grow steadily.",
        _outlook(lambda outlook: outlook.high_seconds),
    ),
    MetricSpec(
        "memory_novelty",
        "gauge",
        "Memory in use above the maximum of the last 24 h, in units of its usual variation. Above 2 is unusual.",
        _outlook(lambda outlook: outlook.novelty),
    ),
)
