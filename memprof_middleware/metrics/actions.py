"""Metrics of what the profiler does: deliveries to other systems, remedies, recycling."""

from __future__ import annotations

from memprof_middleware.metrics.spec import MetricSpec, labelled, of_all
from memprof_middleware.model import MB

SINKS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_sink_delivered_total",
        "counter",
        "Figures and alerts delivered, by sink.",
        labelled(lambda m: {sink.name: sink.delivered for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_dropped_total",
        "counter",
        "Figures replaced and alerts lost before delivery, by sink.",
        labelled(lambda m: {sink.name: sink.dropped for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_failed_total",
        "counter",
        "Failed deliveries (retried), by sink.",
        labelled(lambda m: {sink.name: sink.failed for sink in m.sinks}),
        ("sink",),
    ),
    MetricSpec(
        "memory_sink_last_delivery_timestamp_seconds",
        "gauge",
        "Time of the last delivery, in seconds since the epoch, by sink. Absent before the first.",
        labelled(lambda m: {sink.name: sink.last_delivery for sink in m.sinks if sink.last_delivery is not None}),
        ("sink",),
    ),
)
RECYCLING: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_remedies_total",
        "counter",
        "Remedies tried, by name.",
        labelled(lambda m: m.remedies),
        ("remedy",),
    ),
    MetricSpec(
        "memory_remedy_freed_bytes_total",
        "counter",
        "Memory freed by each remedy, in bytes.",
        labelled(lambda m: {remedy: mb * MB for remedy, mb in m.remedy_freed_mb.items()}),
        ("remedy",),
    ),
    MetricSpec(
        "memory_recycles_total",
        "counter",
        "Workers of this server recycled. Absent while recycling is off.",
        of_all(lambda workers: max((m.recycles for m in workers if m.recycles is not None), default=None)),
    ),
    MetricSpec(
        "memory_recycle_refusals_total",
        "counter",
        "Snapshots at which recycling was due and refused, by reason.",
        labelled(lambda m: m.recycle_refusals),
        ("reason",),
    ),
)
