"""Noise that one window hands to the next: what a reading happens to catch is missing from the one after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memprof_middleware.routes.fit import Window

# A weaker correlation is chance; a stronger one is as strong as there can be.
_LEAST, _STRONGEST = -0.1, -0.497
_MOST = 0.9


def echo(windows: Sequence[Window], left: Sequence[float], limit: float) -> float:
    """The part of one window's noise that returns with the other sign in the next, 0 to 0.9.

    What a reading happens to catch, such as garbage that waits for a collection, makes one window too large and the
    next too small: noise of the first order of a moving average, whose coefficient this is.

    Args:
        windows: of one worker or many.
        left: what a fit leaves of the growth of each.
        limit: more than that is an outlier, and counts as much as that.
    """
    last: dict[str, float] = {}
    square = product = 0.0
    for window, rest in zip(windows, left, strict=True):
        tame = min(max(rest, -limit), limit)
        square += tame**2
        product += tame * last.get(window.worker, 0.0)
        last[window.worker] = tame
    correlation = product / square if square else 0.0
    if correlation > _LEAST:
        return 0.0
    if correlation <= _STRONGEST:
        return _MOST
    return min(_MOST, (1 - math.sqrt(1 - 4 * correlation**2)) / (-2 * correlation))


def without_echo(windows: Sequence[Window], values: Sequence[float], share: float) -> list[float]:
    """The values with the echo taken out, so that what is left of the noise is independent.

    Args:
        windows: of one worker or many.
        values: one for each.
        share: what :func:`echo` says.
    """
    last: dict[str, float] = {}
    found: list[float] = []
    for window, value in zip(windows, values, strict=True):
        last[window.worker] = value + share * last.get(window.worker, 0.0)
        found.append(last[window.worker])
    return found
