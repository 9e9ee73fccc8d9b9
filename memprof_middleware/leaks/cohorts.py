"""Cohorts: when each was first seen, and how many of its instances were alive at the last reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.model.value import valueclass

# Populations whose cohorts are kept: those that were measured last.
_MOST = 96


@valueclass(frozen=True, slots=True)
class ObservedCohort:
    """A cohort, with the clock of the past.

    Attributes:
        cohort: its counts at the last measurement.
        taken: the time of the first measurement.
        at: the time of the last measurement.
    """

    cohort: Cohort
    taken: float
    at: float


class Cohorts:
    """The cohorts of a process, by type or path of the container."""

    def __init__(self) -> None:
        self._observed: dict[str, tuple[ObservedCohort, ...]] = {}

    def of(self, name: str) -> tuple[ObservedCohort, ...]:
        """The cohorts of a type or of the container at a path, the first one first."""
        return self._observed.get(name, ())

    def add(self, found: Mapping[str, Sequence[Cohort]], now: float) -> None:
        """Keep measured cohorts.

        Args:
            found: cohorts by name.
            now: the clock of the past.
        """
        for name, cohorts in found.items():
            if cohorts:
                taken = {one.cohort.number: one.taken for one in self._observed.pop(name, ())}
                self._observed[name] = tuple(ObservedCohort(one, taken.get(one.number, now), now) for one in cohorts)
        for name in list(self._observed)[: max(0, len(self._observed) - _MOST)]:
            del self._observed[name]
