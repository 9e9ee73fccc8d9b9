"""How alike two series are: by a line through them, and by what both add from look to look."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from operator import sub

from memprof_middleware.analysis.bounded import sumprod

# Two series are in lockstep if a line through them leaves no more than this part of the growth.
_LOCKSTEP = 0.01
# Two counts are twins if what one adds from look to look leaves so little of what the other adds: this part of what
# chance would leave if each went its own way, since two straight lines are in lockstep whatever draws them.
_TWINS = 0.3
# Series are compared at so many rows and one; of fewer than these nobody can tell.
_POINTS, _FEWEST = 24, 4
# Additions that vary by so little do not vary.
_EVEN = 1e-6


def lockstep(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether one series is a multiple of the other, but for where they began."""
    return misfit(a, b) <= _LOCKSTEP


def twins(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two counts of the same looks rise and fall together at each of them, not only in the long run."""
    if not lockstep(a, b):
        return False
    x, y = _steps(a, b)
    square = sum(step * step for step in x)
    each = sum(p * q for p, q in zip(x, y, strict=True)) / square if square else 0.0
    left = sum((q - each * p) ** 2 for p, q in zip(x, y, strict=True))
    # Counts that are drawn by chance scatter by their roots.
    chance = sum(each * each * abs(p) + abs(q) for p, q in zip(x, y, strict=True))
    return left <= _TWINS * chance


def together(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the correlation of what two series add from look to look; 1 where both add the same each time."""
    x, y = _steps(a, b)
    if len(x) < _FEWEST:
        return 0.0
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    square_x, square_y = sum((p - mean_x) ** 2 for p in x), sum((q - mean_y) ** 2 for q in y)
    if square_x <= _EVEN * mean_x**2 or square_y <= _EVEN * mean_y**2:
        return 1.0
    return sum((p - mean_x) * (q - mean_y) for p, q in zip(x, y, strict=True)) / math.sqrt(square_x * square_y)


def _steps(a: Sequence[float], b: Sequence[float]) -> tuple[list[float], list[float]]:
    size = min(len(a), len(b))
    return _at(a, size, steps=True), _at(b, size, steps=True)


def _at(values: Sequence[float], size: int, *, steps: bool = False) -> list[float]:
    """The values of some two dozen rows of so many, or what comes from each to the next."""
    found = list(map(values.__getitem__, _rows(size)))
    return list(map(sub, found[1:], found)) if steps else found


@functools.lru_cache(maxsize=64)
def _rows(size: int) -> tuple[int, ...]:
    return tuple(sorted({round(part * (size - 1) / _POINTS) for part in range(_POINTS + 1)}))


def misfit(a: Sequence[float], b: Sequence[float]) -> float:
    """The error of a line through two series, as a part of the second one's range; infinite if they do not match."""
    size = min(len(a), len(b))
    if size < _FEWEST:
        return math.inf
    x, y = _at(a, size), _at(b, size)
    reach = max(y) - min(y)
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    x, y = [value - mean_x for value in x], [value - mean_y for value in y]
    square = sumprod(x, x)
    if square <= 0 or reach <= 0:
        return math.inf
    slope = sumprod(x, y) / square
    left = sum([(q - slope * p) ** 2 for p, q in zip(x, y, strict=True)]) / len(x)
    return math.sqrt(left) / reach if slope > 0 else math.inf
