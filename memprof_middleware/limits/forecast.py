"""The forecast of the time to the limit: a range, or none.

A straight line through the last hours accuses nearly every healthy worker: memory rises with load, in steps and in
teeth. So the *floor* is followed, which only a leak lifts for long; it must rise steadily (Kendall's tau), over a
shorter period as fast as over the longer one, and a period is trusted only half its own length ahead. ``make
bench-forecast`` measures what that gains beside other methods; docs/capacity.md has the table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from memprof_middleware.analysis.buckets import BUCKET_SECONDS, Bucket, Buckets
from memprof_middleware.model import Outlook

_PER_HOUR = 3600 // BUCKET_SECONDS
# Hours that are looked at, and the shorter period that must agree with each. The first one stands for itself; three
# hours are there for leaks that take less than six from start to end.
_PERIODS = ((1, 1), (3, 1), (6, 1), (24, 6))
CELLS = 24  # points that a period is merged to
_FULL = 0.75  # the part of them that must have been measured
TAU = 0.5  # how steadily the floor must rise: 1 is always, 0 is as often down as up
AHEAD = 0.5  # how far ahead a period is trusted, as a part of its length
_CEILING, _FLOOR = 0.9, 0.1  # the band around a slope
# Quantiles of the slopes that make the range, and the most that its late end is beyond what is trusted. Measured so
# that the truth lies in four ranges of five.
_STEEP, _FLAT, _LATEST = 0.9, 0.35, 4.0
# Judged at three moments ten minutes apart: a range begins when all of them see one, and ends when none does.
_MOMENTS = tuple(steps * 600 // BUCKET_SECONDS for steps in range(3))
_DAY = 24 * _PER_HOUR
_NOVEL_BUCKETS = 3  # so long must memory stay above its past
_NOVEL_HISTORY = 3 * _PER_HOUR
_PEAK = 0.98  # the single highest moments of a day are no past to measure by
# A unit of noise: the usual step from one bucket to the next, and a little of the scale for a heap that never moves.
_STEPS_OF_NOISE, _SCALE_OF_NOISE = 1.5, 0.003


class Reach(NamedTuple):
    """The time to a limit in seconds, early and late, with the basis of it."""

    low: float
    high: float
    mb_per_hour: float
    hours: float


class Line(NamedTuple):
    """A period: hours before its end, floor and ceiling of each cell; all slopes of the floor, in order; its tau."""

    points: Sequence[tuple[float, float, float]]
    slopes: Sequence[float]
    tau: float

    def ceiling_reaches(self, limit_mb: float, part: float = 0.5) -> float:
        """Hours until the peaks reach the limit along a slope: the median one, or another quantile of the slopes."""
        slope = _quantile(self.slopes, part)
        return _hours_to(limit_mb, _quantile(sorted(high - slope * at for at, _, high in self.points), _CEILING), slope)

    def floor_reaches(self, limit_mb: float, part: float) -> float:
        """The same for the floor."""
        slope = _quantile(self.slopes, part)
        return _hours_to(limit_mb, _quantile(sorted(low - slope * at for at, low, _ in self.points), _FLOOR), slope)

    def reach(self, limit_mb: float, hours: float, ahead: float) -> Reach:
        """The range, for a period of so many hours that is trusted so many ahead."""
        early = self.ceiling_reaches(limit_mb, _STEEP)
        late = min(max(early, self.floor_reaches(limit_mb, _FLAT)), _LATEST * ahead)
        return Reach(3600 * early, 3600 * late, _quantile(self.slopes, 0.5), hours)


def outlook(past: Buckets, used_mb: float, limit_mb: float | None, *, reported: bool = False) -> Outlook:
    """The outlook for one limit.

    Args:
        past: what was used, in five-minute buckets.
        used_mb: what is used now.
        limit_mb: the limit; ``None``: there is none.
        reported: whether a range was given last time; then it takes more to withdraw it.
    """
    closed = past.closed()
    reach = None if limit_mb is None or used_mb >= limit_mb else time_to_limit(closed, limit_mb, reported=reported)
    return with_reach(Outlook(used_mb=used_mb, limit_mb=limit_mb, novelty=novelty(closed, limit_mb)), reach)


def with_reach(seen: Outlook, reach: Reach | None) -> Outlook:
    """The outlook with another range, or without one."""
    return dataclasses.replace(
        seen,
        low_seconds=reach and reach.low,
        high_seconds=reach and reach.high,
        mb_per_hour=reach and reach.mb_per_hour,
        seen_hours=reach and float(reach.hours),
    )


def time_to_limit(buckets: Sequence[Bucket], limit_mb: float, *, reported: bool = False) -> Reach | None:
    """The time to the limit at the present growth; ``None``: it is not expected to be reached.

    Args:
        buckets: the past, oldest first, complete buckets only.
        limit_mb: the limit.
        reported: whether a range was given last time.
    """
    newest = None
    for back in _MOMENTS:
        reach = _reach(buckets[: len(buckets) - back], limit_mb)
        if reach is None and not reported:
            return None
        if reach is not None and newest is None:
            gone = back * BUCKET_SECONDS
            newest = reach._replace(low=max(0.0, reach.low - gone), high=max(0.0, reach.high - gone))
            if reported:
                break
    return newest


def _reach(buckets: Sequence[Bucket], limit_mb: float) -> Reach | None:
    """The longest period that can be trusted decides; its shorter one, which is nearer to now, gives the range."""
    for hours, shorter in reversed(_PERIODS):
        line = _line(buckets, hours)
        if line is None or line.tau < TAU:
            continue
        check = line if shorter == hours else _line(buckets, shorter)
        ahead = AHEAD * hours
        if check is None or max(one.ceiling_reaches(limit_mb) for one in (line, check)) > ahead:
            continue
        return check.reach(limit_mb, hours, ahead)._replace(mb_per_hour=_quantile(line.slopes, 0.5))
    return None


def _hours_to(limit_mb: float, level_mb: float, slope: float) -> float:
    if level_mb >= limit_mb:
        return 0.0
    return (limit_mb - level_mb) / slope if slope > 1e-6 * limit_mb else math.inf


def _line(buckets: Sequence[Bucket], hours: int) -> Line | None:
    """The floor over the last hours; ``None`` where too little of them was measured."""
    if not buckets:
        return None
    width = max(1, hours * _PER_HOUR // CELLS)
    last = buckets[-1].number
    cells: dict[int, list[Bucket]] = {}
    for bucket in reversed(buckets):
        age = last - bucket.number
        if age >= hours * _PER_HOUR:
            break
        cells.setdefault(age // width, []).append(bucket)
    if len(cells) < _FULL * hours * _PER_HOUR / width:
        return None
    points = [
        (
            (sum(one.number for one in cell) / len(cell) - last) / _PER_HOUR,
            min(one.low for one in cell),
            max(one.high for one in cell),
        )
        for cell in reversed(cells.values())
    ]
    slopes, tau = slopes_between([at for at, _, _ in points], [low for _, low, _ in points])
    return Line(points, slopes, tau)


def slopes_between(times: Sequence[float], values: Sequence[float]) -> tuple[list[float], float]:
    """All slopes between two points, in order: the middle one is Theil and Sen's; and Kendall's tau.

    Tau is the share of the pairs that rise less the share that fall.
    """
    slopes, ups = [], 0
    for later in range(1, len(times)):
        for earlier in range(later):
            change = values[later] - values[earlier]
            ups += (change > 0) - (change < 0)
            slopes.append(change / (times[later] - times[earlier]))
    return sorted(slopes), ups / len(slopes)


def novelty(buckets: Sequence[Bucket], limit_mb: float | None) -> float | None:
    """The rise of the last quarter of an hour above the day before, in units of noise.

    Args:
        buckets: the past, oldest first, complete buckets only.
        limit_mb: gives the scale; without one it is the highest of the day.

    Returns:
        0 while memory is where it has been; ``None`` with less than three hours of past.
    """
    recent = buckets[-_NOVEL_BUCKETS:]
    past = [one.mean for one in buckets[:-_NOVEL_BUCKETS] if recent[-1].number - one.number < _DAY + _NOVEL_BUCKETS]
    if len(past) < _NOVEL_HISTORY - _NOVEL_BUCKETS:
        return None
    steps = sorted(abs(after - before) for before, after in pairwise(past))
    peak = _quantile(sorted(past), _PEAK)
    noise = _STEPS_OF_NOISE * steps[len(steps) // 2] + _SCALE_OF_NOISE * (limit_mb or max(past))
    return max(0.0, (min(one.mean for one in recent) - peak) / noise) if noise > 0 else 0.0


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
