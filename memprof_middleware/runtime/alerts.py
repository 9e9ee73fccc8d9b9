"""Tells when a condition begins and when it ends: to the log and to callbacks, once each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.model import Alert, Breach, Leak
from memprof_middleware.model.alert import level_of
from memprof_middleware.text.conditions import brief_duration, describe

# Where servers log that leave the root logger alone.
_SERVER_LOGGERS = ("uvicorn", "gunicorn.error", "hypercorn.error", "_granian", "daphne")
AlertCallback = Callable[[Alert], object]


class AlertBook:
    """The conditions that hold, and who wants to hear of their beginning and end.

    Args:
        logger: where the records go.
        failures: where a callback that raises is counted; it stops nothing.
        given: callbacks that outlive the book; one may join them at any time.

    Attributes:
        logger: where the records go.
        callbacks: called with each record, before those that were given.
    """

    def __init__(self, logger: logging.Logger, failures: Failures, given: Sequence[AlertCallback] = ()) -> None:
        self.logger = logger
        self.callbacks: list[AlertCallback] = []
        self._failures, self._given = failures, given
        self._active: dict[tuple[str, str], Alert] = {}
        self._lock = threading.Lock()

    @property
    def active(self) -> list[Alert]:
        """The conditions that hold now, as they began."""
        return list(self._active.values())

    def names(self) -> set[str]:
        """Names of the conditions that hold now."""
        return {name for name, _ in self._active}

    def adopt(self, breaches: Iterable[Breach], timestamp: float) -> None:
        """Take over conditions that were told already, by a predecessor: only their end will be told."""
        with self._lock:
            for breach in breaches:
                self._active.setdefault((breach.name, breach.subject), _began(breach, timestamp))

    def update(
        self,
        breaches: Iterable[Breach],
        names: Iterable[str],
        timestamp: float,
        reasons: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """Compare what is breached now with what was, and tell the difference.

        Args:
            breaches: what is breached now.
            names: the conditions that were judged; those not among them keep their state.
            timestamp: now.
            reasons: why a condition is over, by its name and subject, where that is known.
        """
        with self._lock:  # not around the telling: a callback may ask what is active
            changes = self._changes(breaches, set(names), timestamp, reasons or {})
        for alert in changes:
            self._tell(alert)

    def _changes(
        self,
        breaches: Iterable[Breach],
        judged: set[str],
        timestamp: float,
        reasons: Mapping[tuple[str, str], str],
    ) -> list[Alert]:
        now = {(breach.name, breach.subject): breach for breach in breaches}
        changes: list[Alert] = []
        for key, breach in now.items():
            if key not in self._active:
                self._active[key] = _began(breach, timestamp)
                changes.append(self._active[key])
        for key in [key for key in self._active if key[0] in judged and key not in now]:
            began = self._active.pop(key)
            why = f", {reasons[key]}" if key in reasons else ""
            changes.append(
                Alert(
                    name=began.name,
                    subject=began.subject,
                    severity=began.severity,
                    message=f"over after {brief_duration(timestamp - began.since)}{why}: {began.message}",
                    value=began.value,
                    threshold=began.threshold,
                    since=began.since,
                    timestamp=timestamp,
                    hours_left=began.hours_left,
                    active=False,
                )
            )
        return changes

    def _tell(self, alert: Alert) -> None:
        with self._failures.caught("log"):
            self.logger.log(
                level_of(alert),
                "memprof: %s [%s] %s",
                alert.name,
                alert.severity if alert.active else "resolved",
                alert.message,
                extra={f"memprof_{key}": value for key, value in alert.to_dict().items()},
            )
        for callback in [*self.callbacks, *self._given]:
            with self._failures.caught("alert_callback"):
                callback(alert)


def _began(breach: Breach, timestamp: float) -> Alert:
    return Alert(
        name=breach.name,
        subject=breach.subject,
        severity=breach.severity,
        message=breach.message,
        value=breach.value,
        threshold=breach.threshold,
        since=timestamp,
        timestamp=timestamp,
        hours_left=breach.hours_left,
    )


def borrow_server_log(logger: logging.Logger) -> None:
    """Let records reach the server's log where nobody has set up a handler for them: not all hosts configure one."""
    if logger.name == "memprof" and not logger.hasHandlers():
        servers = map(logging.getLogger, _SERVER_LOGGERS)
        logger.handlers.extend(next((server.handlers for server in servers if server.handlers), []))


def leak_breach(leak: Leak, config: Config) -> Breach:
    """A leak as a condition, in a sentence for people."""
    return Breach(
        "leak",
        leak.severity,
        leak.growth_percent,
        config.leak_growth_percent,
        f"{describe(leak)}, and does not stop{_when(leak.hours_left)}",
        subject=leak.name,
        hours_left=leak.hours_left,
    )


def _when(hours: float | None) -> str:
    return "" if hours is None else f"; the limit is reached in {brief_duration(3600 * hours)} at this pace"


def tell_suspicions(
    logger: logging.Logger, new: Iterable[Leak], ended: Iterable[Leak], reasons: Mapping[str, str]
) -> None:
    """Log leaks that are suspected from now on, and suspicions that came to nothing."""
    for leak in new:
        if leak.state == "suspected":
            logger.info(
                "memprof: leak suspected [%s] %s; watching whether it goes on",
                leak.severity,
                describe(leak),
                extra={f"memprof_{key}": value for key, value in leak.to_dict().items()},
            )
    for leak in ended:
        why = reasons.get(leak.name, "it no longer grows")
        logger.info("memprof: suspicion over: %s, %s", leak.name, why, extra={"memprof_name": leak.name})
