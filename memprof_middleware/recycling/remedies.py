"""Remedies against high memory that are tried before a worker is replaced, each measured before and after."""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from memprof_middleware.failures import Failures
from memprof_middleware.model import MB
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.real_thread import in_real_thread

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

Remedy = Literal["collect", "callbacks", "trim"]
# In this order: what is collected and dropped can be trimmed.
REMEDIES: tuple[Remedy, ...] = ("collect", "callbacks", "trim")
REMEDY_THREAD = "memprof-remedy"
HOUR = 3600.0
# A trim holds each arena's lock and a collection the GIL, so both wait for a moment with few requests, up to so long.
_FEW_REQUESTS = 1
_QUIET_SECONDS = 10.0
_LOOK_SECONDS = 0.02
# A round that takes longer is given up on; its thread cannot be ended, so no other begins before it is over.
DEADLINE_SECONDS = 60.0
# 100 ns per object: above this a collection holds every thread up for more than half a second.
_MOST_OBJECTS = 5_000_000
_LEAST_TRIMMED_MB = 10.0


class Held(NamedTuple):
    """Anonymous memory in MB, and how much of it the C library could give back at most."""

    heap_mb: float
    free_mb: float


@valueclass(frozen=True, slots=True)
class Outcome:
    """One remedy in one round: heap in use before and after, or why it was left out."""

    remedy: Remedy
    before_mb: float = 0.0
    after_mb: float = 0.0
    seconds: float = 0.0
    skipped: str = ""

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.remedy} skipped: {self.skipped}"
        freed, sizes = self.before_mb - self.after_mb, f"{self.before_mb:.0f} to {self.after_mb:.0f} MiB"
        return f"{self.remedy} freed {max(0.0, freed):.0f} MiB in {1000 * self.seconds:.0f} ms ({sizes})"


