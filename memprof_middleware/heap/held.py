"""The holders of a type's instances in a forked worker, found by address; see :mod:`.retainers`.

`retainers` asks for every class and for lists of all objects, which copies the heap that the workers share. Frozen
holders, which ``gc.get_referrers`` leaves out, are found here. Tasks and frames are not looked into.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import memprof_native
from memprof_middleware.heap.answers import Holding
from memprof_middleware.heap.cohorts import Instances
from memprof_middleware.heap.referrers import WINDOW
from memprof_middleware.heap.retainers import MOST_PATHS, spread
from memprof_middleware.heap.ways import OnTheWay, Ways, find_ways
from memprof_middleware.probes.census import printable
from memprof_middleware.probes.native_census import step_through
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

_SAMPLES = 8


def find_held(
    type_names: Sequence[str],
    *,
    instances_of: Instances | None = None,
    pause: Callable[[float], object] = real_sleep,
) -> Mapping[str, Holding]:
    """Climb from young instances of some types to the modules that hold them.

    Args:
        type_names: the types, as ``module.QualName``.
        instances_of: makes cohorts of what it finds.
        pause: called between slices with the seconds to wait; what it raises ends the search.
    """
    return in_real_thread(functools.partial(_find, frozenset(type_names), instances_of, pause))


def _find(names: frozenset[str], cohorts: Instances | None, pause: Callable[[float], object]) -> dict[str, Holding]:
    chosen = {name: _sample(name, kinds, cohorts) for name, kinds in _classes(names, pause).items()}
    ways = find_ways([address for addresses in chosen.values() for address in addresses], pause)
    walk = OnTheWay(ways.addresses, ways.modules)
    try:
        for _ in walk.steps():
            pass
        places = walk.places
    finally:
        walk.clear()
    return {name: _holding(addresses, places, ways) for name, addresses in chosen.items()}


def _classes(names: frozenset[str], pause: Callable[[float], object]) -> dict[str, list[int]]:
    """Addresses of the classes of some names."""
    walk = memprof_native.Walk()
    found: dict[str, list[int]] = {}
    try:
        step_through(walk, pause)
        for address, name, *_ in walk.classes():
            if (known := printable(name)) in names:
                found.setdefault(known, []).append(address)
    finally:
        walk.close()
    return found


def _sample(name: str, kinds: list[int], cohorts: Instances | None) -> list[int]:
    """Addresses of some instances; they are held no longer than this takes."""
    ones = [one for kind in kinds for one in reversed(memprof_native.newest(kind, 8 * _SAMPLES, WINDOW))]
    if cohorts is not None:
        cohorts.take(name, ones)
    return [id(one) for one in spread(ones, _SAMPLES)]


def _holding(addresses: list[int], places: Mapping[int, str], ways: Ways) -> Holding:
    found = [path for address in addresses if (path := _path(address, places, ways)) is not None]
    counts = Counter(found).most_common(MOST_PATHS)
    paths = tuple((path, count / len(addresses)) for path, count in counts)
    return Holding(paths, len(addresses), complete=len(found) == len(addresses))


def _path(address: int, places: Mapping[int, str], ways: Ways) -> str | None:
    """The path of an object, or of the nearest above it that the walk came to: of long containers it takes a sample."""
    level, seen = {address}, {address}
    below = False
    while level:
        known = sorted((places[one] for one in level if one in places), key=lambda path: (len(path), path))
        if known:
            return f"{known[0]}[*]" if below and not known[0].endswith("[*]") else known[0]
        level = {referrer for one in level for referrer in ways.above.get(one, ())} - seen
        seen |= level
        below = True
    return None
