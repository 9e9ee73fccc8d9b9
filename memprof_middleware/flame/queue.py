"""The queue of orders for flame graphs, in files that the workers of a server share.

A request reaches one worker, and the window is to run in the one that was asked for: so the order lies in a file, the
right worker's own thread claims it, and the result lies in files that whichever worker answers can read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from memprof_middleware.errors import FlameError
from memprof_middleware.flame.store import FlameResults
from memprof_middleware.model.flame import Engine, FlameOrder, FlameSummary, Stack
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.workers.atomic_file import read_start, write_private
from memprof_middleware.workers.run_directory import FLAME

MIN_SECONDS, MAX_SECONDS = 1.0, 60.0
# Who was asked takes the order within a second, unless a long census keeps its thread; then it is not taken any more.
CLAIM_SECONDS = 20.0
# From the end of the window to its result.
_FOLD_SECONDS = 60.0
# A window slows the worker down: the workers rest for twice as long as one was looked at, and at least so long.
_REST_FACTOR, _LEAST_REST_SECONDS = 2.0, 5.0
_ORDER, _LARGEST_ORDER = "order", 1 << 16


class FlameBusyError(FlameError):
    """A window is open, or one was asked for."""


class FlameRestError(FlameError):
    """The last window ended too short a time ago.

    Attributes:
        seconds: when to ask again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the last flame graph ended a moment ago: the workers rest. Try again in {seconds:.0f} s")


class FlameDesk:
    """One server's desk.

    Args:
        folder: the private folder of the server's workers.
        clock: seconds since the epoch.

    Attributes:
        results: what came of the windows.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder / FLAME, clock
        self._lock = threading.Lock()
        self.results = FlameResults(self._folder)

    def ask(self, pid: int, engine: Engine, seconds: float) -> FlameOrder:
        """Leave an order for a worker.

        Args:
            pid: the process that is to be looked at.
            engine: what looks.
            seconds: how long; brought into the range from 1 to 60.

        Raises:
            FlameBusyError: there is an order.
            FlameRestError: it is too early for the next one.
            OSError: the file cannot be written.
        """
        now = self._clock()
        with self._locked():
            if (working := self.order()) is not None:
                begun = working.asked_at if working.started_at is None else working.started_at
                left = max(1.0, begun + working.seconds - now)
                raise FlameBusyError(f"a flame graph is already being recorded. Try again in {left:.0f} s")
            rest = max((self._rest(summary) - now for summary in self.results.summaries()[:1]), default=0.0)
            if rest > 0:
                raise FlameRestError(rest)
            order = FlameOrder(
                id=f"{int(now):08x}{secrets.token_hex(6)}",
                pid=pid,
                engine=engine,
                seconds=min(MAX_SECONDS, max(MIN_SECONDS, seconds)),
                asked_at=now,
            )
            self._write(order)
        return order

    def order(self) -> FlameOrder | None:
        """The order that waits or is being worked at; one that nobody works at any more is none."""
        order = self._any_order()
        return order if order is not None and self._is_current(order) else None

    def claim(self, pid: int) -> FlameOrder | None:
        """Take the order that waits for this process; costs one look for a file while there is none."""
        if not (self._folder / _ORDER).exists():
            return None
        with self._locked():
            order = self.order()
            if order is None or order.pid != pid or order.started_at is not None:
                return None
            started = dataclasses.replace(order, started_at=self._clock())
            self._write(started)
        return started

    def hand_back(self, summary: FlameSummary, stacks: tuple[Stack, ...] = ()) -> None:
        """Store what came of the order, and clear the desk.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self.results.store(summary, stacks)
        finally:
            with self._locked():
                order = self._any_order()
                if order is None or order.id == summary.id:
                    (self._folder / _ORDER).unlink(missing_ok=True)
                    order = None
                self.results.prune(None if order is None else order.id)

    def clear_lost(self, pids: Collection[int]) -> None:
        """Tell the end of an order that nobody works at any more.

        Args:
            pids: the live workers.

        Raises:
            OSError: it cannot be written.
        """
        order = self._any_order()
        if order is None or (order.pid in pids and self._is_current(order)):
            return
        if order.pid not in pids:
            why = "the worker ended before it was done"
        elif order.started_at is None:
            why = f"the worker did not begin within {CLAIM_SECONDS:.0f} s: its thread is busy or does not run"
        else:
            why = "the worker began and came to no end; its log may say why"
        self.hand_back(
            FlameSummary(
                id=order.id,
                pid=order.pid,
                worker="",
                engine=order.engine,
                asked_seconds=order.seconds,
                seconds=0.0,
                ended_at=self._clock(),
                error=why,
            )
        )

    def _any_order(self) -> FlameOrder | None:
        with contextlib.suppress(OSError, ValueError):
            return FlameOrder.from_dict(parsed_object(read_start(self._folder / _ORDER, _LARGEST_ORDER)))
        return None

    def _is_current(self, order: FlameOrder) -> bool:
        if order.started_at is None:
            until = order.asked_at + CLAIM_SECONDS
        else:
            until = order.started_at + order.seconds + _FOLD_SECONDS
        # A clock that was set back must not keep the desk busy for hours.
        return order.asked_at - CLAIM_SECONDS <= self._clock() < until

    def _rest(self, last: FlameSummary) -> float:
        """Until when the workers rest; what came to nothing at once did not slow them down."""
        rest = max(_LEAST_REST_SECONDS, _REST_FACTOR * last.seconds) if last.seconds else 0.0
        return min(last.ended_at, self._clock()) + rest

    def _write(self, order: FlameOrder) -> None:
        write_private(self._folder / _ORDER, json.dumps(order.to_dict()))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: of this process's threads by a lock, of the server's workers by one on a file."""
        try:
            import fcntl
        except ImportError:  # on Windows nobody shares the desk
            with self._lock:
                yield
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._lock, (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:  # closing is not enough: a child that is forked meanwhile keeps the file open, and the lock held
                fcntl.flock(file, fcntl.LOCK_UN)
