"""Which types are worth a closer look: most of thousands do not grow, and that is seen at a glance."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load

# Of more types than a step can look at closely, so many that gained most are looked at each time, and so many in turn.
_ALWAYS, _IN_TURN = 48, 48


class Turns:
    """Whose turn it is, where more types may grow than one step can look at.

    Attributes:
        growing: those that grew at the last look: they are looked at each time.
    """

    def __init__(self) -> None:
        self.growing: frozenset[str] = frozenset()
        self._looked: dict[str, int] = {}  # number of the last look, of those that take turns
        self._look = 0

    def next(self, names: Sequence[str]) -> list[str]:
        """The types that are looked at now.

        Args:
            names: all that may grow, those that gained most first.
        """
        self._look += 1
        waiting = [name for name in names[_ALWAYS:] if name not in self.growing]
        taken = sorted(waiting, key=lambda name: self._looked.get(name, 0))[:_IN_TURN]
        self._looked = {name: self._looked.get(name, 0) for name in waiting} | dict.fromkeys(taken, self._look)
        always = names[:_ALWAYS]
        return [*always, *(self.growing.intersection(names).difference(always)), *taken]


def grown(history: History, start: int, least: int) -> set[str]:
    """The types that have gained something since a snapshot, or since half of the time after it."""
    risen = history.risen(least - 1, start)
    begins = start, start + (len(history) - start) // 2
    return {name for begin in begins for name in history.grown(least - 1, begin, risen)}


def candidates(
    names: Collection[str], history: History, indices: Sequence[int], load: Load, least: int, shortest: int
) -> list[str]:
    """The types that may grow by :func:`find_retention`, those that gained most first; of all others it finds nothing.

    Args:
        names: the types that have gained something.
        history: the past.
        indices: the snapshots with a census of their own.
        load: the requests at these.
        least: growth below this is none.
        shortest: snapshots that a period has at the least.
    """
    size = len(indices)
    half = indices[size - size // 2]
    last_stretch = indices[load.stretches[-1][0]]
    found: dict[str, int] = {}
    for name in names:
        early, late = history.levels(name, indices[0], half), history.levels(name, last_stretch, len(history))
        gained = late[-1] - early[0]
        breaks_ground = size // 2 >= shortest and late[-1] > max(early)
        is_up = load.served > 0 and gained >= least / 2
        if is_up and not breaks_ground and load.is_calm:
            # Only the floor counts: the lowest of the last stretch above the lowest of all.
            below = min(late) - least
            is_up = min(early) <= below or min(history.levels(name, half, last_stretch)) <= below
        if breaks_ground or is_up:
            found[name] = gained
    return sorted(found, key=lambda name: (-found[name], name))
