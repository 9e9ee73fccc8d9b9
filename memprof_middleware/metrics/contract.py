"""The 17 metrics that others have built on: their names, types and labels do not change."""

from __future__ import annotations

from memprof_middleware.metrics.spec import MetricSpec, Samples, each, labelled, of_snapshot
from memprof_middleware.model import SEVERITIES, MemoryMetrics


def _collections(generation: int) -> Samples:
    return of_snapshot(lambda s: s.gc_collections[generation])


def _by_generation(worker: MemoryMetrics) -> dict[str, float]:
    found = () if worker.snapshot is None else worker.snapshot.gc_collections
    return {str(generation): number for generation, number in enumerate(found)}


CONTRACT: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_heap_size_mb",
        "gauge",
        "Memory limit of the process, in MB (2^20 bytes).",
        of_snapshot(lambda s: s.heap_size_mb),
    ),
    MetricSpec(
        "memory_heap_used_mb",
        "gauge",
        "Memory in use (anonymous resident memory), in MB.",
        of_snapshot(lambda s: s.heap_used_mb),
    ),
    MetricSpec(
        "memory_heap_percent",
        "gauge",
        "Memory in use, in percent of the limit.",
        of_snapshot(lambda s: s.heap_percent),
    ),
    MetricSpec(
        "memory_total_objects",
        "gauge",
        "Live objects tracked by the garbage collector.",
        of_snapshot(lambda s: s.total_objects),
    ),
    MetricSpec(
        "memory_gc_collections_gen0",
        "gauge",
        "Collections of generation 0 since the process started.",
        _collections(0),
    ),
    MetricSpec(
        "memory_gc_collections_gen1",
        "gauge",
        "Collections of generation 1 since the process started.",
        _collections(1),
    ),
    MetricSpec(
        "memory_gc_collections_gen2",
        "gauge",
        "Collections of generation 2 since the process started.",
        _collections(2),
    ),
    MetricSpec(
        "memory_gc_collections_total",
        "counter",
        "Collections since the process started, by generation.",
        labelled(_by_generation),
        ("generation",),
    ),
    MetricSpec(
        "memory_tracemalloc_current_mb",
        "gauge",
        "Memory traced by tracemalloc, in MB. Absent if nothing traces.",
        of_snapshot(lambda s: s.tracemalloc_current_mb),
    ),
    MetricSpec(
        "memory_tracemalloc_peak_mb",
        "gauge",
        "Peak of the memory traced by tracemalloc, in MB. Absent if nothing traces.",
        of_snapshot(lambda s: s.tracemalloc_peak_mb),
    ),
    MetricSpec("memory_rss_mb", "gauge", "Resident memory (RSS), in MB.", of_snapshot(lambda s: s.rss_mb)),
    MetricSpec("memory_vms_mb", "gauge", "Virtual memory size, in MB.", of_snapshot(lambda s: s.vms_mb)),
    MetricSpec(
        "memory_active_leaks",
        "gauge",
        "Suspected or confirmed leaks above the limits of growth.",
        each(lambda m: sum(leak.notable for leak in m.leaks)),
    ),
    MetricSpec(
        "memory_leak_detections_total",
        "counter",
        "Leaks found since the process started, by severity. Counts again if the severity rises.",
        labelled(lambda m: {s: m.leak_detections.get(s, 0) for s in SEVERITIES}),
        ("severity",),
    ),
    MetricSpec(
        "memory_baseline_drift_mb",
        "gauge",
        "Memory in use minus memory in use at the baseline, in MB. Absent before the baseline.",
        each(lambda m: m.drift.heap_mb if m.drift else None),
    ),
    MetricSpec(
        "memory_baseline_drift_percent",
        "gauge",
        "Memory in use minus memory in use at the baseline, in percent of it. Absent before the baseline.",
        each(lambda m: m.drift.heap_percent if m.drift else None),
    ),
    MetricSpec(
        "memory_object_count",
        "gauge",
        "Live objects by type, most numerous types only.",
        labelled(lambda m: {} if m.snapshot is None else m.snapshot.object_counts),
        ("object_type",),
    ),
)
