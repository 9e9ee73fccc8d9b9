"""Memory that grows beside what was sampled: a sample errs, and sees no memory of C code."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from memprof_middleware.leaks.line import Growth


def times_as_much(growth: Growth, each: float, memory: Sequence[float]) -> float:
    """How many times as much as something weighs has come with it, in that half of its growth which had less.

    A cache that fills beside it, or what is loaded once, comes with one half of it only.

    Args:
        growth: of what was sampled.
        each: bytes of one, by the sample.
        memory: the floor of its memory together with what nothing explains, at each row of the past.
    """
    levels, end = growth.levels, len(growth.levels) - 1
    half = bisect_left(levels, levels[0] + growth.amount / 2, hi=end)
    return min(
        (memory[growth.begin + last] - memory[growth.begin + first]) / max(1.0, each * (levels[last] - levels[first]))
        for first, last in ((0, half), (half, end))
    )
