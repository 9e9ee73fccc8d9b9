"""The thread of one sink: it delivers the newest figures, at the sink's own rate."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from memprof_middleware.failures import Failures, described
from memprof_middleware.model import Alert, MemoryMetrics, SinkHealth
from memprof_middleware.sinks.sink import Sink
from memprof_middleware.text.words import duration

# Alerts that wait for a sink that is down; the oldest goes first.
_MOST_EVENTS = 64
# An alert that fails so often is dropped: with the pauses between, after more than an hour.
_MOST_TRIES = 20
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
# Over UDP every other delivery to a dead agent seems to succeed: one success is not yet an end of the trouble.
_SUCCESSES_TO_BE_UP = 3


class SinkThread:
    """Hands a sink its figures and alerts, in a thread that starts with the first of them.

    Args:
        sink: who gets them.
        failures: knows the logger that trouble is told to, and counts it when that fails.
        clock: tells the time, in seconds since the epoch.
    """

    def __init__(self, sink: Sink, failures: Failures, clock: Callable[[], float | None]) -> None:
        self.sink = sink
        self._failures, self._clock = failures, clock
        # What a sink does not override it does not want, and what only takes note says nothing of how it fares.
        calls = {"snapshot": type(sink).snapshot is not Sink.snapshot, "event": not sink.alerts_with_figures}
        self._deliveries = {call for call, counts in calls.items() if counts}
        self._changed = threading.Condition(threading.Lock())
        self._mail: MemoryMetrics | None = None
        self._events: deque[tuple[Alert, MemoryMetrics]] = deque()
        self._tries = 0  # of the oldest of them
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._opened = False
        self._trouble: str | None = None  # what failed when it was told that the sink is down
        self._pause, self._successes = _FIRST_PAUSE_SECONDS, 0
        self._delivered = self._dropped = self._failed = 0
        self._last_delivery: float | None = None
        self._down_since: float | None = None  # when it went down, and what had been dropped by then
        self._dropped_before = 0

    def publish(self, metrics: MemoryMetrics) -> None:
        """Leave figures for the sink, in place of older ones that it has not fetched; waits for nothing."""
        with self._changed:
            self._dropped += self._mail is not None
            self._mail = metrics
            self._wake()

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        """Leave an alert for the sink; the oldest gives way where too many wait. Waits for nothing."""
        with self._changed:
            if len(self._events) == _MOST_EVENTS:
                self._pop_event()
                self._dropped += 1
            self._events.append((alert, metrics))
            self._wake()

    def health(self) -> SinkHealth:
        """The counts of delivered, dropped and failed figures so far."""
        reads = self.sink.reads
        return SinkHealth(
            name=self.sink.name,
            delivered=self._delivered if reads is None else reads.count,
            dropped=self._dropped,
            failed=self._failed,
            last_delivery=self._last_delivery if reads is None else reads.last,
        )

    def ask_to_close(self) -> None:
        """End the thread after it has delivered waiting figures, without pauses."""
        with self._changed:
            self._closing.set()
            self._changed.notify()

    def join(self, deadline: float) -> None:
        """Wait for its end, up to a moment of the monotonic clock; one that hangs then is left behind."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _wake(self) -> None:
        self._changed.notify()
        if self._thread is None or not self._thread.is_alive():
            # Not before an earlier thread has ended, also one that was left behind: a sink is in one call at a time.
            self._closing = threading.Event()
            # A daemon: a collector that does not answer must not keep a finished process alive.
            thread = threading.Thread(
                target=self._run, args=(self._closing,), name=f"memprof-sink-{self.sink.name}", daemon=True
            )
            thread.start()
            self._thread = thread

    # -- in the thread -------------------------------------------------------------------------------------------

    def _run(self, closing: threading.Event) -> None:
        while True:
            with self._changed:
                while self._mail is None and not self._events and not closing.is_set():
                    self._changed.wait()
                last = closing.is_set()
            succeeded = self._deliver()
            if last:
                break
            if succeeded:
                self._pause = _FIRST_PAUSE_SECONDS
            else:
                closing.wait(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        if self._opened and self._attempt("close", self.sink.close):
            self._opened = False

    def _deliver(self) -> bool:
        """One round: all alerts, then the newest figures. Whether everything went well."""
        if not self._opened:
            if not self._attempt("open", self.sink.open):
                return False
            self._opened = True
        while self._events:
            oldest = self._events[0]
            if not self._attempt("event", lambda oldest=oldest: self.sink.event(*oldest)):  # type: ignore[misc]
                self._give_up_after_tries(oldest)
                break
            with self._changed:
                if self._events and self._events[0] is oldest:  # else it was pushed out meanwhile
                    self._pop_event()
        else:
            return self._deliver_figures()
        self._deliver_figures()  # an alert that a sink chokes on must not hold up the figures
        return False

    def _deliver_figures(self) -> bool:
        with self._changed:
            metrics, self._mail = self._mail, None
        if metrics is None:
            return True
        if self._attempt("snapshot", lambda: self.sink.snapshot(metrics)):
            return True
        self._put_back(metrics)
        return False

    def _put_back(self, metrics: MemoryMetrics) -> None:
        with self._changed:
            if self._mail is None:
                self._mail = metrics  # until newer ones come
            else:
                self._dropped += 1

    def _give_up_after_tries(self, oldest: tuple[Alert, MemoryMetrics]) -> None:
        with self._changed:
            if self._events and self._events[0] is oldest:
                self._tries += 1
                if self._tries >= _MOST_TRIES:
                    self._pop_event()
                    self._dropped += 1

    def _pop_event(self) -> None:
        self._events.popleft()
        self._tries = 0

    def _attempt(self, what: str, call: Callable[[], object]) -> bool:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - a sink is often the user's code: it ends no thread of ours
            self._failed += 1
            self._successes = 0
            if self._trouble is None:
                self._trouble = what
                self._down_since, self._dropped_before = self._clock(), self._dropped
                self._log_failure(error)
            return False
        if what in self._deliveries:
            self._count_delivery(what)
        return True

    def _count_delivery(self, what: str) -> None:
        self._delivered += 1
        self._last_delivery = self._clock()
        self._successes += self._trouble in {what, "open", "close"}
        if self._trouble is not None and self._successes >= _SUCCESSES_TO_BE_UP:
            self._trouble = None
            with self._failures.caught("log"):
                self._failures.logger.warning(
                    "memprof: sink %s delivers again after %s%s",
                    self.sink.name,
                    duration((self._clock() or 0.0) - (self._down_since or 0.0)),
                    f" ({self._dropped - self._dropped_before} figures lost)"
                    if self._dropped > self._dropped_before
                    else "",
                    extra={"memprof_sink": self.sink.name},
                )

    def _log_failure(self, error: BaseException) -> None:
        with self._failures.caught("log"):
            self._failures.logger.warning(
                "memprof: sink %s cannot deliver: %s. Retrying; the application is not affected.",
                self.sink.name,
                described(error).removesuffix("."),
                extra={"memprof_sink": self.sink.name},
            )
