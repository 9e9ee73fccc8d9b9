"""Keep the object count within the CPU budget: when objects are counted, and exactly or by sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from memprof_middleware.config import Config
from memprof_middleware.model.counts import STALE_INTERVALS, longest_gap
from memprof_middleware.probes import Census
from memprof_middleware.purse import Purse
from memprof_middleware.text.words import duration

# What a census costs that looks at every n-th object, as a share of an exact one: the atomic list of all objects is
# most of it. Measured at 0.7 and 3.5 M objects on CPython 3.11 (benchmarks/census.py).
# The strides are prime and above the length of the patterns in which programs make objects.
_COST = {1: 1.0, 7: 0.5, 17: 0.43, 31: 0.41}


class Governor:
    """Decide when objects are counted.

    A count runs when the budget has time left for counting. Exact counts come first: they are taken less often, up
    to five minutes, before they become samples. At five minutes or four intervals there is one whatever is owed:
    without counts no verdict can begin or end.

    Args:
        config: ``cpu_budget``, ``max_stall`` and ``interval``.
        purse: the CPU budget.
        say: told why objects are counted less often than the interval says, and what helps.

    Attributes:
        censuses: how often objects were counted.
        skipped: how often there was no census, by reason: ``budget`` or ``stall``.
    """

    def __init__(self, config: Config, purse: Purse, say: Callable[[str], object] = lambda _text: None) -> None:
        self._config, self._purse, self._say = config, purse, say
        self._max_stall = config.max_stall / 1000
        self._gap = longest_gap(config.interval)
        self._exact_cost = 0.0
        self.censuses = 0
        self.skipped: Counter[str] = Counter()
        self._interval = config.interval
        self._counted_at = purse.now()
        self._rest = 0.0  # how long after the last census, because it stalled other threads
        self._put_off = False  # since the last census, for the budget

    def counted(self, census: Census) -> None:
        """Learn the cost of an exact count from one that was taken, and how long it paused other threads."""
        now = self._purse.now()
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

    def stride(self) -> int | None:
        """The stride of a count that may run now: every how-many-th object. ``None``: no count yet.

        The atomic part of a census cannot be sliced, so where it holds other threads up for longer than ``max_stall``
        it comes the less often: one stall of that length per interval on average, and at least every five minutes.
        """
        now = self._purse.now()
        if now + self._interval - self._counted_at <= self._gap:
            stalled = now - self._counted_at < self._rest
            if stalled or not self._purse.may("count"):
                self.skipped["stall" if stalled else "budget"] += 1
                self._put_off |= not stalled
                return None
        affordable = (
            stride for stride, share in _COST.items() if self._exact_cost * share <= self._gap * self._purse.rate
        )
        return next(affordable, max(_COST))

    def _rarely(self, seconds: float) -> str:
        return f"objects are counted every {duration(seconds)} instead of every {duration(self._interval)}"
