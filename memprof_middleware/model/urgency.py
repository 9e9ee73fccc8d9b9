"""How soon somebody has to act: from the time to the limit, never from growth in percent."""

from __future__ import annotations

import logging
import typing

Urgency = typing.Literal["none", "plan", "today", "now"]
URGENCIES: tuple[Urgency, ...] = ("none", "plan", "today", "now")
"""From nothing to do, to act now."""
URGENCY_WORDS: dict[Urgency, str] = {"none": "", "plan": "plan a fix", "today": "act today", "now": "act now"}

_NOW_HOURS, _TODAY_HOURS, _LATEST_DAYS = 4.0, 24.0, 90.0
# From this on nobody has the time to read before they act.
_CRITICAL_HOURS = 0.5
# A figure that rests on less time than this is rough: it raises nothing above "today" while there is room.
_ROUGH_SECONDS = 1800.0


def hours_left(left: float | None, per_hour: float) -> float | None:
    """Hours until what is left is taken at a rate; ``None``: never, or there is no limit."""
    return max(0.0, left) / per_hour if left is not None and per_hour > 0 else None


def urgency(
    hours: float | None,
    *,
    leaking: bool = False,
    percent: float | None = None,
    warning_percent: float = 80.0,
    critical_percent: float = 90.0,
    watched_seconds: float | None = None,
) -> Urgency:
    """How soon somebody has to act. The log, alerts, page, terminal, sinks and evidence all ask here.

    Args:
        hours: until the limit is reached; ``None``: not at this pace, or not known.
        leaking: a leak is confirmed.
        percent: memory in use, of the limit; ``None``: not known.
        warning_percent: memory in use that asks for action today.
        critical_percent: memory in use that asks for action now.
        watched_seconds: how long the growth behind ``hours`` was watched; ``None``: long enough.
    """
    used = 0.0 if percent is None else percent
    if used >= critical_percent:
        return "now"
    rough = watched_seconds is not None and watched_seconds < _ROUGH_SECONDS and used < warning_percent
    if hours is not None and hours < _NOW_HOURS:
        return "today" if rough else "now"
    if used >= warning_percent or (hours is not None and hours < _TODAY_HOURS):
        return "today"
    late = hours is not None and hours > 24 * _LATEST_DAYS
    return "plan" if leaking and not late else "none"


def log_level(urgent: Urgency, hours: float | None = None, *, full: bool = False) -> int:
    """The level of the logging module for an urgency.

    Args:
        urgent: the urgency.
        hours: until the limit is reached.
        full: memory is above its critical threshold.
    """
    if urgent == "now":
        return logging.CRITICAL if full or (hours is not None and hours < _CRITICAL_HOURS) else logging.ERROR
    return logging.INFO if urgent == "none" else logging.WARNING
