"""Ways to tell when the limit is reached; each is asked every ten minutes and knows only what came before."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple

from benchmarks.forecast.series import Series
from memprof_middleware.analysis.buckets import BUCKET_SECONDS, Buckets
from memprof_middleware.limits.forecast import outlook, slopes_between

EVERY = 600.0
DAY = 86400.0


class Said(NamedTuple):
    """At a moment: seconds to the limit (``inf``: never), whether that is an alarm, and a range if there is one."""

    at: float
    seconds: float
    alarm: bool
    low: float = math.nan
    high: float = math.nan


Method = Callable[[Series], Iterator[Said]]


class Fit:
    """Least squares over any stretch of a series, as Prometheus' ``deriv`` and ``predict_linear`` do it."""

    def __init__(self, series: Series) -> None:
        self.times, self.values = series.times, series.values
        self._t = [0.0, *accumulate(self.times)]
        self._tt = [0.0, *accumulate(t * t for t in self.times)]
        self._v = [0.0, *accumulate(self.values)]
        self._tv = [0.0, *accumulate(t * v for t, v in zip(self.times, self.values, strict=True))]

    def line(self, now: float, window: float, full: float = 0.0) -> tuple[float, float] | None:
        """Slope per second and level now; ``None`` before that part of the window is full: Prometheus never waits."""
        first, end = bisect_left(self.times, now - window), bisect_left(self.times, now)
        if end - first < 3 or now - self.times[first] < full * window:
            return None
        n = end - first
        t, tt, v, tv = (sums[end] - sums[first] for sums in (self._t, self._tt, self._v, self._tv))
        slope = (n * tv - t * v) / (n * tt - t * t)
        return slope, (v - slope * t) / n + slope * now

    def last(self, now: float) -> float:
        return self.values[bisect_left(self.times, now) - 1]


def _moments(series: Series) -> Iterator[float]:
    return (number * EVERY for number in range(1, int(series.times[-1] / EVERY) + 1)) if series.times else iter(())


def _seconds(limit: float, level: float, slope: float) -> float:
    return 0.0 if level >= limit else (limit - level) / slope if slope > 0 else math.inf


def linear(window_hours: float, used: float = 0.0, full: float = 0.0) -> Method:
    """A straight line by least squares over a window, and an alarm where it reaches the limit within a day."""

    def method(series: Series) -> Iterator[Said]:
        fit = Fit(series)
        for now in _moments(series):
            found = fit.line(now, window_hours * 3600, full)
            seconds = math.inf if found is None else _seconds(series.limit, found[1], found[0])
            yield Said(now, seconds, seconds < DAY and fit.last(now) >= used * series.limit)

    return method


def guarded_rule(series: Series) -> Iterator[Said]:
    """MemoryExhaustionIn24h as it is for workers that tell no forecast: straight lines and their guards."""
    fit = Fit(series)
    for now in _moments(series):
        six, hour, day = (fit.line(now, hours * 3600) for hours in (6, 1, 24))
        if six is None or hour is None or day is None or now < 23400:
            yield Said(now, math.inf, alarm=False)
            continue
        free = series.limit - fit.last(now)
        seconds, by_day = (free / line[0] if line[0] > 0 else math.inf for line in (six, day))
        guards = fit.last(now) > 0.6 * series.limit and hour[0] > 0.5 * six[0] and seconds < now and by_day < DAY
        yield Said(now, seconds, seconds < DAY and guards)


def _buckets(series: Series) -> Iterator[tuple[float, Buckets, float]]:
    past, index = Buckets(), 0
    for now in _moments(series):
        while index < len(series.times) and series.times[index] <= now:
            past.add(series.times[index], series.values[index])
            index += 1
        yield now, past, series.values[index - 1]


def theil_sen_floor(window_hours: int) -> Method:
    """The median slope of the floor, without any gate."""

    def method(series: Series) -> Iterator[Said]:
        size = window_hours * 3600 // BUCKET_SECONDS
        width = max(1, size // 24)
        for now, past, _ in _buckets(series):
            buckets = past.closed()[-size:]
            if len(buckets) < 0.75 * size:
                yield Said(now, math.inf, alarm=False)
                continue
            groups = [buckets[start : start + width] for start in range(0, len(buckets), width)]
            hours = [(group[0].number * BUCKET_SECONDS - now) / 3600 for group in groups]
            slopes, _ = slopes_between(hours, [min(one.low for one in group) for group in groups])
            slope = slopes[len(slopes) // 2]
            tops = sorted(max(one.high for one in g) - slope * h for g, h in zip(groups, hours, strict=True))
            seconds = 3600 * _seconds(series.limit, tops[int(0.9 * len(tops))], slope)
            yield Said(now, seconds, seconds < DAY)

    return method


def ours(series: Series) -> Iterator[Said]:
    """What the profiler tells."""
    told = False
    for now, past, used in _buckets(series):
        found = outlook(past, used, series.limit, reported=told)
        told = found.low_seconds is not None
        low, high = (found.low_seconds, found.high_seconds) if told else (math.inf, math.inf)
        yield Said(now, (low + high) / 2, told, low, high)


METHODS: dict[str, Method] = {
    "least squares, 1 h": linear(1, full=0.75),
    "predict_linear[6h]": linear(6),
    "predict_linear[6h] and above 85 %": linear(6, 0.85),
    "predict_linear[24h]": linear(24),
    "the rule without a forecast": guarded_rule,
    "Theil-Sen of the minimum, 6 h": theil_sen_floor(6),
    "memprof": ours,
}
# An alarm is one when so many moments in a row say so: half an hour, the rule's `for`; memprof waits by itself.
HELD = dict.fromkeys(METHODS, 3) | {"the rule without a forecast": 8, "memprof": 1}
