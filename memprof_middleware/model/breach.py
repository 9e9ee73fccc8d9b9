"""A condition that is met now."""

from __future__ import annotations

from memprof_middleware.model.severity import Severity
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Breach:
    """A threshold that is passed: its condition, how bad, the figures and a sentence for people."""

    name: str
    severity: Severity
    value: float
    threshold: float
    message: str
    subject: str = ""
    hours_left: float | None = None
