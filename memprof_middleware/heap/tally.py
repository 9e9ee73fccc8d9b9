"""Lengths of containers by path, summed where one path stands for many containers."""

from __future__ import annotations

import collections
from typing import Any

from memprof_middleware.heap import entries, roots
from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.entries import GROWING, LRU, container_base, length_of
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.weights import aged_bytes, entry_bytes, oldest_of
from memprof_middleware.probes.census import type_name

# Entries looked at in one walk to sum the lengths of what lies in them; 50-100 ns each.
SUMMED = 400_000
# Containers up to here are looked into whole by the walk itself, which then sums exactly.
_WALKED = 64
_SAMPLE = 24

# object, its path, containers that it stands for, bound, class of the root's module
Entry = tuple[Any, str, float, int | None, int]


class Found:
    """The lengths measured at one path."""

    __slots__ = (
        *("aged_bytes", "bounded", "bounds", "cohorts", "entry_bytes", "holds", "kind"),
        *("length", "lifetime", "oldest", "rank", "unbounded"),
    )

    def __init__(self, kind: str, rank: int) -> None:
        self.kind, self.rank = kind, rank
        self.length = 0.0
        self.bounds = self.bounded = 0.0  # of those that name a bound the sum of these, and of their entries
        self.oldest: int | None = None
        self.cohorts: tuple[Cohort, ...] = ()
        self.entry_bytes: float | None = None
        self.aged_bytes: float | None = None
        self.lifetime: float | None = None
        self.unbounded = False
        self.holds: tuple[str, ...] = ()

    @property
    def bound(self) -> int | None:
        """The most entries that there can be, if all containers at the path name a bound."""
        return round(self.bounds) if self.bounds and self.bounded >= self.length else None


