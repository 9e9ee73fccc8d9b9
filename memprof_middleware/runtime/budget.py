"""Keeps the profiler within its budget: when the next census may run, and how closely it looks."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

from memprof_middleware.config import Config
from memprof_middleware.model.counts import STALE_INTERVALS, longest_gap
from memprof_middleware.probes import Census
from memprof_middleware.text.words import duration

# What a census costs that looks at every n-th object, as a share of an exact one: the atomic list of all objects is
# most of it. Measured at 0.7 and 3.5 M objects on CPython 3.11 (benchmarks/census.py).
# The strides are prime and above the length of the patterns in which programs make objects.
_COST = {1: 1.0, 7: 0.5, 17: 0.43, 31: 0.41}
# So many seconds' worth of the budget may be spent ahead: it bounds what any window sees beyond the budget. A young
# process has most to look at, and somebody may be watching: once it has more.
_CREDIT_SECONDS, _START_SECONDS = 60.0, 300.0


class Governor:
    """A token bucket of processor time that fills at the budget's rate.

    A census runs when the bucket is not empty, whatever it will cost, so that a heap that has grown fifty-fold costs
    one census too much and no more. Exact counts come first: they are taken less often, up to five minutes, before
    they become samples. At five minutes or four intervals there is one whatever is owed: without counts no verdict can
    begin or end.

    Args:
        config: ``cpu_budget``, ``max_stall`` and ``interval``.
        now: monotonic seconds.
        say: told why objects are counted less often than the interval says, and what helps.

    Attributes:
        cpu_seconds: what was spent in all.
        censuses: how often objects were counted.
        skipped: how often there was no census, by reason: ``budget`` or ``stall``.
    """

    def __init__(self, config: Config, now: float, say: Callable[[str], object] = lambda _text: None) -> None:
        self._config, self._say = config, say
        self._rate = config.cpu_budget / 100
        self._credit = _CREDIT_SECONDS * self._rate
        self._max_stall = config.max_stall / 1000
        self._gap = longest_gap(config.interval)
        self._balance, self._balanced_at = _START_SECONDS * self._rate, now
        self._exact_cost = 0.0
        self.cpu_seconds = 0.0
        self.censuses = 0
        self.skipped: Counter[str] = Counter()
        self._interval = config.interval
        self._counted_at = now
        self._rest = 0.0  # how long after the last census, because it stalled other threads
        self._put_off = False  # since the last census, for the budget

    def spent(self, seconds: float, now: float) -> None:
        """Pay for work that was done: processor seconds."""
        most = max(self._credit, self._balance)
        self._balance = min(most, self._balance + (now - self._balanced_at) * self._rate) - seconds
        self._balanced_at = now
        self.cpu_seconds += seconds

    @contextlib.contextmanager
    def paying(self) -> Iterator[None]:
        """Pay for the work inside the block."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.spent(time.thread_time() - began, time.monotonic())

    @contextlib.contextmanager
    def paying_rest(self) -> Iterator[None]:
        """Pay for what of the block's work has not been paid for inside it."""
        began, paid = time.thread_time(), self.cpu_seconds
        try:
            yield
        finally:
            rest = time.thread_time() - began - (self.cpu_seconds - paid)
            self.spent(max(0.0, rest), time.monotonic())

    def counted(self, census: Census, now: float) -> None:
        """Learn from a census what an exact one costs, and whether it held other threads up."""
        self._exact_cost = census.cpu_seconds / _COST.get(census.stride, 1.0)
        since = now - self._counted_at
        stalls = census.longest_seconds / self._max_stall
        self._rest = min(self._gap, stalls * self._interval) if stalls > 1 else 0.0
        if self._rest > STALE_INTERVALS * self._interval:
            self._say(
                f"{self._rarely(self._rest)}: a count takes {1000 * census.longest_seconds:.0f} ms in which nothing "
                f"else runs, {self._config.max_stall:g} ms are allowed (max_stall)"
            )
        elif self._put_off and since > STALE_INTERVALS * self._interval:
            needed = min(100, math.ceil(self._config.cpu_budget * since / self._interval))
            self._say(
                f"{self._rarely(since)}: interval={self._interval:g} needs about cpu_budget={needed}, "
                f"it is {self._config.cpu_budget:g}"
            )
        self.censuses += 1
        self._counted_at, self._put_off = now, False

    def stride(self, now: float) -> int | None:
        """Look at every how-many-th object in a census now; ``None``: no census yet.

        The atomic part of a census cannot be sliced, so where it holds other threads up for longer than ``max_stall``
        it comes the less often: one stall of that length per interval on average, and at least every five minutes.
        """
        self.spent(0.0, now)
        if now + self._interval - self._counted_at <= self._gap:
            stalled = now - self._counted_at < self._rest
            if stalled or self._balance <= 0:
                self.skipped["stall" if stalled else "budget"] += 1
                self._put_off |= not stalled
                return None
        affordable = (stride for stride, share in _COST.items() if self._exact_cost * share <= self._gap * self._rate)
        return next(affordable, max(_COST))

    def _rarely(self, seconds: float) -> str:
        return f"objects are counted every {duration(seconds)} instead of every {duration(self._interval)}"
