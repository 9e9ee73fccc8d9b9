"""Lengths of the containers that the program keeps, by the path on which a person would find them.

Counts of types miss what the collector does not track: bytes, strings, dicts of plain values. A container that keeps
them grows all the same, and its path says who holds them.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import time
from collections.abc import Callable

from memprof_middleware.heap.buffers import Buffer
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.tally import Found, Tally
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.walk import PAUSE_SECONDS, Budget, Walk
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep
from memprof_middleware.probes.turns import Turn

# Stops for others every millisecond of work; the walk is otherwise Python code, which CPython interrupts anyway.
SLICE_SECONDS = 0.001
_MOST_REPORTED = 2_000
# An ordinary walk needs a fifth of that: 0.2 s and 2 MB in a Django process of 126,000 objects. What needs more is seen
# in parts, by several walks.
SECONDS = 1.0
_OBJECTS, _BYTES = 300_000, 32_000_000
_PLAIN_TURN = Turn()


@valueclass(frozen=True, slots=True)
class Container:
    """One container, or the sum of those at the same place in each entry of another one.

    Attributes:
        path: where it is, such as ``shop.cart.SESSIONS`` or ``app.USERS[*].history``. Names of modules, classes,
            attributes and variables only, never a key or a value.
        kind: its type, such as ``dict`` or ``collections.OrderedDict``; ``lru_cache``, ``traceback`` for a linked one.
        length: entries; the sum where the path has ``[*]``, an estimate beyond some 10,000.
        bound: the length that it cannot pass by its own word: maxlen, maxsize, capacity.
        unbounded: it says that it has no bound: ``lru_cache(None)``.
        holds: types of its newest entries and of what they refer to, the most frequent first.
        oldest: stands for its oldest entry; another number only if that has gone. ``None``: it has no order, stands
            for many, does not grow, or nobody can tell.
        entry_bytes: what one of its newest entries weighs with what it refers to; ``None``: nobody looked.
        lifetime: seconds after which it drops an entry, by its own word: ``ttl``, ``timeout``, ``max_age``, ``expire``.
        cohorts: what has become of entries that were marked at earlier walks.
        aged_bytes: as ``entry_bytes``, of an entry that is as old as most; ``None``: nobody looked.
    """

    path: str
    kind: str
    length: int
    bound: int | None
    unbounded: bool
    holds: tuple[str, ...]
    oldest: int | None = dataclasses.field(default=None, compare=False)
    entry_bytes: float | None = dataclasses.field(default=None, compare=False)
    lifetime: float | None = dataclasses.field(default=None, compare=False)
    cohorts: tuple[Cohort, ...] = dataclasses.field(default=(), compare=False)
    aged_bytes: float | None = dataclasses.field(default=None, compare=False)


@valueclass(frozen=True, slots=True)
class Containers:
    """The containers that were found.

    Attributes:
        found: those of the application first, the longest first.
        visited: objects that were looked at.
        complete: everything was looked at; else what is not among them may be there all the same.
        seconds: wall time it took, the pauses included.
        cpu_seconds: processor time it took.
        longest_seconds: the longest time between two pauses, in processor time.
        following: what the next walk looks at, so that over several of them everything is seen.
        buffers: what has bytes and no entries: the largest texts, bytearrays and arrays.
        exhaustive: nothing was left out on the way either, and no root: what is not among them is not in Python.
    """

    found: tuple[Container, ...] = ()
    visited: int = 0
    complete: bool = True
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    longest_seconds: float = 0.0
    following: Turn = _PLAIN_TURN
    buffers: tuple[Buffer, ...] = ()
    exhaustive: bool = True


def find_containers(
    *,
    most_visited: int = _OBJECTS,
    most_seconds: float = SECONDS,
    most_bytes: int = _BYTES,
    least_length: int = 8,
    turn: Turn = _PLAIN_TURN,
    turnover: Turnover | None = None,
    pause: Callable[[float], object] = real_sleep,
) -> Containers:
    """Walk from the modules, classes, tasks and threads to what they keep, and measure the containers.

    About 1 us of processor time for each object; a thousandth second of work, then a pause. Nothing of the program
    runs, nothing is changed, no reference is kept. What is nearest to a module of the application is seen first.

    Args:
        most_visited: objects to look at, at most.
        most_seconds: processor time, at most a slice longer.
        most_bytes: memory of its own, by an estimate.
        least_length: shorter containers are left out.
        turn: what the last walk gave as ``following``.
        turnover: follows the entries of what grows over several walks.
        pause: called between slices with the seconds to wait.
    """
    budget = Budget(most_visited, most_seconds, most_bytes)
    return in_real_thread(functools.partial(_find, budget, least_length, turn, turnover, pause))


def _find(
    budget: Budget, least_length: int, turn: Turn, turnover: Turnover | None, pause: Callable[[float], object]
) -> Containers:
    cpu, began = time.thread_time(), time.perf_counter()
    longest, lap = 0.0, cpu
    walk = Walk(budget, least_length, turn, turnover=turnover)
    try:
        for _ in walk.steps():
            now = time.thread_time()
            if now - lap >= SLICE_SECONDS:
                longest = max(longest, now - lap)
                pause(PAUSE_SECONDS)
                lap = time.thread_time()
        longest = max(longest, time.thread_time() - lap)
        found, buffers = reported(walk.tally, least_length), walk.buffers.largest()
    finally:
        walk.clear()
    following = turn.following(used=walk.used, before=walk.before, easily=walk.easily)
    complete = walk.used < 1 and not walk.parted
    seconds = time.perf_counter() - began
    cpu_seconds, exhaustive = time.thread_time() - cpu, complete and not walk.left_out
    return Containers(found, walk.visited, complete, seconds, cpu_seconds, longest, following, buffers, exhaustive)


def reported(tally: Tally, least_length: int) -> tuple[Container, ...]:
    """Those of the application first, the longest first."""
    most = ((-found.rank, found.length, path, found) for path, found in tally.found.items())
    chosen = heapq.nlargest(_MOST_REPORTED, (one for one in most if one[1] >= least_length), key=lambda one: one[:3])
    return tuple(_container(path, one) for _, _, path, one in chosen)


def _container(path: str, found: Found) -> Container:
    return Container(
        path,
        found.kind,
        round(found.length),
        found.bound,
        found.unbounded,
        found.holds,
        found.oldest,
        found.entry_bytes,
        found.lifetime,
        found.cohorts,
        found.aged_bytes,
    )
