"""The outputs of metrics for jobs: a shared port, a push gateway, or a file."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway

from memprof_middleware.jobs.tasks import own_profiler
from memprof_middleware.metrics.collector import MemoryCollector
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http.exporter import DEFAULT_PORT, MemoryExporter
from memprof_middleware.workers.atomic_file import write_private


def serve(
    port: int = DEFAULT_PORT,
    *,
    host: str = "0.0.0.0",  # noqa: S104 - as the exporter's
    group: str | None = None,
    profiler: MemoryProfiler | None = None,
) -> MemoryExporter:
    """Serve the metrics on a port that all processes of this application share. Call it in each of them.

    Args:
        port: where; one that another application has is refused.
        host: the address to listen on.
        group: names the application among those that share ports; by default the name of the program.
        profiler: whose metrics; by default the process's own.

    Returns:
        The exporter, which serves until it is stopped or the process ends.

    Raises:
        ExporterError: the port is another application's, or taken.
        ConfigError: the port is out of range, or a setting is not valid.
    """
    return MemoryExporter(profiler, port=port, host=host, shared=True, group=group).start()


def push(
    gateway: str,
    job: str,
    *,
    grouping_key: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    profiler: MemoryProfiler | None = None,
) -> bool:
    """Push the metrics as they are now to a Pushgateway: at the end of a job that no scrape catches. Never raises.

    What was pushed for this job and grouping key before is replaced.

    Args:
        gateway: its address, such as ``push.internal:9091``.
        job: the label ``job``.
        grouping_key: further labels.
        timeout: seconds.
        profiler: whose metrics; by default the process's own.

    Returns:
        Whether it arrived; if not, that is logged once and counted.
    """
    found = profiler or own_profiler()
    if found is None:
        return False
    arrived = False
    with found.failures.caught("push"):
        push_to_gateway(gateway, job, _registry(found), dict(grouping_key or {}), timeout)
        arrived = True
    return arrived  # noqa: RET504 - what is caught leaves it as it was


def write_textfile(path: str | os.PathLike[str], *, mode: int = 0o600, profiler: MemoryProfiler | None = None) -> bool:
    """Write the metrics as they are now to a file, for node_exporter's textfile collector. Never raises.

    The file is replaced as a whole: a reader never sees half of it.

    Args:
        path: such as ``/var/lib/node_exporter/import.prom``.
        mode: who may read it; node_exporter often runs as another user, and then needs ``0o644``.
        profiler: whose metrics; by default the process's own.

    Returns:
        Whether it was written; if not, that is logged once and counted.
    """
    found = profiler or own_profiler()
    if found is None:
        return False
    written = False
    with found.failures.caught("textfile"):
        write_private(path, generate_latest(_registry(found)), mode)
        written = True
    return written  # noqa: RET504


def _registry(profiler: MemoryProfiler) -> CollectorRegistry:
    """The metrics with what the process has come to: a job may end long before the next snapshot is due."""
    profiler.step()
    profiler.publish()
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    return registry
