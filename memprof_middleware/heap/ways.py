"""Ways from the modules down to some objects, found upwards by address: no object beside them is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import memprof_native
from memprof_middleware.heap import roots
from memprof_middleware.heap.tally import Entry
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.walk import Budget, Walk
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.native_census import step_through
from memprof_middleware.probes.turns import Turn

LEAST_LENGTH = 16
_LEVELS, _REFERRERS = 10, 2_000
# Addresses that are compared in one go to find the names of values, 1 ms.
_MOST_COMPARED = 200_000
_BUDGET = Budget(objects=20_000, seconds=0.2, size=8 * 2**20)


@valueclass(frozen=True, slots=True)
class Ways:
    """The objects between some modules and some objects that they hold.

    Attributes:
        addresses: everything on the ways, the objects included.
        modules: the modules, each with the addresses of its values that are on a way.
        above: who refers to an object, by its address.
        longest_seconds: the longest slice of the search, in processor time.
    """

    addresses: set[int]
    modules: dict[str, set[int]]
    above: dict[int, set[int]]
    longest_seconds: float


def find_ways(targets: Iterable[int], pause: Callable[[float], object]) -> Ways:
    """Climb from some objects to the modules that keep them, the nearest first; one pass over the heap for each level.

    Args:
        targets: addresses of the objects.
        pause: called between slices with the seconds to wait; what it raises ends the search.
    """
    wanted = set(targets)
    level = seen = wanted
    below: dict[int, set[int]] = {}
    modules: dict[int, str] = {}
    longest = 0.0
    for _ in range(_LEVELS):
        found, slice_seconds = _referrers(level, pause)
        longest = max(longest, slice_seconds)
        next_level: set[int] = set()
        for referrer, target in found:
            if referrer not in below:
                name = memprof_native.key_of(sys.modules, referrer)
                if name is None:
                    next_level.add(referrer)
                elif not roots.is_ours(name):
                    modules[referrer] = name
            below.setdefault(referrer, set()).add(target)
        level = next_level - seen
        seen = seen | level
        if not level or wanted <= _reached(modules, below):
            break
    addresses = _reached(modules, below)
    above: dict[int, set[int]] = {}
    for referrer, children in below.items():
        for child in children & addresses:
            above.setdefault(child, set()).add(referrer)
    spaces = {name: below[module] for module, name in modules.items()}
    values = {name: {one for space in found for one in below.get(space, ())} for name, found in spaces.items()}
    return Ways(addresses, values, above, longest)


class OnTheWay(Walk):
    """A walk that begins at some modules and goes to known addresses only.

    Args:
        ways: the addresses.
        modules: the modules, each with the addresses of its values that are on a way.
        turnover: as for the walk.

    Attributes:
        places: the path of each object that it came to, by address.
    """

    def __init__(self, ways: set[int], modules: Mapping[str, set[int]], turnover: Turnover | None = None) -> None:
        super().__init__(_BUDGET, LEAST_LENGTH, Turn(), turnover=turnover)
        self._ways, self._modules = ways, modules
        self._values: dict[int, set[int]] = {}  # the same by the address of the namespace
        self.places: dict[int, str] = {}

    def _expand(self, entry: Entry) -> None:
        self.places[id(entry[0])] = entry[1]
        super()._expand(entry)

    def _start(self) -> None:
        for name, space, rank in roots.modules_named(self._modules):
            self._values[id(space)] = self._modules.get(name, set())
            self.root(name, space, rank)

    def namespace(self, space: dict[Any, Any], entry: Entry) -> None:
        """The names and values of a module that are on the way: to list all would copy the pages that they are on."""
        values = self._values[id(space)]
        if len(values) * len(space) > _MOST_COMPARED:
            super().namespace(space, entry)
            return
        names = [memprof_native.key_of(space, address) for address in values]
        self.space([(name, space.get(name)) for name in names if type(name) is str], entry)

    def add(self, child: object, path: str, label: str, entry: Entry, bound: int | None = None) -> None:
        """A child under a name, if it is on the way."""
        if id(child) in self._ways:
            super().add(child, path, label, entry, bound)

    def space(self, items: list[tuple[object, object]], entry: Entry) -> None:
        """The names and values of a namespace that are on the way."""
        super().space([item for item in items if id(item[1]) in self._ways], entry)

    def entries(self, part: list[object], path: str, weight: float, rank: int) -> None:
        """Entries of a container that are on the way."""
        super().entries([child for child in part if id(child) in self._ways], path, weight, rank)


def _referrers(targets: set[int], pause: Callable[[float], object]) -> tuple[list[tuple[int, int]], float]:
    walk = memprof_native.Walk(targets=sorted(targets), most=_REFERRERS)
    try:
        longest = step_through(walk, pause)
        return [(referrer, target) for referrer, target, _ in walk.referrers()], longest
    finally:
        walk.close()


def _reached(tops: Iterable[int], below: dict[int, set[int]]) -> set[int]:
    """Everything that is reached downwards."""
    seen: set[int] = set()
    pending = list(tops)
    while pending:
        for child in below.get(pending.pop(), ()):
            if child not in seen:
                seen.add(child)
                pending.append(child)
    return seen
