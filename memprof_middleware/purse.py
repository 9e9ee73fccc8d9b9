"""The processor time that the profiler may use: all of its work is paid from one purse, and nobody goes around it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

Kind = Literal["count", "walk", "search", "routes", "shown", "judging"]
# Each kind of work that can be put off has its part of the income; what one does not need goes to the others in this
# order, which is that in which an open verdict needs them. Judging is never put off: it is paid before all.
_SHARES: dict[Kind, float] = {"count": 0.4, "walk": 0.2, "search": 0.15, "routes": 0.15, "shown": 0.1}
# So many seconds' income may be saved up: it bounds what any window sees beyond the budget. A young process has most
# to look at, and somebody may be watching: once it has more, but no more than its first looks take. A larger budget
# needs no larger credit: 300 s of 5 % would let a process of one minute take a quarter of a core.
_CREDIT_SECONDS, _START_SECONDS = 60.0, 300.0
_START_CPU_SECONDS = 1.5


class Purse:
    """Processor seconds that are earned at the budget's rate and spent by kind of work.

    Work may begin when there is anything left of its kind, whatever it will cost: a heap that has grown fifty-fold
    costs one count too much and no more. What was overdrawn is earned before it may begin again.

    Args:
        percent: the budget, in percent of one core.
        clock: seconds by which the income comes; where time is simulated, those.

    Attributes:
        now: that clock.
        rate: seconds earned in a second.
        cpu_seconds: what was spent in all.
    """

    def __init__(self, percent: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.now, self.rate = clock, percent / 100
        self.cpu_seconds = 0.0
        self._most = {kind: share * self.rate * _CREDIT_SECONDS for kind, share in _SHARES.items()}
        self._left = {kind: share * start_credit(percent) for kind, share in _SHARES.items()}
        self._owed = 0.0  # for judging
        self._earned_at = clock()
        self._lock = threading.Lock()  # requests pay for what they are shown
        self._here = threading.local()  # what was spent in this thread

    def left(self, kind: Kind) -> float:
        """What may be spent on some work now, in processor seconds; below zero it is overdrawn."""
        with self._lock:
            self._earn()
            return self._left[kind]

    def may(self, kind: Kind) -> bool:
        """Whether some work may begin."""
        return self.left(kind) > 0

    def charge(self, kind: Kind, seconds: float) -> None:
        """Pay for work that was done."""
        with self._lock:
            self._earn()
            self.cpu_seconds += seconds
            if kind == "judging":
                self._owed += seconds
            else:
                self._left[kind] -= seconds
            # Pages are not refused: who asks for many must not keep the profiler from counting.
            self._left["shown"] = max(self._left["shown"], -self._most["shown"])
        self._here.spent = self._spent_here() + seconds

    @contextlib.contextmanager
    def paying(self, kind: Kind) -> Iterator[None]:
        """Pay for the work inside the block, but for what is paid for inside of it."""
        began, spent = time.thread_time(), self._spent_here()
        try:
            yield
        finally:
            self.charge(kind, max(0.0, time.thread_time() - began - (self._spent_here() - spent)))

    def _spent_here(self) -> float:
        found: float = getattr(self._here, "spent", 0.0)
        return found

    def _earn(self) -> None:
        now = self.now()
        income = max(0.0, now - self._earned_at) * self.rate
        self._earned_at = now
        paid = min(income, self._owed)
        self._owed -= paid
        income -= paid
        rest = 0.0
        for kind, share in _SHARES.items():
            rest += income * share - self._put(kind, income * share)
        for kind in _SHARES:
            rest -= self._put(kind, rest)

    def _put(self, kind: Kind, seconds: float) -> float:
        """Put into one part what it can still hold of some income; how much that is."""
        put = min(seconds, max(0.0, self._most[kind] - self._left[kind]))
        self._left[kind] += put
        return put


def start_credit(percent: float) -> float:
    """Processor seconds that a young process may spend ahead, once.

    Args:
        percent: the budget, in percent of one core.
    """
    return min(_START_CPU_SECONDS, percent / 100 * _START_SECONDS)
