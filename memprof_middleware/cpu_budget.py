"""The CPU budget: the processor time that all work of the profiler together may use."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

Kind = Literal["count", "walk", "search", "routes", "display", "evaluation"]
# Each kind of work that can be skipped has its share of the rate. What one kind does not need goes to the others,
# in this order, in which an open verdict needs them. The evaluation is never skipped: it is charged first.
_SHARES: dict[Kind, float] = {"count": 0.6, "walk": 0.15, "search": 0.1, "routes": 0.1, "display": 0.05}
# Unused time is saved up to so many seconds of the rate, which limits the use beyond the budget in any period. A young
# process measures most, and somebody may be watching: its first credit is larger, and covers the first measurements.
# A larger budget needs no larger credit: 300 s of 5 % would let a process of one minute use a quarter of a core.
_CREDIT_SECONDS, _START_SECONDS = 60.0, 300.0
_START_CPU_SECONDS = 1.5


class CpuBudget:
    """A credit of processor seconds for each kind of work, refilled at the rate of the budget.

    Work may begin while its kind has any credit, whatever it will cost: a heap that has grown fifty-fold costs one
    count too much and no more. A negative credit is refilled before work of that kind may begin again.

    Args:
        percent: the budget, in percent of one core.
        clock: seconds, by which the credits are refilled; in simulations the simulated time.

    Attributes:
        now: that clock.
        rate: processor seconds per second.
        cpu_seconds: all processor time used so far.
    """

    def __init__(self, percent: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.now, self.rate = clock, percent / 100
        self.cpu_seconds = 0.0
        self._maximum = {kind: share * self.rate * _CREDIT_SECONDS for kind, share in _SHARES.items()}
        self._credit = {kind: share * initial_credit(percent) for kind, share in _SHARES.items()}
        self._debt = 0.0  # of the evaluation
        self._refilled_at = clock()
        self._lock = threading.Lock()  # threads of requests charge too
        self._thread = threading.local()  # what this thread has charged

    def remaining(self, kind: Kind) -> float:
        """The credit of a kind of work, in processor seconds; negative when more was used."""
        with self._lock:
            self._refill()
            return self._credit[kind]

    def allows(self, kind: Kind) -> bool:
        """Whether work of this kind may begin."""
        return self.remaining(kind) > 0

    def charge(self, kind: Kind, seconds: float) -> None:
        """Charge for work that was done."""
        with self._lock:
            self._refill()
            self.cpu_seconds += seconds
            if kind == "evaluation":
                self._debt += seconds
            else:
                self._credit[kind] -= seconds
            # Pages are never skipped: many requests for them must not keep the profiler from counting.
            self._credit["display"] = max(self._credit["display"], -self._maximum["display"])
        self._thread.charged = self._charged_here() + seconds

    @contextlib.contextmanager
    def charging(self, kind: Kind) -> Iterator[None]:
        """Charge for the work inside the block, except what is charged inside of it."""
        began, charged = time.thread_time(), self._charged_here()
        try:
            yield
        finally:
            self.charge(kind, max(0.0, time.thread_time() - began - (self._charged_here() - charged)))

    def _charged_here(self) -> float:
        found: float = getattr(self._thread, "charged", 0.0)
        return found

    def _refill(self) -> None:
        """Add the processor time that came since the last refill: to the debt first, then to the credits."""
        now = self.now()
        seconds = max(0.0, now - self._refilled_at) * self.rate
        self._refilled_at = now
        repaid = min(seconds, self._debt)
        self._debt -= repaid
        seconds -= repaid
        rest = 0.0
        for kind, share in _SHARES.items():
            rest += seconds * share - self._add(kind, seconds * share)
        for kind in _SHARES:
            rest -= self._add(kind, rest)

    def _add(self, kind: Kind, seconds: float) -> float:
        """Add to one credit up to its maximum. Returns how much was added."""
        added = min(seconds, max(0.0, self._maximum[kind] - self._credit[kind]))
        self._credit[kind] += added
        return added


def initial_credit(percent: float) -> float:
    """Processor seconds that a young process may use in advance, once.

    Args:
        percent: the budget, in percent of one core.
    """
    return min(_START_CPU_SECONDS, percent / 100 * _START_SECONDS)
