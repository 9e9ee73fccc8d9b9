"""A condition that began, rose or ended."""

from __future__ import annotations

import logging

from memprof_middleware.model.codec import Moment, _Value
from memprof_middleware.model.severity import Severity
from memprof_middleware.model.urgency import urgency
from memprof_middleware.model.value import valueclass

_LEVELS: dict[Severity, int] = {
    "low": logging.WARNING,
    "medium": logging.WARNING,
    "high": logging.ERROR,
    "critical": logging.CRITICAL,
}
_URGENCY = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# How bad these are is told by when the limit is reached; their severity is growth in percent.
_BY_URGENCY = frozenset({"leak", "route_leak"})


@valueclass(frozen=True, kw_only=True, slots=True)
class Alert(_Value):
    """A condition that began or ended.

    Attributes:
        name: the condition: ``heap_warning``, ``heap_critical``, ``heap_growth``, ``gc_spike``, ``exhaustion``,
            ``leak`` or ``route_leak``.
        subject: what it is about, where one condition can hold for many: the leaking type or route; of an exhaustion
            ``worker`` or ``shared``.
        severity: ``low`` to ``critical``.
        message: a sentence for people.
        value: the figure that was judged.
        threshold: the figure it was judged against.
        since: when the condition began.
        timestamp: when this record was made.
        hours_left: of a leak, until the limit is reached; ``None``: not known.
        active: ``True`` when the condition begins, ``False`` when it ends.
    """

    name: str
    severity: Severity
    message: str
    value: float
    threshold: float
    since: Moment
    timestamp: Moment
    subject: str = ""
    hours_left: float | None = None
    active: bool = True


def level_of(alert: Alert) -> int:
    """The level of the logging module that an alert is told at.

    Who reads of its beginning reads of its end: at WARNING, or at INFO where its beginning was.
    """
    by_urgency = alert.name in _BY_URGENCY
    level = _URGENCY[urgency(alert.hours_left)] if by_urgency else _LEVELS[alert.severity]
    return level if alert.active else min(level, logging.WARNING)
