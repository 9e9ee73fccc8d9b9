"""The one thread per process: started by the first event in a process, stopped with it, gone after a fork."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable

from memprof_middleware.forks import renew_in_child

THREAD_NAME = "memprof-sampler"
# The longest that an exiting process waits for a snapshot that is under way.
_STOP_SECONDS = 1.0
_SETTLE_SECONDS = 1.0


class Sampler:
    """Calls a function at a steady interval in a thread of its own.

    The thread holds the sampler and no more: whoever is behind the functions passes them so that they do not hold him,
    and says with :meth:`abandon` when he is gone.

    Args:
        tick: called at once and then every interval; must not raise.
        interval: seconds between two calls.
        background: ``False``: no thread is ever started.
        unsettled: asked between two ticks; while it says true it is asked again every second.
        on_process: called once in each process before anything else: what was inherited from a parent is void.
        on_start: called by each start, before the thread is there.
        on_abandoned: called by the thread at its end, if it was abandoned; must not raise.

    Attributes:
        background: whether it may start a thread.
        pid: the process it was started in last; ``None`` before the first start and after a fork.
    """

    def __init__(
        self,
        tick: Callable[[], object],
        interval: float,
        *,
        background: bool,
        on_process: Callable[[], object],
        on_start: Callable[[], object],
        unsettled: Callable[[], object] = lambda: False,
        on_abandoned: Callable[[], object] = lambda: None,
    ) -> None:
        self._tick, self._interval, self.background = tick, interval, background
        self._on_process, self._on_start, self._unsettled = on_process, on_start, unsettled
        self._on_abandoned = on_abandoned
        self._abandoned = False
        self.forget()
        renew_in_child(self.forget)

    def forget(self) -> None:
        """Make anew what a fork breaks: the lock may be held, and the thread is not there."""
        self.pid: int | None = None
        self._lives: dict[int, _Life] = {}

    @property
    def running(self) -> bool:
        """Whether the thread runs in this process."""
        thread = self._life.thread
        return thread is not None and thread.is_alive()

    @property
    def starting(self) -> bool:
        """Whether it is being started in this process, or stopped."""
        return self._life.lock.locked()

    def enter_process(self) -> None:
        """Void what was inherited, once in each process; starts no thread."""
        life = self._life
        if not life.entered:
            with life.lock:
                self._enter(life)

    def start(self) -> None:
        """Start the thread, if there is to be one; does nothing between a start and a stop.

        Raises:
            RuntimeError: the process may not start threads.
        """
        life = self._life
        with life.lock:
            self._enter(life)
            if life.started:
                return
            # First, so that a process that may not start threads is told once and not with every request.
            self.pid = os.getpid()
            self._on_start()
            if self.background:
                life.bell = _Bell()
                # A daemon: a thread that waits for a minute must not keep a finished process alive.
                thread = threading.Thread(target=self._run, args=(life.bell,), name=THREAD_NAME, daemon=True)
                thread.start()
                life.thread = thread
                atexit.register(self.stop)
            life.started = True

    def stop(self) -> None:
        """Stop the thread and wait for it, a second at the most. May be called again, and from the thread itself."""
        life = self._life
        with life.lock:
            thread, life.thread = life.thread, None
            life.started = False
            life.bell.ring()
        atexit.unregister(self.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)

    def abandon(self) -> None:
        """Have the thread end by itself: nobody is there any more. Safe in the collector, which may call anywhere."""
        self._abandoned = True
        self._life.bell.ring()

    @property
    def _life(self) -> _Life:
        # Of all threads of a new process one sets it, without a lock: the one that is there may be held for ever.
        # The pid is asked each time: uWSGI runs no hook, and its is_alive() says True for a thread of the master's.
        pid = os.getpid()
        return self._lives.get(pid) or self._lives.setdefault(pid, _Life())

    def _enter(self, life: _Life) -> None:
        if not life.entered:
            try:
                self._on_process()
            finally:
                # Last, so that no other thread goes on with half of the old state; always, so that it is done once.
                life.entered = True

    def _run(self, bell: _Bell) -> None:
        due = time.monotonic()
        while not bell.rung:
            self._tick()
            # From the last due time, so that the work's own time adds no drift. A beat that was missed is left out:
            # on a heap so large that the work takes longer than the interval, it must not fill the processor.
            due += self._interval
            now = time.monotonic()
            if due < now:
                due = now + self._interval
            while (left := due - time.monotonic()) > 0 and not bell.rung:
                bell.wait(min(left, _SETTLE_SECONDS) if self._unsettled() else left)
        if self._abandoned:
            atexit.unregister(self.stop)
            self._on_abandoned()


class _Bell:
    """Rung once, it wakes who waits for it.

    An ``Event`` has a lock of Python's inside: rung by the collector in the very thread that waits, it would wait for
    itself.
    """

    def __init__(self) -> None:
        self.rung = False
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        self.rung = True
        with contextlib.suppress(RuntimeError):  # it was rung before
            self._silence.release()

    def wait(self, seconds: float) -> None:
        if not self.rung:
            self._silence.acquire(timeout=seconds)


class _Life:
    """What a sampler has in one process.

    Attributes:
        lock: held while it enters, starts or stops.
        entered: whether the inherited was voided. Not the same as started: a snapshot by hand enters a process, and
            the first request must still start the thread.
        started: whether it was started and not stopped since.
        thread: the thread.
        bell: ends it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entered = self.started = False
        self.thread: threading.Thread | None = None
        self.bell = _Bell()
