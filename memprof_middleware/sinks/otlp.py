"""Figures to an OpenTelemetry collector, for applications that have no pipeline of their own."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.sinks.figures import ActiveAlerts
from memprof_middleware.sinks.otel import EXTRA, LEAST_VERSION
from memprof_middleware.sinks.requirement import require
from memprof_middleware.sinks.sink import Sink

if TYPE_CHECKING:
    from memprof_middleware.sinks.pipeline import Pipeline

_EXPORTER = "opentelemetry-exporter-otlp-proto-http"


class OtlpSink(Sink):
    """Sends each snapshot over OTLP (http/protobuf), by a provider that nobody else sees.

    Endpoint, headers, certificates, timeout and service name are read from the standard ``OTEL_*`` variables. Each
    worker is an instance of its own (``service.instance.id``, ``process.pid``). Needs the extra
    ``memprof-middleware[otlp]``.

    Args:
        endpoint: the full URL, such as ``http://collector:4318/v1/metrics``; by default from the environment.
        name: tells it from other sinks.
    """

    alerts_with_figures = True

    def __init__(self, endpoint: str | None = None, *, name: str = "otlp") -> None:
        self.name = name
        self._endpoint = endpoint
        self._begin()

    def _begin(self) -> None:
        self._pipeline: Pipeline | None = None
        self._latest: MemoryMetrics | None = None
        self._active = ActiveAlerts()

    def open(self) -> None:
        """Import the SDK and make the provider, in the worker: nothing of it crosses a fork."""
        self._begin()
        require("opentelemetry-sdk", LEAST_VERSION, EXTRA.format("otlp"))
        require(_EXPORTER, LEAST_VERSION, EXTRA.format("otlp"))
        from memprof_middleware.sinks.pipeline import Pipeline

        identity: dict[str, str | int] = {"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()}
        self._pipeline = Pipeline(self._endpoint, identity, lambda: self._latest, lambda: self._active)

    def snapshot(self, metrics: MemoryMetrics) -> None:
        """Send these figures now.

        Raises:
            SinkError: the collector did not take them.
        """
        self._latest = metrics
        if self._pipeline is not None:
            self._pipeline.flush()

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:  # noqa: ARG002
        """The gauge ``memprof.alerts`` counts what holds."""
        self._active.add(alert)

    def close(self) -> None:
        """Give the connection up."""
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
