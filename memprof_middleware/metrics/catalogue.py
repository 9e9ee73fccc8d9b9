"""The catalogue: every metric, its type, help, labels and where its samples come from. No other place names one."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from memprof_middleware.analysis.sharing import SharedMemory, shared_memory
from memprof_middleware.model import MB, SEVERITIES, MemoryMetrics, MemorySnapshot, Outlook
from memprof_middleware.model.value import valueclass
from memprof_middleware.routes.growth import group_growth
from memprof_middleware.text.version import package_version

# Label values of one sample, the worker first, and its number; ``None``: not measured, left out.
Sample = tuple[tuple[str, ...], float | None]
Workers = Sequence[MemoryMetrics]
# What stands in the place of the worker where a figure is about all of them.
ALL = "all"
# One leak shows as a handful of types; a scrape must not grow with a program that makes classes as it runs.
_MOST_LEAKS = 20


@valueclass(frozen=True)
class MetricSpec:
    """One metric of the catalogue.

    Attributes:
        name: without the namespace; a counter's ends in ``_total``.
        kind: ``gauge``, ``counter`` or ``info``.
        help: one sentence, with the unit.
        labels: beside ``worker``, which every sample carries.
        samples: from the figures of all workers to the samples.
    """

    name: str
    kind: str
    help: str
    samples: Callable[[Workers], Iterable[Sample]]
    labels: tuple[str, ...] = ()


def _each(value: Callable[[MemoryMetrics], float | None]) -> Callable[[Workers], Iterator[Sample]]:
    return lambda workers: (((worker.worker,), value(worker)) for worker in workers)


def _snapshot(value: Callable[[MemorySnapshot], float | None]) -> Callable[[Workers], Iterator[Sample]]:
    return _each(lambda worker: None if worker.snapshot is None else value(worker.snapshot))


def _labelled(values: Callable[[MemoryMetrics], Mapping[str, float]]) -> Callable[[Workers], Iterator[Sample]]:
    return lambda workers: (
        ((worker.worker, label), number) for worker in workers for label, number in values(worker).items()
    )


def _all(value: Callable[[Workers], float | None]) -> Callable[[Workers], list[Sample]]:
    return lambda workers: [((ALL,), value(workers))] if workers else []


def _collections(generation: int) -> Callable[[Workers], Iterator[Sample]]:
    return _snapshot(lambda s: s.gc_collections[generation])


def _collections_by_generation(worker: MemoryMetrics) -> dict[str, float]:
    found = () if worker.snapshot is None else worker.snapshot.gc_collections
    return {str(generation): number for generation, number in enumerate(found)}


def _bytes(mb: float | None) -> float | None:
    return None if mb is None else mb * MB


def _shared(value: Callable[[SharedMemory], float | None]) -> Callable[[Workers], list[Sample]]:
    def sample(workers: Workers) -> float | None:
        shared = shared_memory([worker.snapshot for worker in workers if worker.snapshot])
        return None if shared is None else value(shared)

    return _all(sample)


def _outlook(value: Callable[[Outlook], float | None]) -> Callable[[Workers], Iterator[Sample]]:
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


def _route_growth(unit: str) -> Callable[[Workers], Iterator[Sample]]:
    """One figure for all workers, and one for a worker that differs; none for routes that cannot be told apart."""
    return lambda workers: (
        ((growth.worker or ALL, growth.route), growth.per_request.value)
        for growth in group_growth(workers)
        if growth.unit == unit and growth.identified
    )


def _info(workers: Workers) -> Iterator[Sample]:
    versions = (package_version(), platform.python_version(), platform.python_implementation())
    return (((worker.worker, *versions), 1) for worker in workers)


def _census_info(workers: Workers) -> Iterator[Sample]:
    kinds = ((worker.worker, worker.snapshot.census_kind) for worker in workers if worker.snapshot)
    return ((labels, 1) for labels in kinds if labels[1])


def _leaking_objects(workers: Workers) -> Iterator[Sample]:
    for worker in workers:
        worst = sorted(worker.leaks, key=lambda leak: (leak.state != "confirmed", -SEVERITIES.index(leak.severity)))[
            :_MOST_LEAKS
        ]
        yield from (((worker.worker, leak.name, leak.severity, leak.state), leak.last) for leak in worst)


CATALOGUE: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_heap_size_mb",
        "gauge",
        "Memory this process may use, in MB (2^20 bytes).",
        _snapshot(lambda s: s.heap_size_mb),
    ),
    MetricSpec(
        "memory_heap_used_mb",
        "gauge",
        "Anonymous resident memory, in MB.",
        _snapshot(lambda s: s.heap_used_mb),
    ),
    MetricSpec(
        "memory_heap_percent",
        "gauge",
        "Heap used in percent of the heap size.",
        _snapshot(lambda s: s.heap_percent),
    ),
    MetricSpec(
        "memory_total_objects",
        "gauge",
        "Live objects that the garbage collector tracks.",
        _snapshot(lambda s: s.total_objects),
    ),
    MetricSpec(
        "memory_gc_collections_gen0",
        "gauge",
        "Collections of generation 0 since the process began.",
        _collections(0),
    ),
    MetricSpec(
        "memory_gc_collections_gen1",
        "gauge",
        "Collections of generation 1 since the process began.",
        _collections(1),
    ),
    MetricSpec(
        "memory_gc_collections_gen2",
        "gauge",
        "Collections of generation 2 since the process began.",
        _collections(2),
    ),
    MetricSpec(
        "memory_gc_collections_total",
        "counter",
        "Collections since the process began, by generation.",
        _labelled(_collections_by_generation),
        ("generation",),
    ),
    MetricSpec(
        "memory_tracemalloc_current_mb",
        "gauge",
        "Traced memory, in MB; only while something traces.",
        _snapshot(lambda s: s.tracemalloc_current_mb),
    ),
    MetricSpec(
        "memory_tracemalloc_peak_mb",
        "gauge",
        "Highest traced memory, in MB; only while something traces.",
        _snapshot(lambda s: s.tracemalloc_peak_mb),
    ),
    MetricSpec("memory_rss_mb", "gauge", "Resident set size, in MB.", _snapshot(lambda s: s.rss_mb)),
    MetricSpec("memory_vms_mb", "gauge", "Virtual memory size, in MB.", _snapshot(lambda s: s.vms_mb)),
    MetricSpec(
        "memory_active_leaks",
        "gauge",
        "Leaks that are suspected or confirmed now; what is only watched is left out.",
        _each(lambda m: sum(leak.notable for leak in m.leaks)),
    ),
    MetricSpec(
        "memory_leak_detections_total",
        "counter",
        "Leaks called since the process began, by severity; one that gets worse counts again.",
        _labelled(lambda m: {s: m.leak_detections.get(s, 0) for s in SEVERITIES}),
        ("severity",),
    ),
    MetricSpec(
        "memory_baseline_drift_mb",
        "gauge",
        "Heap used now less heap used at the baseline, in MB.",
        _each(lambda m: m.drift.heap_mb if m.drift else None),
    ),
    MetricSpec(
        "memory_baseline_drift_percent",
        "gauge",
        "The same in percent of the baseline.",
        _each(lambda m: m.drift.heap_percent if m.drift else None),
    ),
    MetricSpec(
        "memory_object_count",
        "gauge",
        "Live objects of the most numerous types.",
        _labelled(lambda m: {} if m.snapshot is None else m.snapshot.object_counts),
        ("object_type",),
    ),
    # Beyond the contract: base units. First what the workers of a server use together.
    MetricSpec("memory_workers", "gauge", "Live workers of this server.", _all(len)),
    MetricSpec(
        "memory_worker_answered",
        "gauge",
        "1 for the worker that answered this scrape, 0 for the others.",
        _each(lambda m: int(m.answering)),
    ),
    MetricSpec(
        "memory_private_bytes",
        "gauge",
        "Memory that only this worker has (USS), at most a minute old.",
        _snapshot(lambda s: _bytes(s.private_mb)),
    ),
    MetricSpec(
        "memory_worker_growth_bytes",
        "gauge",
        "Heap used less what it was when the worker was first looked at, after its fork.",
        _each(_growth),
    ),
    MetricSpec(
        "memory_proportional_bytes",
        "gauge",
        "Memory with a part of each shared page (PSS): the sum over workers counts none twice.",
        _snapshot(lambda s: _bytes(s.proportional_mb)),
    ),
    MetricSpec(
        "memory_shared_limit_bytes",
        "gauge",
        "The limit that all workers share: the container's, else the machine's memory.",
        _shared(lambda shared: _bytes(shared.size_mb)),
    ),
    MetricSpec(
        "memory_shared_used_bytes",
        "gauge",
        "What counts against it: the container's working set, else the sum over the workers.",
        _shared(lambda shared: shared.used_mb * MB),
    ),
    MetricSpec(
        "memory_shared_percent",
        "gauge",
        "The same in percent of the shared limit.",
        _shared(lambda shared: shared.percent),
    ),
    # Then what leaks, and the profiler's own state.
    MetricSpec(
        "memory_confirmed_leaks",
        "gauge",
        "Leaks that are confirmed now: they have taken a good part of the memory, undiminished.",
        _each(lambda m: sum(leak.state == "confirmed" for leak in m.leaks)),
    ),
    MetricSpec(
        "memory_headroom_bytes",
        "gauge",
        "What may still be used of the limit, in bytes; of the shared one with the worker all.",
        _outlook(lambda outlook: _bytes(outlook.headroom_mb)),
    ),
    MetricSpec(
        "memory_time_to_limit_low_seconds",
        "gauge",
        "Time to the limit, the early end of the range, in seconds; absent unless memory rises steadily towards it.",
        _outlook(lambda outlook: outlook.low_seconds),
    ),
    MetricSpec(
        "memory_time_to_limit_high_seconds",
        "gauge",
        "The same, the late end of the range.",
        _outlook(lambda outlook: outlook.high_seconds),
    ),
    MetricSpec(
        "memory_novelty",
        "gauge",
        "How far memory stands above all of the last 24 hours, in units of its noise; above 2 is unusual.",
        _outlook(lambda outlook: outlook.novelty),
    ),
    MetricSpec(
        "memory_leaking_objects",
        "gauge",
        "Live objects or entries of what leaks now, by how bad and how sure it is; the twenty worst.",
        _leaking_objects,
        ("object_type", "severity", "state"),
    ),
    MetricSpec(
        "memory_gc_pause_seconds_total",
        "counter",
        "Time spent in garbage collection, in seconds.",
        _snapshot(lambda s: s.gc_pause_seconds),
    ),
    MetricSpec(
        "memory_gc_pause_max_seconds",
        "gauge",
        "Longest collection of the last interval, in seconds.",
        _snapshot(lambda s: s.gc_pause_max_seconds),
    ),
    MetricSpec(
        "memory_frozen_objects",
        "gauge",
        "Objects hidden by gc.freeze(); only the compiled census counts them.",
        _snapshot(lambda s: s.frozen_objects),
    ),
    MetricSpec("memory_requests_total", "counter", "Requests answered by this worker.", _each(lambda m: m.requests)),
    MetricSpec(
        "memory_requests_in_flight",
        "gauge",
        "Requests that had begun and not ended at the last snapshot.",
        _each(lambda m: m.in_flight),
    ),
    MetricSpec(
        "memory_route_requests_total",
        "counter",
        "Requests answered, by route.",
        _labelled(lambda m: m.route_requests),
        ("route",),
    ),
    MetricSpec(
        "memory_route_growth_bytes_per_request",
        "gauge",
        "Bytes that a request of this route keeps; only routes that keep some.",
        _route_growth("bytes"),
        ("route",),
    ),
    MetricSpec(
        "memory_route_growth_objects_per_request",
        "gauge",
        "Objects that a request of this route keeps, as blocks of Python's allocator.",
        _route_growth("objects"),
        ("route",),
    ),
    MetricSpec(
        "memory_worker_start_time_seconds",
        "gauge",
        "When the profiler began to watch this worker, seconds since the epoch.",
        _each(lambda m: m.start_time),
    ),
    MetricSpec(
        "memory_snapshot_timestamp_seconds",
        "gauge",
        "When the last snapshot was taken, seconds since the epoch.",
        _snapshot(lambda s: s.timestamp),
    ),
    MetricSpec(
        "memory_snapshot_duration_seconds",
        "gauge",
        "Wall time of the last snapshot, in seconds.",
        _snapshot(lambda s: s.duration_seconds),
    ),
    MetricSpec("memory_snapshots_total", "counter", "Snapshots taken.", _each(lambda m: m.snapshots_taken)),
    MetricSpec(
        "memory_profiler_cpu_seconds_total",
        "counter",
        "Processor time used by the profiler, in seconds.",
        _each(lambda m: m.cpu_seconds),
    ),
    MetricSpec(
        "memory_census_seconds",
        "gauge",
        "Wall time of the last census, in seconds.",
        _snapshot(lambda s: s.census_seconds),
    ),
    MetricSpec(
        "memory_census_cpu_seconds",
        "gauge",
        "Processor time of the last census, in seconds.",
        _snapshot(lambda s: s.census_cpu_seconds),
    ),
    MetricSpec(
        "memory_census_stall_seconds",
        "gauge",
        "The longest time in the last census that no other thread could run, in seconds.",
        _snapshot(lambda s: s.census_stall_seconds),
    ),
    MetricSpec(
        "memory_census_timestamp_seconds",
        "gauge",
        "When the objects were counted, seconds since the epoch.",
        _snapshot(lambda s: s.census_timestamp),
    ),
    MetricSpec(
        "memory_census_age_seconds",
        "gauge",
        "How old the counts were at the last snapshot, in seconds.",
        _snapshot(lambda s: s.census_age_seconds),
    ),
    MetricSpec(
        "memory_censuses_total", "counter", "How often objects were counted.", _each(lambda m: m.censuses_taken)
    ),
    MetricSpec(
        "memory_census_sampling_ratio",
        "gauge",
        "The share of the objects that the last census looked at; 1 is exact.",
        _snapshot(lambda s: 1 / s.census_stride),
    ),
    MetricSpec(
        "memory_census_skipped_total",
        "counter",
        "Snapshots without a census, by reason: the budget was spent, or the last one stalled other threads.",
        _labelled(lambda m: {reason: m.census_skipped.get(reason, 0) for reason in ("budget", "stall")}),
        ("reason",),
    ),
    MetricSpec(
        "memory_census_info",
        "info",
        "Who counts the objects: compiled (the extra fast) or pure.",
        _census_info,
        ("kind",),
    ),
    MetricSpec(
        "memory_history_bytes",
        "gauge",
        "Memory that the kept snapshots take, in bytes.",
        _each(lambda m: m.history_bytes),
    ),
    MetricSpec(
        "memory_profiler_failures_total",
        "counter",
        "Failures inside the profiler, by kind.",
        _labelled(lambda m: m.failures),
        ("kind",),
    ),
    MetricSpec(
        "memory_sink_delivered_total",
        "counter",
        "Figures and alerts that a sink took, or times that it was read.",
        _labelled(lambda m: {sink.name: sink.delivered for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_dropped_total",
        "counter",
        "Figures that newer ones replaced before a sink took them, and alerts that it could not be given.",
        _labelled(lambda m: {sink.name: sink.dropped for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_failed_total",
        "counter",
        "Deliveries to a sink that failed; they are tried again.",
        _labelled(lambda m: {sink.name: sink.failed for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_last_delivery_timestamp_seconds",
        "gauge",
        "When a sink took something last, seconds since the epoch.",
        _labelled(lambda m: {sink.name: sink.last_delivery for sink in m.sinks if sink.last_delivery is not None}),
        ("sink",),
    ),
    MetricSpec(
        "memory_remedies_total",
        "counter",
        "Remedies tried against high memory, by name.",
        _labelled(lambda m: m.remedies),
        ("remedy",),
    ),
    MetricSpec(
        "memory_remedy_freed_bytes_total",
        "counter",
        "Heap in use before less after each remedy, in bytes.",
        _labelled(lambda m: {remedy: mb * MB for remedy, mb in m.remedy_freed_mb.items()}),
        ("remedy",),
    ),
    MetricSpec(
        "memory_recycles_total",
        "counter",
        "Workers of this server that were recycled.",
        _all(lambda workers: max((m.recycles for m in workers if m.recycles is not None), default=None)),
    ),
    MetricSpec(
        "memory_recycle_refusals_total",
        "counter",
        "Snapshots at which a worker was due to be recycled and was not, by reason.",
        _labelled(lambda m: m.recycle_refusals),
        ("reason",),
    ),
    MetricSpec(
        "memory_profiler_info",
        "info",
        "Versions of the profiler and of Python.",
        _info,
        ("version", "python_version", "implementation"),
    ),
)
