"""Cohorts of instances: some that were there when the holders of their type were looked for, and how many still are.

A cohort is weak references without callbacks: it keeps nothing alive, and asking it runs no code of the program.
A type with ``__slots__`` and no ``__weakref__`` takes none. Its addresses would not do instead: what is made anew lies
where the last one lay, and would look as if it had stayed.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import ref

from memprof_middleware.model.value import valueclass

# Instances of a cohort at the most, and at the least; cohorts of one type; types that have any.
MOST, FEWEST = 32, 8
_KEPT, _MOST_TYPES = 4, 24


@valueclass(frozen=True, slots=True)
class Cohort:
    """Things that were there at one look. What is neither alive nor gone, nobody can tell.

    Attributes:
        number: which cohort of its type or container it is.
        size: how many things.
        alive: how many are certainly there.
        gone: how many are certainly not.
        among: how many there were to choose from; ``None``: all that there were.
    """

    number: int
    size: int
    alive: int
    gone: int
    among: int | None = None


class Reference(ref[Any]):
    """A weak reference of ours: counted under a name of its own, it is not taken for what the program makes."""

    __slots__ = ()


def references(ones: Iterable[Any]) -> list[Reference]:
    """Weak references to those of some objects that take one.

    Args:
        ones: the objects.
    """
    found: list[Reference] = []
    for one in ones:
        try:
            found.append(Reference(one))
        except TypeError:
            continue
    return found


def alive(refs: Sequence[Reference]) -> int:
    """The number of objects that still exist.

    One C call: no other thread runs meanwhile, so the reference that it holds for a moment is never the last one, and
    no finalizer runs here.
    """
    return sum(map(operator.is_not, map(operator.call, refs), itertools.repeat(None)))


class Instances:
    """The cohorts of types whose holders were looked for: each search has a sample of the instances in its hands."""

    def __init__(self) -> None:
        self._cohorts: dict[str, list[tuple[int, int, list[Reference]]]] = {}

    def take(self, name: str, ones: Sequence[Any]) -> None:
        """Make a cohort of a sample; of a type that takes no weak references, or of too few, there is none.

        Args:
            name: of the type.
            ones: instances, by age; not all that there are, but the young ones of them.
        """
        step = max(1, -(-len(ones) // MOST))
        refs = references(ones[::step])
        if len(refs) < FEWEST:
            return
        known = self._cohorts.pop(name, [])
        number = known[-1][0] + 1 if known else 0
        self._cohorts[name] = [*known, (number, len(ones), refs)][-_KEPT:]
        while len(self._cohorts) > _MOST_TYPES:
            del self._cohorts[next(iter(self._cohorts))]

    def ask(self) -> Mapping[str, tuple[Cohort, ...]]:
        """The survivors of each cohort, by type."""
        return {name: tuple(_asked(*cohort) for cohort in cohorts) for name, cohorts in self._cohorts.items()}


def _asked(number: int, among: int, refs: list[Reference]) -> Cohort:
    there = alive(refs)
    return Cohort(number, len(refs), there, len(refs) - there, among)
