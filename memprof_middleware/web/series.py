"""What is done with a past before it is drawn. Pure: numbers in, numbers out."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence

Point = tuple[float, float | None]
# What the page looks back on, and in how many parts a picture shows it.
SPAN_SECONDS = 6 * 3600.0
BUCKETS = 160
# Fewer snapshots than these say nothing of growth.
_GROWTH_POINTS = 6
# What is missing longer than so many usual steps is a gap, in which the pen is lifted.
_GAP_STEPS = 5.0


def part(times: Sequence[float], values: Sequence[float], start: float) -> list[tuple[float, float]]:
    """Times and known values from a moment on."""
    return [(t, v) for t, v in zip(times, values, strict=True) if t >= start and not math.isnan(v)]


def last_life(pids: Sequence[float]) -> int:
    """Index of the first row that the slot's last worker wrote."""
    for index in range(len(pids) - 1, 0, -1):
        if pids[index - 1] != pids[index] and not math.isnan(pids[index]):
            return index
    return 0


def thinned(points: Sequence[tuple[float, float]], buckets: int, breaks: Iterable[float] = ()) -> list[Point]:
    """At most two points for each of ``buckets`` equal parts: the lowest and the highest, so no spike is lost.

    Args:
        points: times and values, in order of time.
        buckets: how many parts.
        breaks: times before which the pen is lifted, besides gaps.
    """
    kept = list(points)
    if len(points) > 2 * buckets:
        first, span = points[0][0], (points[-1][0] - points[0][0]) or 1.0
        parts: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}
        for point in points:
            key = min(buckets - 1, int((point[0] - first) / span * buckets))
            low, high = parts.get(key, (point, point))
            parts[key] = (point if point[1] < low[1] else low, point if point[1] > high[1] else high)
        kept = [point for low_high in parts.values() for point in sorted(set(low_high))]
        if kept[-1] != points[-1]:  # the figure of now is the one that is looked at first
            kept.append(points[-1])
    return _lifted(kept, breaks)


def _lifted(points: Sequence[tuple[float, float]], breaks: Iterable[float]) -> list[Point]:
    steps = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    gap = _GAP_STEPS * statistics.median(steps) if steps else math.inf
    cuts = sorted(breaks)
    found: list[Point] = []
    for number, (time, value) in enumerate(points):
        before = points[number - 1][0] if number else -math.inf
        if number and (time - before > max(gap, 1.0) or any(before < cut <= time for cut in cuts)):
            found.append((time, None))
        found.append((time, value))
    return found


def per_hour(points: Sequence[tuple[float, float]]) -> float | None:
    """Growth an hour: the median of the slopes from the first third to the last, which one transient does not move."""
    if len(points) < _GROWTH_POINTS:
        return None
    third = len(points) // 3
    pairs = zip(points[:third], points[-third:], strict=True)
    slopes = [(after[1] - before[1]) / (after[0] - before[0]) * 3600 for before, after in pairs if after[0] > before[0]]
    return statistics.median(slopes) if slopes else None


def value_at(points: Sequence[tuple[float, float]], time: float) -> float | None:
    """The last value that was known at a moment."""
    found = None
    for moment, value in points:
        if moment > time:
            break
        found = value
    return found


def band(tracks: Sequence[Sequence[tuple[float, float]]], start: float, end: float, buckets: int) -> list[list[float]]:
    """Lowest and highest value of many pasts, in equal parts of time: ``[time, low, high]``."""
    width = (end - start) / buckets or 1.0
    low: dict[int, float] = {}
    high: dict[int, float] = {}
    for points in tracks:
        for time, value in points:
            key = min(buckets - 1, max(0, int((time - start) / width)))
            if value < low.get(key, math.inf):
                low[key] = value
            if value > high.get(key, -math.inf):
                high[key] = value
    return [[start + (key + 0.5) * width, low[key], high[key]] for key in sorted(low)]


def rounded(points: Iterable[Sequence[float | None]], digits: int = 2) -> list[list[float | None]]:
    """As JSON carries them: times to a tenth of a second, values to ``digits``."""
    return [
        [
            round(point[0] or 0.0, 1),
            *(None if value is None or math.isnan(value) else round(value, digits) for value in point[1:]),
        ]
        for point in points
    ]
