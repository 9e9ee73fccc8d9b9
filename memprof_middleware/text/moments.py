"""A moment as people and log searches write it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(timestamp: float | None) -> str:
    """``2026-11-25 10:15:00 UTC``; ``?`` for what is no moment of our calendar, such as a figure in a foreign file.

    Args:
        timestamp: seconds since the epoch.
    """
    try:
        return "?" if timestamp is None else datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "?"
