"""How soon growth hurts: the time until a limit is reached, and the level at which people are told."""

from __future__ import annotations

# Urgent below the first, serious below the second, in hours; later than the last, in days, nobody is told above INFO.
_URGENT_HOURS, _SERIOUS_HOURS, _LATEST_DAYS = 0.5, 4.0, 90.0


def hours_left(left: float | None, per_hour: float) -> float | None:
    """Hours until what is left is taken at a rate; ``None``: never, or there is no limit."""
    return max(0.0, left) / per_hour if left is not None and per_hour > 0 else None


def urgency(hours: float | None, *, tight: bool = False) -> str:
    """How soon it hurts: ``critical``, ``error``, ``warning`` or ``info``.

    Args:
        hours: until the limit is reached.
        tight: memory is above its critical threshold already.
    """
    if tight or (hours is not None and hours < _URGENT_HOURS):
        return "critical"
    if hours is not None and hours < _SERIOUS_HOURS:
        return "error"
    return "info" if hours is not None and hours > 24 * _LATEST_DAYS else "warning"
