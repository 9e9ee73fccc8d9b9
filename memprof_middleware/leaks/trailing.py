"""Levels that follow recent traffic: objects of a limited lifetime grow and end with the rate."""

from __future__ import annotations

from collections.abc import Sequence

from memprof_middleware.leaks.series import at

WINDOWS = tuple(minutes * 60.0 for minutes in (5, 15, 30, 60, 120, 240, 480, 960))
# The level follows a window of traffic if that leaves no more than this part of the growth.
_LEFT = 0.08
_AS_WELL = 1.5
# A window as long as the period is the period.
_LONGEST = 0.6


def follows_traffic(
    times: Sequence[float], requests: Sequence[float], levels: Sequence[float], begin: int
) -> float | None:
    """The window, in seconds, whose requests alone explain a level since a row; ``None`` if there is none."""
    amount = levels[-1] - levels[begin]
    if amount <= 0 or requests[len(levels) - 1] <= requests[begin]:
        return None
    step = max(1, (len(levels) - begin) // 48)
    rows = [*range(begin, len(levels) - 1, step), len(levels) - 1]
    own = [levels[row] for row in rows]
    # What a window leaves must not be more than what all requests leave: in a steep ramp both are near.
    most = min(_LEFT * amount, _AS_WELL * _worst([requests[row] for row in rows], own))
    longest = _LONGEST * (times[len(levels) - 1] - times[begin])
    for window in WINDOWS:
        if window <= longest:
            traffic = [requests[row] - at(times, requests, times[row] - window) for row in rows]
            if _worst(traffic, own) <= most:
                return window
    return None


def _worst(x: Sequence[float], y: Sequence[float]) -> float:
    """The root of the mean square that a line through the points leaves."""
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    square = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / square if square > 0 else 0.0
    if slope <= 0:
        return float("inf")
    left = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return float((left / n) ** 0.5)
