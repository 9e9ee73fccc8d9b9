"""A condition as it is measured now: a threshold and its figure, or a leak."""

from __future__ import annotations

from memprof_middleware.model.leak import Leak
from memprof_middleware.model.route import RouteLeak
from memprof_middleware.model.severity import Severity
from memprof_middleware.model.urgency import Urgency
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Condition:
    """What an observer measured. Whether it begins, rises or ends is decided by the alert manager.

    Attributes:
        name: as in :class:`~memprof_middleware.Alert`.
        severity: the same.
        value: the figure.
        threshold: what it is compared with.
        message: what is so now, in a sentence.
        subject: what it is about, where one condition can be met for many.
        met: whether the threshold is passed. A figure that is measured is given even if not: what has begun ends only
            a little below the threshold.
        urgency: how soon somebody has to act.
        limit_seconds: until a limit is reached; ``None``: not known.
        advice: what to do; said at the beginning, and when the urgency rises.
        holder: what holds the leaked objects.
        route: the route whose requests cause it.
        per_hour: growth an hour, in bytes; ``None``: not known.
        leak: the leak, where it is one.
        also: other subjects under which the same may have begun.
        kept: what requests keep, where it is a leak of a route.
        said: a confirmed leak that is reported says the same: the log has it at INFO.
    """

    name: str
    severity: Severity
    value: float
    threshold: float
    message: str
    subject: str = ""
    met: bool = True
    urgency: Urgency = "none"
    limit_seconds: float | None = None
    advice: str = ""
    holder: str = ""
    route: str = ""
    per_hour: float | None = None
    leak: Leak | None = None
    also: tuple[str, ...] = ()
    kept: RouteLeak | None = None
    said: bool = False

    @property
    def suspected(self) -> bool:
        """Whether it is a suspicion, which is only logged."""
        return self.leak is not None and self.leak.state == "suspected"

    @property
    def incident(self) -> str:
        """The name that all workers give it."""
        named = self.subject if self.leak is not None or self.route else ""
        return self.holder or named or self.name
