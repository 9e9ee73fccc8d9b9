"""What is known of cohorts: when each was seen first, and how many of it were there at the last look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.model.value import valueclass

# Populations whose cohorts are remembered: those that were asked last.
_MOST = 96


@valueclass(frozen=True, slots=True)
class Asked:
    """A cohort, with the clock of the past.

    Attributes:
        cohort: how many of it were there when it was asked last.
        taken: when it was seen first.
        at: when it was asked last.
    """

    cohort: Cohort
    taken: float
    at: float


class Cohorts:
    """The cohorts of a process, by the type or the path of what they are of."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Asked, ...]] = {}

    def of(self, name: str) -> tuple[Asked, ...]:
        """The cohorts of a type or of the container at a path, the first one first."""
        return self._asked.get(name, ())

    def add(self, found: Mapping[str, Sequence[Cohort]], now: float) -> None:
        """Keep what was asked.

        Args:
            found: cohorts by name.
            now: the clock of the past.
        """
        for name, cohorts in found.items():
            if cohorts:
                taken = {one.cohort.number: one.taken for one in self._asked.pop(name, ())}
                self._asked[name] = tuple(Asked(one, taken.get(one.number, now), now) for one in cohorts)
        for name in list(self._asked)[: max(0, len(self._asked) - _MOST)]:
            del self._asked[name]
