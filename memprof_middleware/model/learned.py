"""What was learned of an application, release by release: frozen values that are kept in a file."""

from __future__ import annotations

from memprof_middleware.model import Moment
from memprof_middleware.model.codec import Value
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, kw_only=True, slots=True)
class Hour(Value):
    """An hour of one worker's life. ``None``: not measured.

    Attributes:
        age_hours: how old the worker was at its end.
        heap_mb: the least heap used.
        heap_percent: the most, in percent of the limit.
        shared_percent: the most that all workers used together, in percent of the limit that they share.
        growth_percent: the highest growth of the heap, in percent per hour.
        gc_per_hour: the highest rate of full collections.
    """

    age_hours: float
    heap_mb: float | None = None
    heap_percent: float | None = None
    shared_percent: float | None = None
    growth_percent: float | None = None
    gc_per_hour: float | None = None


@valueclass(frozen=True, kw_only=True, slots=True)
class Release(Value):
    """The first days of a release.

    Attributes:
        name: its label; empty where there is none.
        since: when it was first seen, seconds since the epoch.
        hours: what its workers were like, oldest first.
    """

    name: str
    since: Moment
    hours: tuple[Hour, ...] = ()

    def __str__(self) -> str:
        return f"release {self.name}" if self.name else "this application"


@valueclass(frozen=True, kw_only=True, slots=True)
class Learned(Value):
    """The last releases, the present one last."""

    releases: tuple[Release, ...] = ()
