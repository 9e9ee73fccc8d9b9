"""A private OpenTelemetry pipeline. Imported by a sink that is open: it needs the SDK and the exporter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from memprof_middleware.model import MemoryMetrics
from memprof_middleware.sinks.figures import ActiveAlerts
from memprof_middleware.sinks.instruments import Attributes, register
from memprof_middleware.sinks.sink import SinkError


class _Exporter(OTLPMetricExporter):
    """An exporter that keeps its result, which the reader drops."""

    _outcome: MetricExportResult | None = None

    def export(self, *args: Any, **options: Any) -> MetricExportResult:
        self._outcome = MetricExportResult.FAILURE  # older versions raise where nobody listens, and the reader logs it
        self._outcome = super().export(*args, **options)
        return self._outcome

    def outcome_of(self, flush: Callable[[], object]) -> MetricExportResult | None:
        """The result of the export of a flush; ``None``: nothing was exported."""
        self._outcome = None
        flush()
        return self._outcome


class Pipeline:
    """Instruments, reader and exporter of one worker.

    Args:
        endpoint: where to; by default from the environment.
        identity: resource attributes that tell this process from all others.
        latest: the figures to send.
        active: the alerts to send.
    """

    def __init__(
        self,
        endpoint: str | None,
        identity: Attributes,
        latest: Callable[[], MemoryMetrics | None],
        active: Callable[[], ActiveAlerts],
    ) -> None:
        self._exporter = _Exporter(endpoint)
        # Without an interval it has no thread and no hook on forks: the sink's own thread flushes.
        reader = PeriodicExportingMetricReader(self._exporter, export_interval_millis=math.inf)
        self._provider = MeterProvider([reader], Resource.create(identity), shutdown_on_exit=False)
        register(self._provider.get_meter("memprof"), latest, active, dict)

    def flush(self) -> None:
        """Collect and send.

        Raises:
            SinkError: the collector did not take it.
        """
        outcome = self._exporter.outcome_of(self._provider.force_flush)
        if outcome is None:
            raise SinkError("the OpenTelemetry SDK exported nothing: is OTEL_SDK_DISABLED set?")
        if outcome is not MetricExportResult.SUCCESS:
            raise SinkError(
                "the OpenTelemetry collector did not take the figures: is it running? OTEL_EXPORTER_OTLP_ENDPOINT, or "
                "OtlpSink(endpoint), says where; the logger opentelemetry says more"
            )

    def close(self) -> None:
        """Give the connection up."""
        self._provider.shutdown()
