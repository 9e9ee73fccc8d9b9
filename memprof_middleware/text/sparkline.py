"""A series as one line of bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 48


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """A series as one line of bars, from its lowest to its highest value; figures that are missing are left out."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ""
    picked = [known[index * (len(known) - 1) // (width - 1)] for index in range(width)] if len(known) > width else known
    low, high = min(picked), max(picked)
    return "".join(_BARS[round((value - low) / (high - low) * 7) if high > low else 0] for value in picked)
