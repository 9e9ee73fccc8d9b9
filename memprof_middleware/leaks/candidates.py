"""Candidates: the types that are judged closely; most of thousands do not grow, which a quick test shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load

# Of more types than a step can look at closely, so many that gained most are looked at each time, and so many in turn.
_ALWAYS, _IN_TURN = 48, 48


class Peaks:
    """The highest count of each type so far, so that no period is searched twice.

    The period before a moment only grows as time goes on, so what was reached in it stays reached, until the history
    forgets its beginning.
    """

    def __init__(self) -> None:
        self._begin = -1
        self.at_looks: dict[str, int] = {}  # the highest count at which a type was looked at closely
        self._seen: dict[str, tuple[int, int]] = {}  # the first level, and the highest that is known

    def begin(self, number: int) -> None:
        """The period begins at the snapshot with this number."""
        if number != self._begin:
            self._begin, self._seen, self.at_looks = number, {}, {}

    def first(self, name: str, history: History, begin: int, end: int) -> int:
        """The level at the beginning."""
        return (self._seen.get(name) or self._look(name, history, begin, end))[0]

    def is_above(self, level: int, name: str, history: History, begin: int, end: int) -> bool:
        """Whether a level is above all that a type had between two snapshots."""
        seen = self._seen.get(name)
        return (seen is None or level > seen[1]) and level > self._look(name, history, begin, end)[1]

    def _look(self, name: str, history: History, begin: int, end: int) -> tuple[int, int]:
        levels = history.levels(name, begin, end)
        self._seen[name] = levels[0], max(levels)
        return self._seen[name]


class Turns:
    """The order in which types are judged, where more may grow than one step can judge.

    Attributes:
        growing: those that grew at the last look: they are looked at each time.
        peaks: how high each type was.
    """

    def __init__(self) -> None:
        self.peaks = Peaks()
        self.growing: frozenset[str] = frozenset()
        self._looked: dict[str, int] = {}  # number of the last look, of those that take turns
        self._look = 0

    def next(self, names: Sequence[str], level: Callable[[str], int] | None = None) -> list[str]:
        """The types that are looked at now.

        Args:
            names: all that may grow, those that gained most first.
            level: of a type, now: what did not grow at an earlier look, and is no higher than then, needs no other one.
        """
        self._look += 1
        if level is None:
            return self._chosen(names)
        seen, levels = self.peaks.at_looks, {name: level(name) for name in names}
        chosen = self._chosen([name for name in names if name in self.growing or levels[name] > seen.get(name, -1)])
        seen.update((name, levels[name]) for name in chosen)
        return chosen

    def _chosen(self, names: Sequence[str]) -> list[str]:
        waiting = [name for name in names[_ALWAYS:] if name not in self.growing]
        taken = sorted(waiting, key=lambda name: self._looked.get(name, 0))[:_IN_TURN]
        self._looked = {name: self._looked.get(name, 0) for name in waiting} | dict.fromkeys(taken, self._look)
        always = names[:_ALWAYS]
        return [*always, *(self.growing.intersection(names).difference(always)), *taken]


def candidates(
    history: History, start: int, indices: Sequence[int], load: Load, least: int, shortest: int, peaks: Peaks
) -> list[str]:
    """The types that may grow by :func:`find_retention`, those that gained most first; of all others it finds nothing.

    Args:
        history: the past.
        start: where the period begins.
        indices: its snapshots with a census of their own.
        load: the requests at these.
        least: growth below this is none.
        shortest: snapshots that a period has at the least.
        peaks: what earlier looks have seen.
    """
    size, begin, end = len(indices), indices[0], len(history)
    half = indices[size - size // 2]
    last_stretch = indices[load.stretches[-1][0]]
    peaks.begin(history.seen - end + begin)
    found: dict[str, int] = {}
    for name in history.risen(least - 1, start):
        now = history.count(name)
        gained = now - peaks.first(name, history, begin, half)
        is_up = load.served > 0 and gained >= least / 2
        if is_up and load.is_calm:
            # Only the floor counts: the lowest of the last stretch above the lowest of all.
            low = min(history.levels(name, last_stretch, end)) - least
            is_up = history.least(name) <= low and min(history.levels(name, begin, last_stretch)) <= low
        if is_up or (size // 2 >= shortest and peaks.is_above(now, name, history, begin, half)):
            found[name] = gained
    kept = grown(history, start, least, found)
    return sorted(kept, key=lambda name: (-found[name], name))


def grown(history: History, start: int, least: int, among: Iterable[str]) -> set[str]:
    """Of some types those that have gained something since a snapshot, or since half of the time after it."""
    names = list(among)
    begins = start, start + (len(history) - start) // 2
    return {name for begin in begins for name in history.grown(least - 1, begin, names)}
