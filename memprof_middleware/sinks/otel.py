"""The sink ``otel``: figures through the application's own OpenTelemetry pipeline."""

from __future__ import annotations

import os
import time

from memprof_middleware.forks import is_forked
from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.sinks.figures import ActiveAlerts
from memprof_middleware.sinks.requirement import require, version_of
from memprof_middleware.sinks.sink import Reads, Sink, SinkError

LEAST_VERSION = (1, 27)
EXTRA = "memprof-middleware[{}]"
# From here on the SDK gives each forked process a resource of its own.
_TELLS_FORKS = (1, 44)
# Readers export once a minute by default.
_PATIENCE_SECONDS = 300.0
# It asks for each instrument; what follows so soon is the same collection.
_ONE_COLLECTION_SECONDS = 0.5


class OtelSink(Sink):
    """Shows the figures to whatever ``MeterProvider`` the application has set, or will set.

    It exports nothing and sets no provider: the application's own reader asks, in its own thread and time, and gets
    the figures of the last snapshot. Needs the extra ``memprof-middleware[otel]``, which an application with
    OpenTelemetry has already.

    Args:
        name: tells it from other sinks.
    """

    alerts_with_figures = True
    reads: Reads

    def __init__(self, *, name: str = "otel") -> None:
        self.name = name
        self._registered = False
        self._begin()

    def _begin(self) -> None:
        self._latest: MemoryMetrics | None = None
        self._active = ActiveAlerts()
        self.reads = Reads(0, None)
        self._read_at = time.monotonic()  # or opened
        self._pid: int | None = None

    def open(self) -> None:
        """Make the instruments, once: a forked child inherits them with the provider."""
        self._begin()
        if not self._registered:
            require("opentelemetry-api", LEAST_VERSION, EXTRA.format("otel"))
            from opentelemetry import metrics as api

            from memprof_middleware.sinks.instruments import register

            register(api.get_meter("memprof"), self._shown, lambda: self._active, _process)
            self._registered = True
        self._pid = os.getpid()

    def snapshot(self, metrics: MemoryMetrics) -> None:
        """Show these figures from now on.

        Raises:
            SinkError: nobody has asked for five minutes.
        """
        self._latest = metrics
        if time.monotonic() - self._read_at > _PATIENCE_SECONDS:
            raise SinkError(
                f"no OpenTelemetry reader has asked for {_PATIENCE_SECONDS:.0f} s: is a MeterProvider with a reader "
                "set in this process? A reader that was exporting while the process forked is silent in the child"
            )

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:  # noqa: ARG002
        """The gauge ``memprof.alerts`` counts what holds."""
        self._active.add(alert)

    def close(self) -> None:
        """Show nothing any more; the instruments stay, as there is no way to take them back."""
        self._latest = None

    def _shown(self) -> MemoryMetrics | None:
        """The figures, in the process that they are about: a child may inherit the reader without the profiler."""
        if self._latest is None or self._pid != os.getpid():
            return None
        now = time.monotonic()
        if now - self._read_at > _ONE_COLLECTION_SECONDS or self.reads.last is None:
            self.reads = Reads(self.reads.count + 1, time.time())
        self._read_at = now
        return self._latest


def _process() -> dict[str, str | int]:
    """An older SDK has one resource for all workers of a master, whose points would overwrite one another."""
    sdk = version_of("opentelemetry-sdk")
    alike = sdk is not None and sdk < _TELLS_FORKS and is_forked()
    return {"process.pid": os.getpid()} if alike else {}
