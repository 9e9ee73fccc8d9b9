"""The middle of some numbers."""

from __future__ import annotations

from collections.abc import Iterable


def median(numbers: Iterable[float]) -> float:
    """The middle number, or the mean of the two middle ones.

    As ``statistics.median``, whose module weighs a megabyte: it brings fractions and decimals.

    Raises:
        ValueError: there is none.
    """
    found = sorted(numbers)
    if not found:
        raise ValueError("the median of no numbers was asked for: pass one at least")
    return (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
