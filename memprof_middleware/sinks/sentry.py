"""Alerts as Sentry events, through the client that the application has set up."""

from __future__ import annotations

import logging
import sys
from typing import Any

from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.model.alert import level_of
from memprof_middleware.sinks.requirement import require
from memprof_middleware.sinks.sink import Sink, SinkError

_LEAST_VERSION = (2, 0)
_LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "fatal"}
_FIELDS = ("state", "urgency", "incident", "holder", "route", "per_hour", "limit_seconds", "page")
_FLUSH_SECONDS = 1.0


class SentrySink(Sink):
    """One Sentry event when a condition begins and when its urgency rises; Sentry joins those about one type or route.

    It sets nothing up: it works where the application has called ``sentry_sdk.init`` in this process, and until then
    it keeps the alerts. Figures are not sent.

    Args:
        name: tells it from other sinks.
    """

    def __init__(self, *, name: str = "sentry") -> None:
        self.name = name

    def open(self) -> None:
        """Check that Sentry is active in this process.

        Raises:
            SinkError: it is not, or it is too old.
        """
        if "sentry_sdk" in sys.modules:
            require("sentry-sdk", _LEAST_VERSION, "sentry-sdk")
        _sdk()

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        """Capture an event, if this is a beginning.

        Raises:
            SinkError: Sentry is not active any more.
        """
        sdk = _sdk()
        if not alert.active:
            return
        with sdk.new_scope() as scope:
            scope.fingerprint = ["memprof", alert.name, alert.subject]
            scope.set_level(_LEVELS[level_of(alert)])
            scope.set_tag("memprof.alert", alert.name)
            scope.set_tag("memprof.severity", alert.severity)
            scope.set_tag("memprof.urgency", alert.urgency)
            scope.set_tag("memprof.worker", metrics.worker)
            scope.set_context("memprof", _context(alert, metrics))
            scope.capture_event({"logger": "memprof", "message": alert.message})

    def close(self) -> None:
        """Flush Sentry: not every server runs its exit handlers."""
        sdk: Any = sys.modules.get("sentry_sdk")
        if sdk is not None:
            sdk.flush(timeout=_FLUSH_SECONDS)


def _sdk() -> Any:
    # Asked of the loaded modules: 19 MB that the application does not use are not imported for it.
    sdk: Any = sys.modules.get("sentry_sdk")
    # Set up without a DSN it is active too, and throws all events away.
    if sdk is None or not sdk.get_client().is_active() or not sdk.get_client().dsn:
        raise SinkError(
            "Sentry is not active in this process: call sentry_sdk.init(dsn=...) in it, or take 'sentry' out of the "
            "setting sinks"
        )
    return sdk


def _context(alert: Alert, metrics: MemoryMetrics) -> dict[str, object]:
    found: dict[str, object] = {
        "subject": alert.subject,
        "value": alert.value,
        "threshold": alert.threshold,
        "pid": metrics.pid,
        "requests": metrics.requests,
    }
    found |= {field: getattr(alert, field) for field in _FIELDS}
    if metrics.snapshot is not None:
        found |= {"heap_used_mb": metrics.snapshot.heap_used_mb, "heap_size_mb": metrics.snapshot.heap_size_mb}
    return found
