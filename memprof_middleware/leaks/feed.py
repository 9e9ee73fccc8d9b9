"""The feed of growth: all requests, the requests of one route, or time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

from memprof_middleware.analysis.bounded import sumprod

REQUESTS, TIME = "requests", "time"
_MOST_ROUTES, _PARTS = 12, 24
# All requests are taken for the feed unless another leaves so much less of the increments.
_BETTER = 0.7
# A feed is proven if it leaves no more than this part of what time leaves of the increments, and these vary so much.
_PROVEN, _VARIES = 0.5, 0.02


def feeds(
    times: Sequence[float], requests: Sequence[float], routes: Mapping[str, Sequence[float]]
) -> dict[str, Sequence[float]]:
    """The candidate feeds by name: requests, time and the busiest routes."""
    found: dict[str, Sequence[float]] = {}
    if requests and requests[-1] > requests[0]:
        found[REQUESTS] = requests
    found[TIME] = times
    if len(routes) > 1:
        busiest = sorted(routes, key=lambda route: routes[route][0] - routes[route][-1])
        found |= {route: routes[route] for route in busiest[:_MOST_ROUTES] if routes[route][-1] > routes[route][0]}
    return found


def choose(times: Sequence[float], levels: Sequence[float], candidates: Mapping[str, Sequence[float]]) -> str:
    """The feed that fits the growth best; all requests if none is better."""
    edges = [times[0] + (times[-1] - times[0]) * part / _PARTS for part in range(_PARTS + 1)]
    places = [_place(times, edge) for edge in edges]
    growth = _steps(levels, places)
    left = {name: _left(growth, _steps(feed, places)) for name, feed in candidates.items()}
    best = min(left, key=lambda name: left[name])
    if REQUESTS in left and left[best] > _BETTER * left[REQUESTS]:
        return REQUESTS
    return best


def is_proven(times: Sequence[float], levels: Sequence[float], feed: Sequence[float]) -> bool:
    """Whether growth follows a feed and not time: it is faster where there is more of the feed.

    Under an even traffic nobody can tell; there a job may bring the growth that runs beside the requests.
    """
    if len(times) < 2 or times[-1] <= times[0] or feed[-1] <= feed[0]:
        return False
    edges = [times[0] + (times[-1] - times[0]) * part / _PARTS for part in range(_PARTS + 1)]
    places = [_place(times, edge) for edge in edges]
    growth = _steps(levels, places)
    by_time = _left(growth, _steps(times, places))
    varies = by_time > _VARIES * sumprod(growth, growth)
    return varies and _left(growth, _steps(feed, places)) <= _PROVEN * by_time


def _place(times: Sequence[float], when: float) -> tuple[int, int, float]:
    """The rows before and after a time, and how far it is between them: the same for all series, so found once."""
    index = bisect_left(times, when)
    if index <= 0 or index >= len(times):
        row = 0 if index <= 0 else len(times) - 1
        return row, row, 0.0
    width = times[index] - times[index - 1]
    return index - 1, index, (when - times[index - 1]) / width if width > 0 else 1.0


def _steps(values: Sequence[float], places: Sequence[tuple[int, int, float]]) -> list[float]:
    levels = [values[before] + part * (values[after] - values[before]) for before, after, part in places]
    return [b - a for a, b in pairwise(levels)]


def _left(growth: Sequence[float], feed: Sequence[float]) -> float:
    """The sum of squared residuals of the increments for a feed."""
    square = sumprod(feed, feed)
    if square <= 0:
        return math.inf
    each = sumprod(growth, feed) / square
    return sum((a - each * b) ** 2 for a, b in zip(growth, feed, strict=True))
