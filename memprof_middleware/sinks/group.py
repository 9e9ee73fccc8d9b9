"""All sinks of one process."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from memprof_middleware.failures import Failures
from memprof_middleware.forks import at_exit, not_at_exit
from memprof_middleware.model import Alert, MemoryMetrics, SinkHealth
from memprof_middleware.weakly import weakly

if TYPE_CHECKING:
    from memprof_middleware.sinks.sink import Sink
    from memprof_middleware.sinks.thread import SinkThread

# The longest that all of them together may hold up the end of a process.
_CLOSE_SECONDS = 1.0


class FiguresSource(Protocol):
    """The source of figures for sinks: the monitor of a process, or a stand-in."""

    failures: Failures

    def now(self) -> float:
        """The time, in seconds since the epoch."""

    def metrics(self) -> MemoryMetrics:
        """The figures of this worker; measures nothing."""


class Sinks:
    """Hand new figures and alerts to each sink. Its thread starts with the first of them, not before.

    Args:
        sinks: the sinks; each has a thread of its own here.
        source: whose figures are passed on.
    """

    def __init__(self, sinks: Sequence[Sink], source: FiguresSource) -> None:
        # Not the source itself: what waits in a thread, and for the end of the process, would keep it alive.
        self._failures, self._source = source.failures, weakref.ref(source)
        self._threads: list[SinkThread] = []
        if sinks:
            from memprof_middleware.sinks.thread import SinkThread

            self._threads += [SinkThread(sink, source.failures, weakly(source.now)) for sink in sinks]
        self._closed = self._used = False

    def publish(self, metrics: MemoryMetrics | None = None) -> None:
        """Leave the worker's figures, by default those of now, for each sink; waits for none and never raises."""
        if self._is_open():
            self._each(lambda thread, figures: thread.publish(figures), metrics)

    def event(self, alert: Alert) -> None:
        """Leave an alert for each sink; waits for none and never raises."""
        if self._is_open():
            self._each(lambda thread, metrics: thread.event(alert, metrics))

    def health(self) -> tuple[SinkHealth, ...]:
        """The health of each sink."""
        return tuple(thread.health() for thread in self._threads)

    def close(self, deadline: float | None = None) -> None:
        """Have each sink deliver waiting figures, within a second in all, and accept none until :meth:`open`.

        Args:
            deadline: an earlier end, by the monotonic clock.
        """
        self._closed = True
        not_at_exit(self.close)
        if self._used:
            deadline = deadline or time.monotonic() + _CLOSE_SECONDS
            for thread in self._threads:
                thread.ask_to_close()
            for thread in self._threads:
                thread.join(deadline)

    def open(self) -> None:
        """Take figures again after :meth:`close`."""
        self._closed = False

    def _each(self, give: Callable[[SinkThread, MemoryMetrics], None], metrics: MemoryMetrics | None = None) -> None:
        with self._failures.caught("sinks"):
            source = self._source()
            if source is not None:
                metrics = metrics or source.metrics()
                for thread in self._threads:
                    with self._failures.caught("sinks"):  # a thread that cannot start is one sink's trouble
                        give(thread, metrics)

    def _is_open(self) -> bool:
        if self._closed or not self._threads:
            return False
        if not self._used:
            # Not every server's end calls stop(), and not every process runs what is registered here: so both.
            at_exit(self.close)
            self._used = True
        return True
