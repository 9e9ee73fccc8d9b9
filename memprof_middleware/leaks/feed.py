"""The feed of growth: all requests, the requests of one route, those that fail, or time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import sub

from memprof_middleware.analysis.bounded import sumprod

REQUESTS, FAILED, TIME = "requests", "failed requests", "time"
Place = tuple[int, int, float]
_MOST_ROUTES, _PARTS = 12, 24
# All requests are taken for the feed unless another leaves so much less of the increments. Failed requests are taken
# only if they leave so much less than the best of all others.
_BETTER = 0.7
# A feed is proven if it leaves no more than this part of what time leaves of the increments, and these vary so much.
_PROVEN, _VARIES = 0.5, 0.02


def feeds(
    times: Sequence[float],
    requests: Sequence[float],
    routes: Mapping[str, Sequence[float]],
    failed: Sequence[float] = (),
) -> dict[str, Sequence[float]]:
    """The candidate feeds by name: requests, those that fail, time and the busiest routes."""
    found: dict[str, Sequence[float]] = {}
    if requests and requests[-1] > requests[0]:
        found[REQUESTS] = requests
    if failed and failed[-1] > failed[0]:
        found[FAILED] = failed
    found[TIME] = times
    if len(routes) > 1:
        busiest = sorted(routes, key=lambda route: routes[route][0] - routes[route][-1])
        found |= {route: routes[route] for route in busiest[:_MOST_ROUTES] if routes[route][-1] > routes[route][0]}
    return found


class Feeding:
    """The choice of what feeds a series: what the feeds add between the same rows is worked out once for all series.

    Args:
        times: of the rows.
        feeds: the candidates by name, at each row.
    """

    def __init__(self, times: Sequence[float], feeds: Mapping[str, Sequence[float]]) -> None:
        self._times, self._feeds = times, feeds
        self._known: dict[tuple[int, int], tuple[list[Place], list[tuple[str, list[float], float]]]] = {}

    def chosen(self, levels: Sequence[float], begin: int, end: int) -> str:
        """The feed that fits a series between two rows best; all requests if none is better."""
        if (begin, end) not in self._known:
            self._known[begin, end] = self._steps(begin, end)
        places, candidates = self._known[begin, end]
        growth = _steps(levels, places)
        left = {name: _left(growth, feed, square) for name, feed, square in candidates}
        best = min((name for name in left if name != FAILED), key=left.__getitem__)
        if REQUESTS in left and left[best] > _BETTER * left[REQUESTS]:
            best = REQUESTS
        # A route of which some requests fail feeds as well.
        return FAILED if left.get(FAILED, math.inf) <= _BETTER * left[best] else best

    def _steps(self, begin: int, end: int) -> tuple[list[Place], list[tuple[str, list[float], float]]]:
        places = _places(self._times, begin, end)
        moving = {name: feed for name, feed in self._feeds.items() if feed[end] > feed[begin]}
        steps = {name: _steps(feed, places) for name, feed in moving.items()}
        return places, [(name, step, sumprod(step, step)) for name, step in steps.items()]


def is_proven(times: Sequence[float], levels: Sequence[float], feed: Sequence[float]) -> bool:
    """Whether growth follows a feed and not time: it is faster where there is more of the feed.

    Under an even traffic nobody can tell; there a job may bring the growth that runs beside the requests.
    """
    if len(times) < 2 or times[-1] <= times[0] or feed[-1] <= feed[0]:
        return False
    places = _places(times, 0, len(times) - 1)
    growth, by_feed, by_time = (_steps(series, places) for series in (levels, feed, times))
    left = _left(growth, by_time, sumprod(by_time, by_time))
    varies = left > _VARIES * sumprod(growth, growth)
    return varies and _left(growth, by_feed, sumprod(by_feed, by_feed)) <= _PROVEN * left


def _places(times: Sequence[float], begin: int, end: int) -> list[Place]:
    """The ends of equal parts of the time between two rows: the row before each, the one after, and how far between."""
    first, last = times[begin], times[end]
    return [_place(times, first + (last - first) * part / _PARTS, begin, end) for part in range(_PARTS + 1)]


def _place(times: Sequence[float], when: float, begin: int, end: int) -> Place:
    index = bisect_left(times, when, begin, end + 1)
    if index <= begin or index > end:
        row = begin if index <= begin else end
        return row, row, 0.0
    width = times[index] - times[index - 1]
    return index - 1, index, (when - times[index - 1]) / width if width > 0 else 1.0


def _steps(values: Sequence[float], places: Sequence[Place]) -> list[float]:
    levels = [values[before] + part * (values[after] - values[before]) for before, after, part in places]
    return list(map(sub, levels[1:], levels))


def _left(growth: Sequence[float], feed: Sequence[float], square: float) -> float:
    """The sum of squared residuals of the increments for a feed, whose own sum of squares is given."""
    if square <= 0:
        return math.inf
    each = sumprod(growth, feed) / square
    return sum([(a - each * b) ** 2 for a, b in zip(growth, feed, strict=True)])
