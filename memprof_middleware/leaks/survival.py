"""Survival of the oldest: the first entry of a container, or a cohort of anything that is counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from memprof_middleware.leaks.cohorts import ObservedCohort
from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.series import at
from memprof_middleware.model.value import valueclass

# Looks that tell something at the least, and the part of them at which the first entry was another one.
_LOOKS, _TURNS = 4, 0.3
# So much of a cohort is there if it survives.
KEPT = 0.7
# Cohorts of the first half of the growth are asked, of so many things together at the least.
_FIRST_PART, _FEWEST = 0.5, 8
# They die out if no more than this part of those is there that must be there if the growth is kept.
_OF_NEEDED = 0.5
# Standard errors of a 95 % interval.
_ERRORS = 1.96


def turned_over(oldest: Sequence[int | None]) -> bool | None:
    """Whether a container's oldest entry keeps going; ``None`` while too few looks were taken.

    One change says nothing: the entry that was there from the start may be deleted. What lives for a time, and what is
    pushed out at the other end, changes at most looks.

    Args:
        oldest: what stands for the oldest entry at each look; ``None`` where it could not be told.
    """
    seen = [one for one in oldest if one is not None]
    if len(seen) < _LOOKS:
        return None
    late = seen[len(seen) // 2 :] if len(seen) >= 2 * _LOOKS else seen
    changes = sum(a != b for a, b in pairwise(late))
    return changes >= max(2, _TURNS * (len(late) - 1))


@valueclass(frozen=True, slots=True)
class Survival:
    """The survivors of objects that existed in the first half of a growth.

    Attributes:
        size: how many were asked.
        alive: how many of them are certainly there.
        gone: how many are certainly not.
        seconds: how long ago the youngest of them were seen.
        needed: the part of them that must be there if what was gained meanwhile is kept.
    """

    size: int
    alive: int
    gone: int
    seconds: float
    needed: float

    @property
    def stays(self) -> bool:
        """Whether most are there beyond doubt."""
        return wilson(self.alive, self.size)[0] >= KEPT

    @property
    def dies_out(self) -> bool:
        """Whether fewer are there, beyond doubt, than the growth leaves behind if it is kept."""
        return wilson(self.size - self.gone, self.size)[1] < _OF_NEEDED * self.needed


def survival(
    cohorts: Sequence[ObservedCohort], growth: Growth, values: Sequence[float], times: Sequence[float]
) -> Survival | None:
    """Return what is left of the cohorts of the first half of a growth; ``None``: there are none, or too small ones.

    A cohort is a sample of what was there at that time. Where a leak and a traffic share a type or a container, only
    the part that the leak had brought by then has to be there: it is reckoned from the counts, as if all that nobody
    could choose were the leak's.

    Args:
        cohorts: what was asked.
        growth: the stretch.
        values: the counts, row by row.
        times: of the rows.
    """
    begin, half = growth.times[0], growth.times[0] + _FIRST_PART * growth.seconds
    chosen = [one for one in cohorts if begin <= one.taken <= half < one.at]
    size = sum(one.cohort.size for one in chosen)
    if size < _FEWEST:
        return None
    needed = sum(one.cohort.size * _kept_of(one, growth, values, times) for one in chosen) / size
    return Survival(
        size,
        sum(one.cohort.alive for one in chosen),
        sum(one.cohort.gone for one in chosen),
        min(one.at - one.taken for one in chosen),
        needed,
    )


def _kept_of(one: ObservedCohort, growth: Growth, values: Sequence[float], times: Sequence[float]) -> float:
    """The least share of growth among the objects that the cohort was chosen from."""
    there = at(times, values, one.taken)
    among = there if one.cohort.among is None else min(there, one.cohort.among)
    brought = at(growth.times, growth.levels, one.taken) - growth.levels[0]
    return max(0.0, brought - (there - among)) / among if among > 0 else 0.0


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, _ERRORS**2
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    reach = _ERRORS * math.sqrt(share * (1 - share) / whole + square / (4 * whole**2)) / (1 + square / whole)
    return middle - reach, middle + reach
