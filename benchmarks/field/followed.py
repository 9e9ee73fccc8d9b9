"""What cohorts would show of a simulated worker: which entries and instances of earlier looks are still there.

As the product takes them: entries of a container that grows, evenly over it, whenever its growth is larger by a
quarter; instances of a type whenever its holders are looked for, which is when their number has doubled. Not all can be
marked: a type may take no weak references, an entry may be a tuple.
"""

from __future__ import annotations

import random
from typing import Any

from memprof_middleware.heap.cohorts import Cohort

# Parts of the containers and of the types whose cohorts can be asked; no builtin type takes weak references.
_MARKED, _SAMPLED = 0.85, 0.8
_ENTRIES, _INSTANCES = 16, 32
# A search for holders looks at the youngest objects of the heap: of a type at so many, say.
_YOUNGEST = 2_000
# How often a cohort is taken, and how many are kept: of containers, of types.
_LARGER, _DOUBLED = (1.25, 6), (2.0, 4)


class Followed:
    """The cohorts of one simulated population.

    Args:
        series: the population.
        size: things of a cohort.
        chance: draws what can be drawn.
        by_growth: one is taken by the growth, not by the number.
    """

    def __init__(self, series: Any, size: int, chance: random.Random, *, by_growth: bool) -> None:
        self._series, self._size, self._chance, self._by_growth = series, size, chance, by_growth
        self._least, self._due, self._number = float("inf"), 0.0, 0
        self._cohorts: list[tuple[int, int, list[_Thing]]] = []

    def look(self, row: int) -> tuple[Cohort, ...]:
        """Ask, and take another cohort if it is time."""
        value = self._series.values[row]
        self._least = min(self._least, value)
        for _, _, things in self._cohorts:
            for thing in things:
                thing.look(self._series, row)
        begun = value >= max(1.1 * self._least, self._least + 16)
        measure = value - self._least if self._by_growth else value
        factor, kept = _LARGER if self._by_growth else _DOUBLED
        if begun and measure >= self._due:
            size = min(self._size, value)
            among = value if self._by_growth else min(value, _YOUNGEST)
            things = [_Thing(self._series, row, among, (rank + 0.5) / size, self._chance) for rank in range(size)]
            self._cohorts = [*self._cohorts, (self._number, among, things)][-kept:]
            self._number += 1
            self._due = factor * max(1, measure)
        return tuple(
            Cohort(number, len(things), alive := sum(thing.there for thing in things), len(things) - alive, among)
            for number, among, things in self._cohorts
        )


class _Thing:
    """One entry or instance of the youngest ones: it stays for ever, or goes when those before it have gone."""

    def __init__(self, series: Any, row: int, among: int, rank: float, chance: random.Random) -> None:
        value = series.values[row]
        stays = series.permanent[row] if series.permanent else 0
        come = value + series.gone[row] if series.gone and among < value else value  # of late, or of all that is there
        self._stays = chance.random() < stays / come
        self._goes_at = series.churn[row] + chance.expovariate(1.0) if series.churn else 0.0
        place = 1 - (1 - rank) * among / value
        self._index = series.gone[row] + place * (value - stays) if series.gone else place * value
        self.there = True

    def look(self, series: Any, row: int) -> None:
        """Whether it is there at a later row. Where nobody knows who goes, the last ones go first.

        What goes by chance, goes as often as its population says.
        """
        if not self._stays and self.there and series.churn:
            self.there = series.churn[row] < self._goes_at
        elif not self._stays and self.there:
            self.there = self._index >= series.gone[row] if series.gone else self._index < series.values[row]


def followed_of(worker: Any) -> tuple[dict[str, Followed], dict[str, Followed]]:
    """What can be followed of a worker: containers by path, types by name."""
    chance = random.Random(worker.seed + 1)
    paths, types = {}, {}
    for one in worker.series:
        marked, sampled = chance.random() < _MARKED, chance.random() < _SAMPLED
        if one.path and not one.starred and marked:
            paths[one.path] = Followed(one, _ENTRIES, chance, by_growth=True)
        if one.type and not one.type.startswith("builtins.") and sampled:
            types[one.type] = Followed(one, _INSTANCES, chance, by_growth=False)
    return paths, types
