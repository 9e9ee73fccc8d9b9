"""The background thread: one per process, started by the first event in it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from memprof_middleware.forks import at_exit, not_at_exit

THREAD_NAME = "memprof-sampler"
# The longest that an exiting process waits for a snapshot that is under way.
_STOP_SECONDS = 1.0
_SETTLE_SECONDS = 1.0


class Sampler:
    """Call a function at an interval in a thread.

    The thread holds the sampler and nothing else. The owner passes functions that do not hold it, and calls
    :meth:`abandon` when it is gone.

    Args:
        tick: called at once and then every interval; must not raise.
        interval: seconds between two calls.
        background: ``False``: no thread is ever started.
        unsettled: called between two ticks, and every second as long as it returns true.
        on_start: called by each start, before the thread is there.
        on_abandoned: called by the thread at its end, if it was abandoned; must not raise.

    Attributes:
        background: whether it may start a thread.
        was_killed: whether its thread was ended by somebody else, and was not started again yet.
        on_killed: called by the thread when that happens; must not raise.
    """

    def __init__(
        self,
        tick: Callable[[], object],
        interval: float,
        *,
        background: bool,
        on_start: Callable[[], object],
        unsettled: Callable[[], object] = lambda: False,
        on_abandoned: Callable[[], object] = lambda: None,
    ) -> None:
        self._tick, self._interval, self.background = tick, interval, background
        self._on_start, self._unsettled, self._on_abandoned = on_start, unsettled, on_abandoned
        self._lock = threading.Lock()  # held while it starts or stops
        self._started = self._abandoned = self.was_killed = False
        self.on_killed: Callable[[], object] = lambda: None
        self._thread: threading.Thread | None = None
        self._signal = _StopSignal()

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def starting(self) -> bool:
        """Whether it is being started, or stopped."""
        return self._lock.locked()

    def start(self) -> None:
        """Start the thread, if there is to be one; does nothing between a start and a stop.

        Raises:
            RuntimeError: the process may not start threads.
        """
        with self._lock:
            if self._started:
                return
            if not self.was_killed:  # else it goes on
                self._on_start()
            if self.background:
                self._signal = _StopSignal()
                # A daemon: a thread that waits for a minute must not keep a finished process alive.
                thread = threading.Thread(target=self._run, args=(self._signal,), name=THREAD_NAME, daemon=True)
                thread.start()
                self._thread = thread
                at_exit(self.stop)
            self._started, self.was_killed = True, False

    def stop(self) -> None:
        """Stop the thread and wait for it, a second at the most. May be called again, and from the thread itself."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._started = False
            self._signal.set()
        not_at_exit(self.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)

    def abandon(self) -> None:
        """Let the thread end by itself, as the profiler is gone. Safe in the collector, which may call anywhere."""
        self._abandoned = True
        self._signal.set()

    def _run(self, signal: _StopSignal) -> None:
        try:
            self._tick_until(signal)
        except BaseException:  # noqa: BLE001 - a greenlet ends by what is raised in it: gevent.killall() means ours, too
            if not signal.is_set:
                not_at_exit(self.stop)
                self._started, self.was_killed = False, True
                self.on_killed()
        if self._abandoned:
            not_at_exit(self.stop)
            self._on_abandoned()
        # Under gevent a forked child inherits the running thread, and `threading` has taken it off its list: the end
        # would print a KeyError. Asked for here, it is listed again.
        threading.current_thread()

    def _tick_until(self, signal: _StopSignal) -> None:
        due = time.monotonic()
        while not signal.is_set:
            self._tick()
            # From the last due time, so that the work's own time adds no drift. A missed beat is skipped: on
            # a heap so large that the work takes longer than the interval, it must not use all of the processor.
            due += self._interval
            now = time.monotonic()
            if due < now:
                due = now + self._interval
            while (left := due - time.monotonic()) > 0 and not signal.is_set:
                signal.wait(min(left, _SETTLE_SECONDS) if self._unsettled() else left)


class _StopSignal:
    """A flag that one thread waits for, set once.

    ``Event`` has a lock that is written in Python: set by the collector in the very thread that waits, it would
    deadlock.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._wait_lock = threading.Lock()
        self._wait_lock.acquire()

    def set(self) -> None:
        self.is_set = True
        with contextlib.suppress(RuntimeError):  # it was set before
            self._wait_lock.release()

    def wait(self, seconds: float) -> None:
        if not self.is_set:
            self._wait_lock.acquire(timeout=seconds)
