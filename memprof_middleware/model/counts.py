"""How old counts of objects may be."""

from __future__ import annotations

# Counts that are older than so many intervals are told with their age.
STALE_INTERVALS = 2
_LONGEST_SECONDS, _LONGEST_INTERVALS = 300.0, 4


def longest_gap(interval: float) -> float:
    """Seconds after which objects are counted again at the latest, whatever else is skipped."""
    return max(_LONGEST_SECONDS, _LONGEST_INTERVALS * interval)
