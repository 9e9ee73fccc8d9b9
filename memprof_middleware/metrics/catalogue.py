"""The catalogue: every metric, its type, help, labels and where its samples come from. No other place names one."""

from __future__ import annotations

from memprof_middleware.metrics.actions import RECYCLING, SINKS
from memprof_middleware.metrics.contract import CONTRACT
from memprof_middleware.metrics.itself import COUNTS, SNAPSHOTS, VERSIONS
from memprof_middleware.metrics.leaks import LEAKS
from memprof_middleware.metrics.limits import LIMITS, WORKERS
from memprof_middleware.metrics.spec import ALL, MetricSpec, Sample, Workers
from memprof_middleware.metrics.traffic import COLLECTIONS, REQUESTS

__all__ = ["ALL", "CATALOGUE", "MetricSpec", "Sample", "Workers"]

CATALOGUE: tuple[MetricSpec, ...] = (
    *CONTRACT,
    # Beyond the contract: base units.
    *WORKERS,
    *LIMITS,
    *LEAKS,
    *COLLECTIONS,
    *REQUESTS,
    *SNAPSHOTS,
    *COUNTS,
    *SINKS,
    *RECYCLING,
    *VERSIONS,
)
