"""A change of a condition, and the record of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from memprof_middleware.model import Alert, Condition
from memprof_middleware.model.alert import AlertState
from memprof_middleware.model.urgency import URGENCIES

Step = Literal["begins", "rises", "goes on", "ends"]


class Change(NamedTuple):
    """A change of a condition: it begins, rises, goes on or ends.

    Attributes:
        step: what happened to the condition.
        condition: as it is now; of one that ended, as it was measured last.
        before: as it was when it was reported last; of one that begins, the same.
        since: when it began; of a leak, when it was confirmed.
        now: when this happened.
        times: how often it began so far, this time included.
        first: when it began for the first time.
        why: what ended it, where that is known.
        ignored: it has not ended: somebody ignores it from now on, or of one that begins, did so until now.
        elsewhere: it has not ended: another worker reports it from now on.
    """

    step: Step
    condition: Condition
    before: Condition
    since: float
    now: float
    times: int = 1
    first: float = 0.0
    why: str = ""
    ignored: bool = False
    elsewhere: bool = False


def alert_of(change: Change, message: str, *, page: str = "", leading: bool = True) -> Alert:
    """The record of a change.

    Args:
        change: what happened.
        message: the same in a sentence.
        page: path of the page.
        leading: whether this worker reports it for all.
    """
    ended = change.step == "ends"
    now, told = change.condition, change.before if ended else change.condition
    known = told if told.holder else now  # what has gone has no holder any more
    open_state: AlertState = "active" if told.leak is None else "suspected" if told.suspected else "confirmed"
    return Alert(
        name=told.name,
        subject=told.subject,
        severity=told.severity,
        message=message,
        value=told.value,
        threshold=told.threshold,
        since=change.since,
        timestamp=change.now,
        active=not ended,
        state="resolved" if ended else open_state,
        urgency=told.urgency,
        incident=known.incident,
        holder=known.holder,
        route=now.route or told.route,
        per_hour=told.per_hour,
        limit_seconds=told.limit_seconds,
        page=page,
        leading=leading,
    )


def rank_of(condition: Condition) -> int:
    """The urgency of a condition as a number, the lowest for a suspicion."""
    return 0 if condition.suspected else 1 + URGENCIES.index(condition.urgency)