class Remedies:
    """Run rounds of remedies in a thread of their own; the caller never waits.

    Args:
        per_hour: rounds in an hour, at most.
        instruments: read before and after each remedy.
        in_flight: how many requests are being served.
        failures: where a remedy that fails is counted.
        callbacks: what the application has to drop; one may join them at any time.
        trim: gives memory back to the system; a test passes its own.
        clock: monotonic seconds.

    Attributes:
        counts: remedies that ran, by name.
        freed_mb: what they gave back in all, by name; growth meanwhile is not subtracted.
        last: the outcomes of the last round that ended.
        ended_at: when that was; ``None`` before the first.
    """

    def __init__(
        self,
        per_hour: int,
        instruments: Instruments,
        in_flight: Callable[[], int],
        failures: Failures,
        callbacks: list[Callable[[], object]] | None = None,
        *,
        trim: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_hour, self._instruments, self._in_flight, self._failures = per_hour, instruments, in_flight, failures
        self._trim = trim or malloc_trim
        self._clock = clock
        self.callbacks = [] if callbacks is None else callbacks
        self.counts: Counter[str] = Counter()
        self.freed_mb: dict[str, float] = {}
        self.last: tuple[Outcome, ...] = ()
        self.ended_at: float | None = None
        self._begun: deque[float] = deque(maxlen=self._per_hour)
        self._thread: threading.Thread | None = None
        self._first: Held | None = None
        self._overdue = False

    def watch(self) -> None:
        """Note the memory at first, from which growth is measured. Cheap after the first call."""
        if self._first is None:
            self._first = self._held()

    @property
    def running(self) -> bool:
        """Whether a round is under way. One that has passed its deadline is counted as a failure, once."""
        if self._thread is None or not self._thread.is_alive():
            return False
        if not self._overdue and self._clock() - self._begun[-1] > DEADLINE_SECONDS:
            self._overdue = True
            self._failures.record("remedy", TimeoutError())
        return True

    @property
    def stuck(self) -> bool:
        """Whether the round under way has passed its deadline: nobody should wait for it."""
        return self.running and self._overdue

    @property
    def spent(self) -> bool:
        """Whether the rounds of this hour are used up."""
        return len(self._begun) == self._per_hour and self._clock() - self._begun[0] < HOUR

    @property
    def paused(self) -> bool:
        """Whether the last round was so short a time ago that another would not change much."""
        return bool(self._begun) and self._clock() - self._begun[-1] < HOUR / self._per_hour

    def begin(self, wanted: tuple[Remedy, ...], objects: int) -> bool:
        """Begin a round, unless one is under way or the hour's are used up.

        Args:
            wanted: which remedies.
            objects: live objects, which say what a collection would cost.
        """
        if self.running or self.spent:
            return False
        self.watch()
        self._overdue = False
        self._begun.append(self._clock())
        work = functools.partial(self._round, wanted, objects)
        self._thread = threading.Thread(target=work, name=REMEDY_THREAD, daemon=True)
        self._thread.start()
        return True

    def join(self, seconds: float) -> None:
        """Wait for the round under way, so long at the most."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _round(self, wanted: tuple[Remedy, ...], objects: int) -> None:
        outcomes: list[Outcome] = []
        try:
            with self._failures.caught("remedy"):
                for remedy in REMEDIES:
                    if remedy in wanted:
                        outcomes.append(self._try(remedy, objects))
                        self._tell(outcomes[-1])
        finally:  # gevent may end this greenlet at any time: the round is over then
            self.last = tuple(outcomes)
            self.ended_at = self._clock()

    def _try(self, remedy: Remedy, objects: int) -> Outcome:
        skipped = self._excuse(remedy, objects)
        if skipped:
            return Outcome(remedy, skipped=skipped)
        before, began = self._held().heap_mb, time.perf_counter()
        if remedy == "collect":
            gc.collect()
        elif remedy == "trim":
            in_real_thread(self._trim)
        for callback in self.callbacks if remedy == "callbacks" else ():
            with self._failures.contained("remedy"):
                callback()
        seconds = time.perf_counter() - began
        after = self._held().heap_mb
        self.counts[remedy] += 1
        self.freed_mb[remedy] = self.freed_mb.get(remedy, 0.0) + max(0.0, before - after)
        return Outcome(remedy, before, after, seconds)

    def _excuse(self, remedy: Remedy, objects: int) -> str:
        """The reason against a remedy now: no use, or harm; empty if there is none."""
        if remedy == "callbacks":
            return "" if self.callbacks else "no callback is registered"
        if remedy == "collect" and objects > _MOST_OBJECTS:
            return f"a collection of {objects:,} objects would pause requests for more than half a second"
        if remedy == "trim":
            stats = self._instruments.allocator()
            if stats.name != "glibc" or stats.retained is None:
                return f"the allocator is {stats.name}" if stats.name != "glibc" else "this glibc has no figures"
            if not retained_grew(self._first or self._held(), self._held()):
                return "free memory did not grow"
        return "" if self._quiet() else f"no moment without requests in {_QUIET_SECONDS:.0f} s"

    def _quiet(self) -> bool:
        """Wait for a moment with few requests in flight."""
        deadline = self._clock() + _QUIET_SECONDS
        while self._in_flight() > _FEW_REQUESTS:
            if self._clock() >= deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _held(self) -> Held:
        heap, stats = self._instruments.process().anonymous, self._instruments.allocator()
        # After a trim `retained` stays high, so what is really there bounds it.
        free = 0 if stats.retained is None or stats.in_use is None else min(stats.retained, max(0, heap - stats.in_use))
        return Held(heap / MB, free / MB)

    def _tell(self, outcome: Outcome) -> None:
        level = logging.DEBUG if outcome.skipped else logging.INFO
        self._failures.logger.log(level, "memprof: remedy %s", outcome, extra={"memprof_remedy": outcome.remedy})


def retained_grew(first: Held, now: Held) -> bool:
    """Return whether at least half of what the heap gained is memory that the C library keeps though it was freed.

    Objects of up to 512 bytes are not among it: Python's own allocator keeps those, and no trim gives them back.
    """
    gained = now.free_mb - first.free_mb
    return gained >= max(_LEAST_TRIMMED_MB, (now.heap_mb - first.heap_mb) / 2)


def malloc_trim() -> None:
    """Give free memory of the C library back to the system. Only under glibc: elsewhere it does harm, or is not there.

    The GIL is released meanwhile; a thread that allocates in the arena that is being trimmed waits all the same.
    """
    ctypes.CDLL(None).malloc_trim(0)
