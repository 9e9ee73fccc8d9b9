"""How soon somebody has to act: from the time to the limit, never from growth in percent."""

from __future__ import annotations

import logging
import typing

Urgency = typing.Literal["none", "plan", "today", "now"]
URGENCIES: tuple[Urgency, ...] = ("none", "plan", "today", "now")
"""From nothing to do, to act now."""
URGENCY_WORDS: dict[Urgency, str] = {"none": "", "plan": "plan a fix", "today": "act today", "now": "act now"}

# What grows for less time than this is what a process loads at its start: no pace is told of it.
SETTLED_SECONDS = 30.0
# A figure that rests on less time than this is rough.
ROUGH_SECONDS = 1800.0
_NOW_HOURS, _TODAY_HOURS, _LATEST_DAYS = 4.0, 24.0, 90.0
# From this on nobody has the time to read before they act.
_CRITICAL_HOURS = 0.5


def hours_left(left: float | None, per_hour: float) -> float | None:
    """Hours until what is left is taken at a rate; ``None``: never, or there is no limit."""
    return max(0.0, left) / per_hour if left is not None and per_hour > 0 else None


def fill_urgency(percent: float | None, warning_percent: float = 80.0, critical_percent: float = 90.0) -> Urgency:
    """How soon somebody has to act because of the memory in use alone.

    Args:
        percent: memory in use, of the limit; ``None``: not known.
        warning_percent: memory in use that asks for action today.
        critical_percent: memory in use that asks for action now.
    """
    used = 0.0 if percent is None else percent
    return "now" if used >= critical_percent else "today" if used >= warning_percent else "none"


def urgency(
    hours: float | None,
    *,
    leaking: bool = False,
    fill: Urgency = "none",
    watched_seconds: float | None = None,
) -> Urgency:
    """How soon somebody has to act. The log, alerts, page, terminal, sinks and evidence all ask here.

    A rough figure asks for no action now while there is room: each warm-up would. A confirmed leak is no warm-up: it is
    as urgent as the time that is told of it, with the word "rough".

    Args:
        hours: until the limit is reached; ``None``: not at this pace, or not known.
        leaking: a leak is confirmed.
        fill: by :func:`fill_urgency`.
        watched_seconds: how long the growth behind ``hours`` was watched; ``None``: long enough.
    """
    rough = watched_seconds is not None and watched_seconds < ROUGH_SECONDS and fill == "none" and not leaking
    if hours is None or hours >= _TODAY_HOURS:
        late = hours is not None and hours > 24 * _LATEST_DAYS
        by_time: Urgency = "plan" if leaking and not late else "none"
    elif hours < _NOW_HOURS and not rough:
        by_time = "now"
    else:
        by_time = "today"
    return max(by_time, fill, key=URGENCIES.index)


def log_level(urgent: Urgency, hours: float | None = None) -> int:
    """The level of the logging module for an urgency.

    Args:
        urgent: the urgency.
        hours: until the limit is reached.
    """
    if urgent == "now":
        return logging.CRITICAL if hours is not None and hours < _CRITICAL_HOURS else logging.ERROR
    return logging.INFO if urgent == "none" else logging.WARNING
