"""The sink ``log``: alerts as lines of JSON."""

from __future__ import annotations

import json
import logging

from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.model.alert import level_of
from memprof_middleware.sinks.sink import Sink

LOGGER = "memprof.json"


class LogSink(Sink):
    """One line of JSON when a condition begins, rises and ends; at DEBUG also every snapshot.

    Ends are told at INFO, so a level that nobody has set becomes INFO, and where nobody has set up logging the lines go
    to standard error.

    Args:
        logger: where they go; by default the logger ``memprof.json``, whose records also reach the handlers of
            ``memprof``.
        name: tells it from other sinks.
    """

    def __init__(self, logger: logging.Logger | None = None, *, name: str = "log") -> None:
        self.name = name
        self._logger = logger or logging.getLogger(LOGGER)

    def open(self) -> None:
        """See to it that the lines come out somewhere."""
        if self._logger.level == logging.NOTSET:
            self._logger.setLevel(logging.INFO)
        if not self._logger.hasHandlers():
            self._logger.addHandler(logging.StreamHandler())

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        """A line with the alert, at the level of the alert itself."""
        self._write(level_of(alert), metrics, {"event": "alert", **alert.to_dict()})

    def snapshot(self, metrics: MemoryMetrics) -> None:
        """A line with the snapshot, for those who let DEBUG through."""
        if metrics.snapshot is not None and self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, metrics, {"event": "snapshot", **metrics.snapshot.to_dict()})

    def _write(self, level: int, metrics: MemoryMetrics, told: dict[str, object]) -> None:
        line = {**told, "worker": metrics.worker, "pid": metrics.pid}
        self._logger.log(level, "%s", json.dumps(line, separators=(",", ":")))