class Tally:
    """Lengths by path.

    Args:
        least: shorter containers are of no interest.
        attributes: names of attributes, as the walk knows them.
        summed: entries of long containers to look at for the lengths of what lies in them, in all.
        turnover: follows the entries over several walks; ``None``: only this one is taken.
    """

    def __init__(
        self, least: int, attributes: Attributes, summed: int = SUMMED, turnover: Turnover | None = None
    ) -> None:
        self.found: dict[str, Found] = {}
        self._least, self._attributes = least, attributes
        self._exact: set[str] = set()
        self._left = summed
        self._turnover = turnover
        self._known: dict[Any, Any] = {}  # names and tuples of names, each once: they are kept when the walk is over
        if turnover is not None:
            turnover.begin()

    def add(self, entry: Entry, kind: str, length: int) -> Found | None:
        """Add a length at a path, with the bound that comes with it."""
        _, path, weight, bound, rank = entry
        if path in self._exact or (length < self._least and "[*]" not in path):
            return None
        found = self.found.get(path)
        if found is None:
            found = self.found[path] = Found(kind.removeprefix("builtins."), rank)
        found.length += length * weight
        if bound is not None:
            found.bounds += bound * weight
            found.bounded += length * weight
        return found

    def measure(self, entry: Entry, base: type, length: int) -> None:
        """Measure a container, and what lies in its entries if these are many."""
        container, path, weight, bound, rank = entry
        starred = "[*]" in path
        if starred and id(base) not in GROWING and base is not LRU:
            return  # a tuple never grows
        kind = type(container)
        bound = self._bound(container, base, bound, length)
        name = "lru_cache" if base is LRU else type_name(kind)
        found = self.add((container, path, weight, bound, rank), name, length)
        if found is None:
            return
        if base is LRU:
            found.unbounded = bound is None
        if kind is not base and found.lifetime is None:
            found.lifetime = self._attributes.lifetime(container)
        if not starred and self._turnover is None:
            found.oldest = oldest_of(container, base)
        elif not starred and self._turnover is not None:
            sight = self._turnover.look(path, container, base, length)
            found.oldest, found.cohorts = sight.oldest, sight.cohorts
            if rank != roots.STANDARD:
                found.aged_bytes = aged_bytes(container, base, self._turnover.came(path, length))
        if not found.holds:
            self._sample(found, container, base, rank)
        if length > _WALKED and id(base) in GROWING and self._left > 0:
            self._sum(container, base, length, entry)

    def _bound(self, container: Any, base: type, bound: int | None, length: int) -> int | None:
        """The most that a container takes: by its own word, else by its owner's."""
        if base is LRU:
            most: int | None = entries.cache_info(container).maxsize
            return most
        if base is collections.deque:
            return _maxlen(container) or bound
        if type(container) is not base and bound is None:
            return self._attributes.bound(container, length)
        return bound

    def _sample(self, found: Found, container: Any, base: type, rank: int) -> None:
        """The types and the weight of a container's newest entries."""
        holds = tuple(self._known.setdefault(name, name) for name in self._holds(container, base, rank))
        found.holds = self._known.setdefault(holds, holds)
        if rank != roots.STANDARD:
            found.entry_bytes = entry_bytes(container, base)

    def _holds(self, container: Any, base: type, rank: int) -> tuple[str, ...]:
        sample = entries.newest(container, base, _SAMPLE)
        if base is LRU:  # arguments are tuples of what is of interest, so one step further
            return entries.types_below(sample[:8], steps=3, most=400)
        if base is dict:
            sample.extend(entries.newest_keys(container, _SAMPLE))
        return entries.types_below(sample, steps=0 if rank == roots.STANDARD else 2, most=64)

    def _sum(self, container: Any, base: type, length: int, entry: Entry) -> None:
        """Add up the containers in a container's entries, or in their attributes: few keys may hold long lists."""
        part = entries.everything(container, base)
        if not part:
            return
        self._left -= len(part)
        scale = entry[2] * length / len(part)
        path = f"{entry[1]}[*]"
        by_kind: dict[int, list[Any]] = {}
        for one in part:
            by_kind.setdefault(id(type(one)), []).append(one)
        total, bounds, first = 0, 0, None
        for ones in by_kind.values():
            inner = container_base(type(ones[-1]))
            if inner is not None and id(inner) in GROWING:
                lengths = sum(length_of(one, inner) for one in ones)
                bounds += _most(ones, inner)
                total += lengths
                first = first or (ones[-1], inner)
            elif inner is None and id(type(ones[-1])) not in entries.LEAVES and 4 * len(ones) > len(part):
                self._sum_attributes(ones, path, scale, entry[4])
        if first is not None:
            self._put(path, first, total * scale, entry[4], bounds * scale)

    def _sum_attributes(self, ones: list[Any], path: str, scale: float, rank: int) -> None:
        for name, value in self._attributes.named(ones[-1], entries.referents(ones[-1])):
            inner = container_base(type(value))
            if name and inner is not None and id(inner) in GROWING:
                own = [one for one in (self._attributes.read(one, name) for one in ones) if type(one) is type(value)]
                total = sum(length_of(one, inner) for one in own)
                self._left -= len(ones)
                self._put(f"{path}.{name}", (value, inner), total * scale, rank, _most(own, inner) * scale)

    def _put(self, path: str, example: tuple[Any, type], length: float, rank: int, bounds: float) -> None:
        container, base = example
        found = self.found.setdefault(path, Found(type_name(type(container)).removeprefix("builtins."), rank))
        found.length, found.bounds, found.bounded = length, bounds, length if bounds else 0.0
        if not found.holds:
            self._sample(found, container, base, rank)
        self._exact.add(path)


def _most(ones: list[Any], base: type) -> int:
    """The sum of the bounds of some containers; 0 if one of them has none."""
    if base is not collections.deque:
        return 0
    bounds = [_maxlen(one) for one in ones]
    return 0 if None in bounds else sum(bound for bound in bounds if bound is not None)


def _maxlen(queue: Any) -> int | None:
    found: int | None = collections.deque.maxlen.__get__(queue)
    return found
