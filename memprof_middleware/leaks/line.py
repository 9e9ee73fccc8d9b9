"""The line of growth over its feed, and its beginning."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import sub

from memprof_middleware.leaks.series import at
from memprof_middleware.model.value import valueclass

# It began where it was last at its old level, up to so small a part of its growth above it.
_OLD_LEVEL = 0.02
# Or there where it was last at one of these: what grew before, a cache that filled, is no part of it.
_LATER_LEVELS = (0.05, 0.1, 0.2, 0.3)
# A shorter end of the past must break new ground by so much of its growth.
_NEW_GROUND = 0.7
_ENDS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
# Rows that a period has at the least.
LEAST_ROWS = 6
# No quarter of the feed brings more or less than these parts of the growth; counts have slack, in roots of them.
_MOST, _LEAST, _SLACK = 0.55, 0.09, 1.6
# The last third brings so much of the first, and the last sixth so much of the mean: what is full does not leak.
_LAST_THIRD, _LAST_SIXTH = 0.75, 0.5
# What falls back by more than this part of its growth comes and goes.
_TIDE = 0.67
# Of fewer steps than six nobody can say that they go on.
_AT_ONCE = 1 / 6
# What rises by no more than this part of its growth stands still.
STILL = 0.05
# The last rows tell how far the series dips.
RECENT = 12


@valueclass(frozen=True, slots=True)
class Growth:
    """A stretch of the past in which a series grew, over its feed.

    Attributes:
        begin: the row at which it began.
        times: seconds, by the clock of the past.
        feed: what feeds it, so far.
        levels: the level that is never undercut again.
        discrete: the level counts things, whose number has a natural scatter.
    """

    begin: int
    times: Sequence[float]
    feed: Sequence[float]
    levels: Sequence[float]
    discrete: bool

    @property
    def amount(self) -> float:
        """The amount of growth."""
        return self.levels[-1] - self.levels[0]

    @property
    def fed(self) -> float:
        """The amount of the feed."""
        return self.feed[-1] - self.feed[0]

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.times[-1] - self.times[0]

    @property
    def rested(self) -> float:
        """The seconds at its end in which next to nothing came; a floor never falls."""
        still = self.levels[-1] - STILL * self.amount
        return self.times[-1] - self.times[bisect_left(self.levels, still, hi=len(self.levels) - 1)]

    def over_time(self) -> Growth:
        """This stretch over time instead of its feed."""
        return dataclasses.replace(self, feed=self.times)

    def part(self, low: float, high: float) -> float:
        """The growth between two parts of the feed, 0 to 1."""
        start, fed = self.feed[0], self.fed
        return at(self.feed, self.levels, start + high * fed) - at(self.feed, self.levels, start + low * fed)


def floor_of(values: Sequence[float], feed: Sequence[float] | None = None) -> list[float]:
    """At each row the lowest level from there on; the last rows are held to the lowest line through them.

    Of the last row nobody knows how far it will be undercut: what waits for a collection stands there too.

    Args:
        values: a series.
        feed: what feeds it, at each row: a line over requests follows a busy hour. ``None``: a line over the rows.
    """
    few = min(RECENT, len(values) // 8)
    smooth = _smooth(values)
    end = _lowest_end(smooth, few, feed) if few > 1 else smooth[-1] if smooth else 0.0
    found = [0.0] * len(smooth)
    low = end
    for index in range(len(smooth) - 1, -1, -1):
        low = min(low, smooth[index])
        found[index] = low
    if found:
        found[-1] = max(found[-1], min(end, smooth[-1]))
    return found


def _lowest_end(smooth: Sequence[float], few: int, feed: Sequence[float] | None) -> float:
    """The level at the end of the lowest line through the last rows, as steep as from the lowest before to theirs."""
    size = len(smooth)
    before, tail = range(size - 2 * few, size - few), range(size - few, size)
    low, high = min(before, key=smooth.__getitem__), min(tail, key=smooth.__getitem__)
    more = max(0.0, smooth[high] - smooth[low])
    if feed is not None and feed[high] > feed[low]:
        step, to_come = more / (feed[high] - feed[low]), [feed[size - 1] - feed[row] for row in tail]
    else:
        step, to_come = more / few, [float(size - 1 - row) for row in tail]
    return min(smooth[row] + step * left for row, left in zip(tail, to_come, strict=True))


def _smooth(values: Sequence[float]) -> list[float]:
    """Each value as the middle one of three."""
    inner = [sorted(three)[1] for three in zip(values, values[1:], values[2:], strict=False)]
    return [*values[:1], *inner, *values[-1:]] if len(values) > 2 else list(values)


def begins(values: Sequence[float], floor: Sequence[float], times: Sequence[float]) -> Iterator[int]:
    """The rows at which growth up to now may have begun, the earliest first.

    Args:
        values: the series as measured.
        floor: its floor.
        times: of the rows.
    """
    last = floor[-1]
    first, *later = (_last_at(floor, share) for share in (_OLD_LEVEL, *_LATER_LEVELS))
    length = times[len(floor) - 1] - times[first]
    ends = (bisect_left(times, times[first] + share * length, hi=len(floor)) for share in (0.0, *_ENDS))
    highest = list(_running_max(values))
    for begin in sorted({*ends, *later}):
        if len(floor) - begin < LEAST_ROWS or last <= floor[begin]:
            continue
        if begin == 0 or last - highest[begin - 1] >= _NEW_GROUND * (last - floor[begin]):
            yield begin


def _last_at(floor: Sequence[float], share: float) -> int:
    """The last row at which a floor, which never falls, had no more than this part of its growth."""
    return max(0, bisect_right(floor, floor[0] + share * (floor[-1] - floor[0])) - 1)


def straight(growth: Growth) -> str:
    """The reason why growth is no straight line over its feed; empty if it is one."""
    amount = growth.amount
    if amount <= 0 or growth.fed <= 0:
        return "nothing feeds it"

    def slack(share: float) -> float:
        return _SLACK * math.sqrt(share * amount) if growth.discrete else 0.0

    for quarter in range(4):
        part = growth.part(quarter / 4, (quarter + 1) / 4)
        if part > _MOST * amount + slack(_MOST):
            return f"a quarter of what feeds it brought {100 * part / amount:.0f} % of it"
        if part < _LEAST * amount - slack(1 / 4):
            return f"a quarter of what feeds it brought {max(0.0, 100 * part / amount):.0f} % of it"
    first, last = growth.part(0, 1 / 3), growth.part(2 / 3, 1)
    if last < _LAST_THIRD * first - slack(2 / 3):
        return f"of late it grows at {100 * last / first:.0f} % of its first pace"
    if growth.part(5 / 6, 1) < _LAST_SIXTH * amount / 6 - slack(1 / 6):
        return "it has just stopped"
    return ""


def largest_step(growth: Growth) -> float:
    """The largest part of growth that came from one row to the next, where it is too large for a line; else 0."""
    most = max((b - a for a, b in pairwise(growth.levels)), default=0.0)
    return most / growth.amount if most > _AT_ONCE * growth.amount > 0 else 0.0


def tide(growth: Growth, values: Sequence[float]) -> float:
    """Return how far growth fell back meanwhile, as a part of it, where that is too far; else 0.

    Args:
        growth: the stretch.
        values: the series as measured.
    """
    fall = fallen(growth, values, 1)
    return fall / growth.amount if fall > _TIDE * growth.amount > 0 else 0.0


def fallen(growth: Growth, values: Sequence[float], last: int) -> float:
    """How far growth fell back at most, before so many of the last rows.

    Args:
        growth: the stretch.
        values: the series as measured.
        last: rows that are left out: their floor is not certain yet.
    """
    smooth = _smooth(values[growth.begin : growth.begin + len(growth.levels)])
    return max(map(sub, smooth[:-last], growth.levels), default=0.0)


def _running_max(values: Sequence[float]) -> Iterator[float]:
    most = -math.inf
    for value in values:
        most = max(most, value)
        yield most
