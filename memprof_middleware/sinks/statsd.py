"""The sinks ``statsd`` and ``dogstatsd``: figures and alerts in datagrams, without their large clients."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator

from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.model.alert import level_of
from memprof_middleware.sinks.datagrams import Datagrams
from memprof_middleware.sinks.figures import PREFIX, ActiveAlerts, Figure, figures
from memprof_middleware.sinks.sink import Sink

Tags = tuple[tuple[str, str], ...]
_DEFAULT_PORT = 8125
_NOT_IN_TAGS = str.maketrans(dict.fromkeys("|,#@ \t\r\n", "_"))
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_OK, _WARNING, _CRITICAL = 0, 1, 2
_ALERT_TYPES = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "error"}
_DATADOG_TAGS = (("DD_SERVICE", "service"), ("DD_ENV", "env"), ("DD_VERSION", "version"))


class StatsdSink(Sink):
    """Gauges and counters to a StatsD server, over UDP or a Unix socket.

    Args:
        address: ``udp://host:port`` or ``unix:///path``; by default from ``STATSD_HOST`` and ``STATSD_PORT``, else
            this machine's port 8125.
        prefix: put before each name; by default ``STATSD_PREFIX``.
        tags: whether the server takes tags, as Telegraf and statsd_exporter do; else labels become parts of the name.
        name: tells it from other sinks.

    Raises:
        ConfigError: the address is not valid.
    """

    alerts_with_figures = True
    _where = "STATSD_HOST and STATSD_PORT, or StatsdSink(address), say where it is"

    def __init__(
        self, address: str | None = None, *, prefix: str | None = None, tags: bool = False, name: str = "statsd"
    ) -> None:
        self.name = name
        self._prefix = os.environ.get("STATSD_PREFIX", "") if prefix is None else prefix
        if self._prefix and not self._prefix.endswith("."):
            self._prefix += "."
        self._tagged = tags
        self._constant_tags: tuple[str, ...] = ()
        self._datagrams = Datagrams(address or self._default_address(), self._where)
        self._begin()

    def _default_address(self) -> str:
        host = os.environ.get("STATSD_HOST") or "localhost"
        return f"udp://{_bracketed(host)}:{os.environ.get('STATSD_PORT') or _DEFAULT_PORT}"

    def open(self) -> None:
        """Begin anew; the socket is made with the first datagram."""
        self._datagrams.close()
        self._begin()

    def _begin(self) -> None:
        self._sent: dict[tuple[str, Tags], float] | None = None  # counters, as the server knows them
        self._active = ActiveAlerts()

    def snapshot(self, metrics: MemoryMetrics) -> None:
        """A gauge or a counter for each figure."""
        found = list(figures(metrics))
        self._datagrams.send([*self._lines(found, metrics), *self._state(metrics)])
        self._sent = {(figure.kind.name, figure.labels): figure.value for figure in found if figure.kind.counts}

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:  # noqa: ARG002
        """StatsD knows no events: the gauge ``memprof.alerts`` counts what holds."""
        self._active.add(alert)

    def close(self) -> None:
        """Give the socket up."""
        self._datagrams.close()

    def _lines(self, found: Iterable[Figure], metrics: MemoryMetrics) -> Iterator[str]:
        for figure in found:
            if not figure.kind.counts:
                yield self._gauge(figure.kind.spelled, figure.value, figure.labels, metrics)
                continue
            # Of what a worker has counted before its first delivery nothing is known to be new.
            before = figure.value if self._sent is None else self._sent.get((figure.kind.name, figure.labels), 0.0)
            if figure.value > before:
                yield self._line(figure.kind.spelled, f"{_number(figure.value - before)}|c", figure.labels, metrics)
        for alert, count in self._active.counts().items():
            yield self._gauge(PREFIX + "alerts", count, (("alert", alert),), metrics)

    def _gauge(self, name: str, value: float, labels: Tags, metrics: MemoryMetrics) -> str:
        line = self._line(name, f"{_number(value)}|g", labels, metrics)
        # In StatsD a sign means a change: from nothing, then. In one datagram, so that nobody sees what is between.
        return line if value >= 0 else self._line(name, "0|g", labels, metrics) + "\n" + line

    def _line(self, name: str, rest: str, labels: Tags, metrics: MemoryMetrics) -> str:
        if self._tagged:
            return f"{self._prefix}{name}:{rest}|#{self._tags(labels, metrics)}"
        parts = [name, f"worker{metrics.worker}", *(_folded(value) for _, value in labels)]
        return f"{self._prefix}{'.'.join(parts)}:{rest}"

    def _tags(self, labels: Tags, metrics: MemoryMetrics) -> str:
        # The slot and not the pid: each new value of a tag is a new time series, kept and paid for.
        tags = [*self._constant_tags, f"worker:{metrics.worker}", *(f"{key}:{_tag(value)}" for key, value in labels)]
        return ",".join(tags)

    def _state(self, metrics: MemoryMetrics) -> Iterable[str]:  # noqa: ARG002
        return ()


class DogStatsdSink(StatsdSink):
    """Gauges, counters, events and the service check ``memprof.leak`` to Datadog's agent.

    An event is sent when a condition begins, rises or ends. The check says with each snapshot whether something leaks:
    a warning for a suspected or confirmed leak, critical for one that asks for action now.

    Args:
        address: ``udp://host:port`` or ``unix:///path``; by default ``DD_DOGSTATSD_URL``, else ``DD_AGENT_HOST`` and
            ``DD_DOGSTATSD_PORT``, else this machine's port 8125.
        name: tells it from other sinks.

    Raises:
        ConfigError: the address is not valid.
    """

    alerts_with_figures = False
    _where = "DD_DOGSTATSD_URL, or DD_AGENT_HOST and DD_DOGSTATSD_PORT, or DogStatsdSink(address), say where it is"

    def __init__(self, address: str | None = None, *, name: str = "dogstatsd") -> None:
        super().__init__(address, prefix="", tags=True, name=name)
        given = ((tag, os.environ.get(variable, "")) for variable, tag in _DATADOG_TAGS)
        more = re.split(r"[,\s]+", os.environ.get("DD_TAGS", ""))
        self._constant_tags = (
            *(f"{tag}:{_tag(value)}" for tag, value in given if value),
            *filter(None, map(_tag, more)),
        )

    def _default_address(self) -> str:
        host, port = os.environ.get("DD_AGENT_HOST") or "localhost", os.environ.get("DD_DOGSTATSD_PORT")
        return os.environ.get("DD_DOGSTATSD_URL") or f"udp://{_bracketed(host)}:{port or _DEFAULT_PORT}"

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        """An event, which Datadog joins with others about the same subject."""
        super().event(alert, metrics)
        title = f"memprof: {alert.name}" + ("" if alert.active else " is over")
        text = alert.message.replace("\n", "\\n")
        kind = _ALERT_TYPES[level_of(alert)] if alert.active else "success"
        key = _tag(f"memprof:{alert.subject or alert.name}")[:100]
        sizes = f"{len(title.encode())},{len(text.encode())}"
        told = ("severity", "state", "urgency", "incident", "holder", "route")
        known = tuple((name, value) for name in told if (value := getattr(alert, name)))
        tags = self._tags((("alert", alert.name), *known), metrics)
        line = f"_e{{{sizes}}}:{title}|{text}|d:{alert.timestamp:.0f}|k:{key}|t:{kind}|#{tags}"
        self._datagrams.send([line])

    def _gauge(self, name: str, value: float, labels: Tags, metrics: MemoryMetrics) -> str:
        return self._line(name, f"{_number(value)}|g", labels, metrics)  # here a sign is a sign

    def _state(self, metrics: MemoryMetrics) -> Iterable[str]:
        confirmed = [leak for leak in metrics.leaks if leak.state == "confirmed"]
        told = confirmed or [leak for leak in metrics.leaks if leak.notable]
        urgent = any(leak.urgency == "now" for leak in confirmed)
        status = _CRITICAL if urgent else _WARNING if told else _OK
        message = f"|m:{told[0].state}: " + ", ".join(_tag(leak.name) for leak in told[:3]) if told else ""
        return [f"_sc|memprof.leak|{status}|#{self._tags((), metrics)}{message}"]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"


def _tag(value: str) -> str:
    return value.translate(_NOT_IN_TAGS)


def _folded(part: str) -> str:
    """A label as one part of a dotted name."""
    return _NOT_IN_NAMES.sub("_", part).strip("_") or "_"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
