"""Growth in runs: a job that leaves about as much behind each time, at even intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from memprof_middleware.analysis.median import median
from memprof_middleware.leaks.line import RECENT, Growth, fallen
from memprof_middleware.model.value import valueclass

# So many runs at the least; more than so many are a line by themselves.
_FEWEST, _MOST = 5, 24
# They bring so much of the growth together; what comes between two rows and is less than such a part of it is no run.
_TOGETHER, _LEAST = 0.8, 1 / 48
# A run brings no more and no less than so many times what the median one brings; so do the intervals between them.
_SIZES, _INTERVALS = (0.5, 2.0), (0.6, 1.4)
# The last ones bring at least such a part of what the first ones brought; and the next one is not overdue by so much.
_GOES_ON, _OVERDUE = 0.75, 1.4
# Between two runs it stands still, but for such a part of a run: what rises and is swept each hour is no job.
_STILL = 0.5


@valueclass(frozen=True, slots=True)
class Runs:
    """The runs of a job.

    Attributes:
        count: how many there were.
        seconds: from one to the next.
    """

    count: int
    seconds: float


def runs(growth: Growth, values: Sequence[float]) -> Runs | None:
    """The runs that growth came in; ``None`` if it came otherwise, or the next one is overdue.

    Of a job that has run five times, most rows show nothing: between two runs it has "just stopped", and a quarter of
    the time may have brought one run or two.

    Args:
        growth: the stretch.
        values: the series as measured.
    """
    found = _found(growth)
    if not _FEWEST <= len(found) <= _MOST or sum(size for _, size in found) < _TOGETHER * growth.amount:
        return None
    sizes, times = [size for _, size in found], [time for time, _ in found]
    intervals = [b - a for a, b in pairwise(times)]
    if not (_is_even(sizes, _SIZES) and _is_even(intervals, _INTERVALS)):
        return None
    if fallen(growth, values, RECENT) > _STILL * median(sizes):
        return None
    half, seconds = len(sizes) // 2, median(intervals)
    goes_on = sum(sizes[-half:]) >= _GOES_ON * sum(sizes[:half])
    return Runs(len(found), seconds) if goes_on and growth.times[-1] - times[-1] <= _OVERDUE * seconds else None


def _found(growth: Growth) -> list[tuple[float, float]]:
    """When each run ended, and what it brought; rows that follow each other are one."""
    least, found, before = _LEAST * growth.amount, list[tuple[float, float]](), -1
    for row, (a, b) in enumerate(pairwise(growth.levels), start=1):
        if b - a > least:
            size = b - a + (found.pop()[1] if before == row - 1 else 0.0)
            found.append((growth.times[row], size))
            before = row
    return found


def _is_even(values: list[float], within: tuple[float, float]) -> bool:
    middle, (low, high) = median(values), within
    return low * middle <= min(values) and max(values) <= high * middle
