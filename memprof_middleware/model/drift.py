"""This process beside its baseline."""

from __future__ import annotations

from memprof_middleware.model.codec import Moment, Value
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, kw_only=True, slots=True)
class DriftReport(Value):
    """How far this process is from its baseline. Percentages are of the baseline; ``None``: not measured in both.

    Attributes:
        baseline_timestamp: when the baseline was taken.
        timestamp: when the compared snapshot was taken.
        heap_mb: change of heap used.
        heap_percent: the same, in percent.
        objects: change of live objects.
        objects_percent: the same, in percent.
        gc_per_hour: change of full collections per hour.
        significant: heap above 20 %, objects above 30 % or collections above 10 an hour.
        reasons: a sentence for each limit that was passed.
    """

    baseline_timestamp: Moment
    timestamp: Moment
    heap_mb: float | None
    heap_percent: float | None
    objects: int | None
    objects_percent: float | None
    gc_per_hour: float | None
    significant: bool
    reasons: tuple[str, ...] = ()
