"""The forecast for growth that reaches a limit before an hour of it was seen.

A start, or a cache that fills, looks like it for as long as it lasts. So nobody is told of less than a minute, and a
stretch is trusted, as the forecast of hours is, half its own length ahead: by then it has taken twice what is left.
It must be a straight line in new ground: a step, a start that ends and the second tooth of a saw are none.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

from memprof_middleware.analysis.buckets import BUCKET_SECONDS, Buckets
from memprof_middleware.limits.forecast import AHEAD, CELLS, TAU, Line, Reach, slopes_between

# Seconds that a stretch takes, and readings that it has at the least. What takes longer is seen by the hours.
_SHORTEST, _LONGEST, _LEAST = 60.0, 1200.0, 8
# So long are readings kept; of those that come closer together, some.
_KEPT, _APART = 2 * _LONGEST, 4.0
# Each stretch that is tried is so many times as long as the next.
_LONGER = 1.2
# No quarter brings less or more than these parts of the growth, nor the second half less than this part of the first.
_QUARTER, _SECOND_HALF = (0.12, 0.45), 0.75
# It begins above all that was before, up to this part of its growth.
_OLD_GROUND = 0.3
# A range ends when none of so many readings sees one.
_MOMENTS = 3


class Recent:
    """The readings of the last minutes."""

    def __init__(self) -> None:
        self._times, self._values = array("d"), array("d")

    def __len__(self) -> int:
        return len(self._times)

    def add(self, timestamp: float, mb: float) -> None:
        """Keep a reading; those by a clock that ran ahead are dropped."""
        times, values = self._times, self._values
        while times and times[-1] > timestamp:
            times.pop()
            values.pop()
        if times and timestamp - times[-1] < _APART:
            return
        times.append(timestamp)
        values.append(mb)
        if times[0] < timestamp - 2 * _KEPT:  # seldom: cutting the front moves all of it
            old = bisect_left(times, timestamp - _KEPT)
            del times[:old], values[:old]

    def time_to_limit(self, limit_mb: float, past: Buckets, *, reported: bool = False) -> Reach | None:
        """The time to the limit at the present growth; ``None``: it is not expected to be reached soon.

        Args:
            limit_mb: the limit.
            past: what was used in the last day.
            reported: whether a range was given last time; then it takes more to withdraw it.
        """
        for back in range(_MOMENTS if reported else 1):
            end = len(self._times) - back
            reach = self._reach(end, limit_mb, past)
            if reach is not None:
                gone = self._times[-1] - self._times[end - 1]
                return reach._replace(low=max(0.0, reach.low - gone), high=max(0.0, reach.high - gone))
        return None

    def _reach(self, end: int, limit_mb: float, past: Buckets) -> Reach | None:
        """By the longest stretch up to a reading that can be trusted."""
        times, values = self._times, self._values
        if end < _LEAST:
            return None
        begin = bisect_left(times, times[end - 1] - _LONGEST)
        while end - begin >= _LEAST and times[end - 1] - times[begin] >= _SHORTEST:
            lasts = (times[end - 1] - times[begin]) / 3600
            if limit_mb - values[end - 1] <= values[end - 1] - values[begin]:  # else no line is steep enough
                line = self._line(begin, end)
                if (
                    line.tau >= TAU
                    and line.ceiling_reaches(limit_mb) <= AHEAD * lasts
                    and _is_straight([low for _, low, _ in line.points])
                    and self._is_new(begin, end, past)
                ):
                    return line.reach(limit_mb, lasts, AHEAD * lasts)
            begin = end - int((end - begin) / _LONGER)
        return None

    def _line(self, begin: int, end: int) -> Line:
        """The floor of a stretch, in cells of as many readings each."""
        each = -(-(end - begin) // CELLS)
        last, points = self._times[end - 1], []
        for start in range(end, begin, -each):
            cell = slice(max(begin, start - each), start)
            times, values = self._times[cell], self._values[cell]
            points.append(((sum(times) / len(times) - last) / 3600, min(values), max(values)))
        points.reverse()
        slopes, tau = slopes_between([at for at, _, _ in points], [low for _, low, _ in points])
        return Line(points, slopes, tau)

    def _is_new(self, begin: int, end: int, past: Buckets) -> bool:
        """Whether memory was never before where the stretch has led it."""
        start = self._times[begin]
        old = [
            *self._values[:begin],
            *(one.high for one in past.closed() if (one.number + 1) * BUCKET_SECONDS <= start),
        ]
        gained = self._values[end - 1] - self._values[begin]
        return max(old, default=0.0) <= self._values[begin] + _OLD_GROUND * gained


def _is_straight(levels: Sequence[float]) -> bool:
    """Whether each quarter of a stretch brings its share, and the second half about as much as the first."""
    floor = list(accumulate(reversed(levels), min))[::-1]
    marks = [floor[round(part * (len(floor) - 1) / 4)] for part in range(5)]
    gained, least, most = marks[4] - marks[0], *_QUARTER
    parts = [after - before for before, after in pairwise(marks)]
    goes_on = marks[4] - marks[2] >= _SECOND_HALF * (marks[2] - marks[0])
    return goes_on and all(least * gained <= part <= most * gained for part in parts)
