"""Keep object counts within the CPU budget: decide when objects are counted, and whether all or a sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from memprof_middleware.config import Config
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.model.counts import STALE_INTERVALS, longest_gap
from memprof_middleware.probes import Census
from memprof_middleware.text.words import duration

# The cost of a count of every n-th object, as a share of an exact count: most of it is the atomic list of all objects.
# Measured at 0.7 and 3.5 M objects on CPython 3.11 (benchmarks/census.py).
# The strides are prime and above the length of the patterns in which programs make objects.
_COST = {1: 1.0, 7: 0.5, 17: 0.43, 31: 0.41}


class CountPolicy:
    """Decide when objects are counted.

    A count runs when the budget has credit for counting. Exact counts come first: they become rarer, up to five
    minutes, before they become samples. After five minutes or four intervals there is one, whatever the credit:
    without counts no verdict can begin or end.

    Args:
        config: ``cpu_budget``, ``max_stall`` and ``interval``.
        budget: the CPU budget.
        report: called with the reason why objects are counted less often than each interval, and with what helps.

    Attributes:
        censuses: the number of counts.
        skipped: the number of skipped counts, by reason: ``budget``, or ``stall`` for the pause limit.
    """

    def __init__(self, config: Config, budget: CpuBudget, report: Callable[[str], object] = lambda _text: None) -> None:
        self._config, self._budget, self._report = config, budget, report
        self._max_pause = config.max_stall / 1000
        self._gap = longest_gap(config.interval)
        self._exact_cost = 0.0
        self.censuses = 0
        self.skipped: Counter[str] = Counter()
        self._interval = config.interval
        self._counted_at = budget.now()
        self._cooldown = 0.0  # seconds after the last count, because it paused other threads for too long
        self._is_over_budget = False  # a count was skipped for the budget since the last one

    def counted(self, census: Census) -> None:
        """Learn from a finished count: the cost of an exact one, and the pause of other threads."""
        now = self._budget.now()
        self._exact_cost = census.cpu_seconds / _COST.get(census.stride, 1.0)
        since = now - self._counted_at
        pauses = census.longest_seconds / self._max_pause
        self._cooldown = min(self._gap, pauses * self._interval) if pauses > 1 else 0.0
        if self._cooldown > STALE_INTERVALS * self._interval:
            self._report(
                f"{self._rarely(self._cooldown)}: a count takes {1000 * census.longest_seconds:.0f} ms in which "
                f"nothing else runs, {self._config.max_stall:g} ms are allowed (max_stall)"
            )
        elif self._is_over_budget and since > STALE_INTERVALS * self._interval:
            needed = min(100, math.ceil(self._config.cpu_budget * since / self._interval))
            self._report(
                f"{self._rarely(since)}: interval={self._interval:g} needs about cpu_budget={needed}, "
                f"it is {self._config.cpu_budget:g}"
            )
        self.censuses += 1
        self._counted_at, self._is_over_budget = now, False

    def stride(self) -> int | None:
        """The stride of a count that may run now: 1 for all objects, ``n`` for every n-th; ``None``: no count now.

        The atomic part of a count cannot be sliced. Where it pauses other threads for longer than ``max_stall``, counts
        are rarer: on average one pause of that length per interval, and at least one count every five minutes.
        """
        now = self._budget.now()
        if now + self._interval - self._counted_at <= self._gap:
            is_cooling = now - self._counted_at < self._cooldown
            if is_cooling or not self._budget.allows("count"):
                self.skipped["stall" if is_cooling else "budget"] += 1
                self._is_over_budget |= not is_cooling
                return None
        affordable = (
            stride for stride, share in _COST.items() if self._exact_cost * share <= self._gap * self._budget.rate
        )
        return next(affordable, max(_COST))

    def _rarely(self, seconds: float) -> str:
        return f"objects are counted every {duration(seconds)} instead of every {duration(self._interval)}"
