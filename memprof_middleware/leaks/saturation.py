"""Saturation: growth that slows down as that of a filling cache, with the uncertainty of the counts."""

from __future__ import annotations

import math
from itertools import pairwise

from memprof_middleware.leaks.line import Growth

# The second half brings less than this part of the first, and that by so many standard errors.
_SLOWER, _ERRORS = 0.93, 2.5
_PARTS = 16


def saturation(growth: Growth) -> tuple[float, float]:
    """The growth in the second half of the feed as a part of that in the first, and its standard error."""
    first, second = growth.part(0, 0.5), growth.part(0.5, 1)
    if first <= 0:
        return 1.0, math.inf
    ratio = second / first
    parts = [growth.part(part / _PARTS, (part + 1) / _PARTS) for part in range(_PARTS)]
    # The scatter of neighbours, which a bend does not widen.
    scatter = sum((b - a) ** 2 for a, b in pairwise(parts)) / (2 * (_PARTS - 1))
    half = scatter * _PARTS / 2
    if growth.discrete:
        half = max(half, first)
    return ratio, math.sqrt(half * (1 + ratio**2)) / first


def fills(growth: Growth) -> bool:
    """Whether it slows down beyond doubt."""
    ratio, error = saturation(growth)
    return ratio < _SLOWER and 1 - ratio > _ERRORS * error
