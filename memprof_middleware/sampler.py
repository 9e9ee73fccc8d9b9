"""The one thread per process: started by the first event in a process, stopped with it, gone after a fork."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

THREAD_NAME = "memprof-sampler"
# The longest that an exiting process waits for a snapshot that is under way.
_STOP_SECONDS = 1.0
_SETTLE_SECONDS = 1.0
_samplers: weakref.WeakSet[Sampler]


class Sampler:
    """Calls a function at a steady interval in a thread of its own.

    Args:
        tick: called at once and then every interval; must not raise.
        interval: seconds between two calls.
        background: ``False``: no thread is ever started.
        unsettled: asked between two ticks; while it says true it is asked again every second.
        on_process: called once in each process before anything else: what was inherited from a parent is void.
        on_start: called by each start, before the thread is there.

    Attributes:
        background: whether it may start a thread.
        pid: the process it was started in last; ``None`` before the first start and after a fork.
    """

    def __init__(
        self,
        tick: Callable[[], None],
        interval: float,
        *,
        background: bool,
        on_process: Callable[[], None],
        on_start: Callable[[], None],
        unsettled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tick, self._interval, self.background = tick, interval, background
        self._on_process, self._on_start, self._unsettled = on_process, on_start, unsettled
        self.forget()
        _samplers.add(self)

    def forget(self) -> None:
        """Make anew what a fork breaks: the lock may be held, and the thread is not there."""
        self.pid: int | None = None
        # Not the same: a snapshot by hand enters a process, and the first request must still start the thread.
        self._entered: int | None = None
        self._started = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def running(self) -> bool:
        """Whether the thread runs in this process."""
        # The pid comes first: under uWSGI is_alive() says True for a thread that stayed in the master.
        return self.pid == os.getpid() and self._thread is not None and self._thread.is_alive()

    def enter_process(self) -> None:
        """Void what was inherited, once in each process; starts no thread."""
        if self._entered != os.getpid():
            with self._lock:
                self._enter()

    def start(self) -> None:
        """Start the thread, if there is to be one; does nothing between a start and a stop.

        Raises:
            RuntimeError: the process may not start threads.
        """
        with self._lock:
            self._enter()
            if self._started:
                return
            # First, so that a process that may not start threads is told once and not with every request.
            self.pid = os.getpid()
            self._on_start()
            if self.background:
                self._stopping = threading.Event()
                # A daemon: a thread that waits for a minute must not keep a finished process alive.
                thread = threading.Thread(target=self._run, args=(self._stopping,), name=THREAD_NAME, daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.stop)
            self._started = True

    def stop(self) -> None:
        """Stop the thread and wait for it, a second at the most. May be called again, and from the thread itself."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._started = False
            self._stopping.set()
            own = self.pid == os.getpid()
        atexit.unregister(self.stop)
        if own and thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)

    def _enter(self) -> None:
        pid = os.getpid()
        if self._entered != pid:
            self._thread, self._started = None, False
            try:
                self._on_process()
            finally:
                # Last, so that no other thread goes on with half of the old state; always, so that it is done once.
                self._entered = pid

    def _run(self, stopping: threading.Event) -> None:
        due = time.monotonic()
        while not stopping.is_set():
            self._tick()
            # From the last due time, so that the work's own time adds no drift. A beat that was missed is left out:
            # on a heap so large that the work takes longer than the interval, it must not fill the processor.
            due += self._interval
            now = time.monotonic()
            if due < now:
                due = now + self._interval
            while (left := due - time.monotonic()) > 0 and not stopping.is_set():
                stopping.wait(min(left, _SETTLE_SECONDS) if self._unsettled() else left)


_samplers = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sampler in list(_samplers):
        sampler.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)
