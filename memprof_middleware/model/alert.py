"""A condition that began, rose or ended."""

from __future__ import annotations

import logging
import typing

from memprof_middleware.model.codec import Moment, Value
from memprof_middleware.model.severity import Severity
from memprof_middleware.model.urgency import Urgency, log_level
from memprof_middleware.model.value import valueclass

AlertState = typing.Literal["suspected", "confirmed", "active", "resolved"]
# The urgency of these is told by when the limit is reached, and so is their level; others are warnings.
_BY_URGENCY = frozenset({"leak", "exhaustion"})
_FULL = frozenset({"heap_critical", "shared_critical"})


@valueclass(frozen=True, kw_only=True, slots=True)
class Alert(Value):
    """A condition that began, whose urgency rose, or that ended.

    Attributes:
        name: the condition: ``heap_warning``, ``heap_critical``, ``shared_warning``, ``shared_critical``,
            ``heap_growth``, ``gc_spike``, ``exhaustion``, ``leak`` or ``route_leak``.
        subject: what it is about, where one condition can be met for many: the leaking type or route; of an exhaustion
            ``worker`` or ``shared``.
        severity: ``low`` to ``critical``.
        message: what happened, for people; the log line without its first word.
        value: the figure that was judged.
        threshold: the figure it was judged against.
        since: when the condition began.
        timestamp: when this record was made.
        active: ``True`` when the condition begins or its urgency rises, ``False`` when it ends.
        state: ``confirmed`` for a leak, ``active`` for any other condition, ``resolved`` when it ends.
        urgency: ``now``, ``today``, ``plan`` or ``none``.
        incident: the name that all workers of a server give it: the holder, else the subject, else the condition.
        holder: what holds the leaked objects; empty: not known.
        route: the route whose requests cause it; empty: not known.
        per_hour: growth an hour, in bytes; ``None``: not known.
        limit_seconds: until the limit is reached; ``None``: not known.
        page: path of the page; empty: there is none.
        leading: whether this worker reports it for the whole server; the others log it at INFO.
    """

    name: str
    severity: Severity
    message: str
    value: float
    threshold: float
    since: Moment
    timestamp: Moment
    subject: str = ""
    active: bool = True
    state: AlertState = "active"
    urgency: Urgency = "none"
    incident: str = ""
    holder: str = ""
    route: str = ""
    per_hour: float | None = None
    limit_seconds: float | None = None
    page: str = ""
    leading: bool = True

    @property
    def hours_left(self) -> float | None:
        """Hours until the limit is reached; ``None``: not known."""
        return None if self.limit_seconds is None else self.limit_seconds / 3600


def level_of(alert: Alert) -> int:
    """The level of the logging module that an alert is reported at.

    Who reads of its beginning reads of its end: at WARNING, or at INFO where another worker reports it.
    """
    if not alert.leading:
        return logging.INFO
    level = logging.CRITICAL if alert.name in _FULL and alert.urgency == "now" else logging.WARNING
    if alert.name in _BY_URGENCY:
        level = max(level, log_level(alert.urgency, alert.hours_left))
    return level if alert.active else min(level, logging.WARNING)
