"""Series of figures before they are drawn: parts, slopes and thinning. Pure: numbers in, numbers out.

An open page asks every few seconds, in the host's process: what touches every row is left to C (slices, ``min``,
``max``, bisection), and Python's own loops see only what will be drawn.
"""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memprof_middleware.analysis.median import median

Point = tuple[float, float | None]
# The seconds that the page shows, and the number of parts of a picture.
SPAN_SECONDS = 6 * 3600.0
BUCKETS = 120
# Growth needs this many snapshots; more pairs than this add nothing.
_GROWTH_POINTS, _GROWTH_PAIRS = 6, 40
# A time without values is a gap if it is longer than this many usual steps, and than some steps of old rows.
_GAP_STEPS, _GAP_SECONDS = 5.0, 300.0


class Series(NamedTuple):
    """Times in ascending order, with the value at each."""

    times: array[float]
    values: array[float]


def part(times: array[float], values: array[float], start: float, first: int = 0) -> Series:
    """The known values from a moment on.

    Args:
        times: ascending.
        values: unknown ones are ``nan``.
        start: the moment.
        first: rows before this one are left out.
    """
    begin = max(first, bisect_left(times, start))
    found = Series(times[begin:], values[begin:])
    if math.isnan(sum(found.values)):
        known = [index for index, value in enumerate(found.values) if not math.isnan(value)]
        found = Series(*(array(one.typecode, [one[index] for index in known]) for one in found))
    return found


def last_life(pids: array[float]) -> int:
    """Index of the first row of the slot's last worker; rows without a process id belong to their neighbours."""
    if not pids:
        return 0
    last = pids[-1]
    first = pids.index(last) if last in pids else 0
    if len(pids) - first == pids.count(last):
        return first if any(not math.isnan(pid) for pid in itertools.islice(pids, first)) else 0
    births = [index for index in range(1, len(pids)) if _is_birth(pids, index)]
    return births[-1] if births else 0


def births(times: array[float], pids: array[float]) -> list[float]:
    """The times at which the slot got a new worker."""
    if not pids or pids.count(pids[0]) == len(pids):
        return []
    return [times[index] for index in range(1, len(pids)) if _is_birth(pids, index)]


def _is_birth(pids: array[float], index: int) -> bool:
    before, after = pids[index - 1], pids[index]
    return before != after and not math.isnan(before) and not math.isnan(after)


def thinned(series: Series, buckets: int, breaks: Iterable[float] = ()) -> list[Point]:
    """The lowest and the highest of each of ``buckets`` equal parts, so no spike is lost, and the last one.

    Args:
        series: the series.
        buckets: how many parts.
        breaks: times at which the line is interrupted, besides gaps.
    """
    times, values = series
    if len(times) <= 2 * buckets:
        return _lifted(list(zip(times, values, strict=True)), breaks)
    kept: list[tuple[float, float]] = []
    for bucket in range(buckets):
        begin, end = len(times) * bucket // buckets, len(times) * (bucket + 1) // buckets
        piece = values[begin:end]
        chosen = {begin + piece.index(min(piece)), begin + piece.index(max(piece))}
        kept += [(times[index], values[index]) for index in sorted(chosen)]
    if kept[-1][0] != times[-1]:  # the newest value is read first
        kept.append((times[-1], values[-1]))
    return _lifted(kept, breaks)


def _lifted(points: Sequence[tuple[float, float]], breaks: Iterable[float]) -> list[Point]:
    steps = [after[0] - before[0] for before, after in itertools.pairwise(points)]
    gap = max(_GAP_STEPS * median(steps), _GAP_SECONDS) if steps else math.inf
    cuts = sorted(breaks)
    found: list[Point] = []
    for number, (time, value) in enumerate(points):
        before = points[number - 1][0] if number else math.inf
        if time - before > gap or any(before < cut <= time for cut in cuts):
            found.append((time, None))
        found.append((time, value))
    return found


def per_hour(series: Series) -> float | None:
    """Growth an hour: the median of the slopes from the first third to the last, which one transient does not move."""
    times, values = series
    third = len(times) // 3
    if len(times) < _GROWTH_POINTS:
        return None
    shift = len(times) - third
    slopes = [
        (values[index + shift] - values[index]) / (times[index + shift] - times[index]) * 3600
        for index in range(0, third, 1 + third // _GROWTH_PAIRS)
        if times[index + shift] > times[index]
    ]
    return median(slopes) if slopes else None


def value_at(series: Series, time: float) -> float | None:
    """The last known value at a moment."""
    index = bisect_right(series.times, time) - 1
    return series.values[index] if index >= 0 else None


def band(bands: Sequence[Series], start: float, end: float, buckets: int) -> list[list[float]]:
    """Lowest and highest value of many series, in equal parts of time: ``[time, low, high]``."""
    width = (end - start) / buckets or 1.0
    found: list[list[float]] = []
    edges = [[bisect_left(times, start + width * bucket) for bucket in range(buckets)] for times, _ in bands]
    for bucket in range(buckets):
        pieces = [
            values[edge[bucket] : edge[bucket + 1] if bucket + 1 < buckets else None]
            for (_, values), edge in zip(bands, edges, strict=True)
        ]
        known = [piece for piece in pieces if piece]
        if known:
            middle = start + (bucket + 0.5) * width
            found.append([middle, min(map(min, known)), max(map(max, known))])
    return found


def rounded(points: Iterable[Sequence[float | None]], digits: int = 2) -> list[list[float | None]]:
    """Points rounded for JSON: times to a tenth of a second, values to ``digits``."""
    return [
        [
            round(point[0] or 0.0, 1),
            *(None if value is None or math.isnan(value) else round(value, digits) for value in point[1:]),
        ]
        for point in points
    ]
