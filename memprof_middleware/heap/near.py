"""What lies near the application's modules: all that a forked worker looks at where C does not count.

The whole walk reads every object through Python, which writes its reference count and so copies the heap that the
workers share. The application's modules are noted before the fork: to look for them in the child copies 9 MB.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from memprof_middleware.forks import before_fork
from memprof_middleware.heap import roots
from memprof_middleware.heap.answers import Holding
from memprof_middleware.heap.containers import SLICE_SECONDS, Containers, reported
from memprof_middleware.heap.retainers import MOST_PATHS
from memprof_middleware.heap.tally import Entry
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.walk import PAUSE_SECONDS, Budget, Walk
from memprof_middleware.model.holders import HIDDEN
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep
from memprof_middleware.probes.turns import Turn

_BUDGET = Budget(objects=20_000, seconds=0.2, size=8 * 2**20)
_LEAST_LENGTH = 8
# From a module to the list in a dict in a dict of it, or in an attribute of its object; holders are sought further.
_NEAR, _FAR = 3, 6
# What lies in the entries of a long container is not summed up: 10,000 of them are as many pages.
_SUMMED = 0

_noted: list[roots.Module] = []
_looked_at = 0  # so many modules were loaded when it was noted


@before_fork
def note_modules() -> None:
    """Note which modules are the application's, if more are loaded than the last time."""
    global _noted, _looked_at
    if len(sys.modules) != _looked_at:
        _noted, _looked_at = _applications(None), len(sys.modules)


def _applications(most: int | None) -> list[roots.Module]:
    return [one for one in roots.modules(most) if one[2] == roots.APPLICATION]


class _Near(Walk):
    """A walk from the application's modules, a few steps far.

    Args:
        deepest: how many.
        wanted: names of types whose instances are sought.
        turnover: as for the walk.

    Attributes:
        places: of each of these types the paths on which there are instances, and about how many.
    """

    def __init__(self, deepest: int, wanted: Sequence[str] = (), turnover: Turnover | None = None) -> None:
        super().__init__(_BUDGET, _LEAST_LENGTH, Turn(), deepest=deepest, summed=_SUMMED, turnover=turnover)
        self.places: dict[str, Counter[str]] = {name: Counter() for name in wanted}
        self._wanted: dict[int, Counter[str] | None] = {}
        self.longest_seconds = 0.0

    def go(self, pause: Callable[[float], object]) -> None:
        """Walk to the end, with a pause after each millisecond of work."""
        lap = time.thread_time()
        for _ in self.steps():
            now = time.thread_time()
            if now - lap >= SLICE_SECONDS:
                self.longest_seconds = max(self.longest_seconds, now - lap)
                pause(PAUSE_SECONDS)
                lap = time.thread_time()

    def _start(self) -> None:
        for name, space, rank in [*_applications(max(0, len(sys.modules) - _looked_at)), *_noted]:
            self.root(name, space, rank)
        if self.places:
            self.what_runs()

    def _expand(self, entry: Entry) -> None:
        kind = type(entry[0])
        if id(kind) not in self._wanted:
            self._wanted[id(kind)] = self.places.get(type_name(kind))
        if (paths := self._wanted[id(kind)]) is not None:
            paths[entry[1]] += max(1, round(entry[2]))
        super()._expand(entry)


def measure_near(pause: Callable[[float], object] = real_sleep, turnover: Turnover | None = None) -> Containers:
    """How long the containers are that lie near the application's modules, by path.

    Args:
        turnover: follows the entries of what grows over several looks.
        pause: called between slices with the seconds to wait; what it raises ends the look.
    """
    return in_real_thread(functools.partial(_measure, pause, turnover))


def _measure(pause: Callable[[float], object], turnover: Turnover | None) -> Containers:
    cpu, began = time.thread_time(), time.perf_counter()
    walk = _Near(_NEAR, turnover=turnover)
    try:
        walk.go(pause)
        found, buffers = reported(walk.tally, _LEAST_LENGTH), walk.buffers.largest()
    finally:
        walk.clear()
    seconds, cpu_seconds = time.perf_counter() - began, time.thread_time() - cpu
    return Containers(found, walk.visited, False, seconds, cpu_seconds, walk.longest_seconds, buffers=buffers)


def find_near(type_names: Sequence[str], *, pause: Callable[[float], object] = real_sleep) -> Mapping[str, Holding]:
    """Who holds the instances of some types: what keeps them near the application's modules, in a task or a function.

    ``gc.get_referrers``, by which it is found out elsewhere, leaves frozen holders out.

    Args:
        type_names: the types, as ``module.QualName``.
        pause: called between slices with the seconds to wait; what it raises ends the search.
    """
    return in_real_thread(functools.partial(_find, type_names, pause))


def _find(names: Sequence[str], pause: Callable[[float], object]) -> dict[str, Holding]:
    walk = _Near(_FAR, names)
    try:
        walk.go(pause)
    finally:
        walk.clear()
    return {name: _holding(paths) for name, paths in walk.places.items()}


def _holding(paths: Counter[str]) -> Holding:
    total = paths.total()
    if not total:
        return Holding(((HIDDEN, 1.0),), 0, complete=False)
    return Holding(tuple((path, number / total) for path, number in paths.most_common(MOST_PATHS)), total)
