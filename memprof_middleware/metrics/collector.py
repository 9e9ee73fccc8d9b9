"""The catalogue as families of samples, for a Prometheus registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from memprof_middleware.metrics.catalogue import CATALOGUE, Workers
from memprof_middleware.model import MemoryMetrics

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class MetricsSource(Protocol):
    """What the collector asks: a :class:`~memprof_middleware.MemoryProfiler`, or a stand-in."""

    @property
    def namespace(self) -> str:
        """First part of every metric name."""

    def settle(self) -> None:
        """Let a worker that has begun just now be seen."""

    def workers(self) -> list[MemoryMetrics]:
        """The figures of every live worker of the server."""


class MemoryCollector(Collector):
    """Serves the last snapshot as Prometheus metrics; measures nothing.

    Register it in any registry: ``REGISTRY.register(MemoryCollector(profiler))``.
    """

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def describe(self) -> Iterator[Metric]:
        """The families without samples, so that registering does not collect."""
        return self._families([])

    def collect(self) -> Iterator[Metric]:
        """The families with the samples of the last snapshot."""
        self._source.settle()
        return self._families(self._source.workers())

    def _families(self, workers: Workers) -> Iterator[Metric]:
        for spec in CATALOGUE:
            name = f"{self._source.namespace}_{spec.name}"
            if spec.kind == "info":  # such a family takes its labels as a mapping
                info = InfoMetricFamily(name.removesuffix("_info"), spec.help, labels=("worker",))
                for (worker, *values), _ in spec.samples(workers):
                    info.add_metric((worker,), dict(zip(spec.labels, values, strict=True)))
                yield info
                continue
            family = _FAMILIES[spec.kind](name, spec.help, labels=("worker", *spec.labels))
            for labels, number in spec.samples(workers):
                if number is not None:
                    family.add_metric(labels, number)
            yield family
