"""Retaining paths of a type's instances: from modules, classes, tasks and frames to a sample of them."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware.heap.climb import PAUSE_SECONDS, Climb
from memprof_middleware.heap.cohorts import Instances
from memprof_middleware.heap.referrers import WINDOW, classes_named, instances
from memprof_middleware.heap.telling import named
from memprof_middleware.model.holders import HELD_FROM_BEFORE, HELD_NATIVE, UNHELD
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

MOST_PATHS = 8
# Where the sample lies among the instances, which are by age, but for what the last full collection has reordered: not
# the oldest, which were there before the leak, nor the very newest, which may be in use.
_FIRST, _LAST = 0.3, 0.97


@valueclass(frozen=True, slots=True)
class Holding:
    """Retaining paths of a sample of one type's instances.

    Attributes:
        paths: the shortest path to each sampled instance, without what differs between them, and the share of the
            sample that has it; the most frequent first. Such as ``app.SESSIONS[*].user``, ``task app.watchdog.upload``,
            ``frame of app.worker.batch``, ``held in native memory``, ``held by something from before the fork`` where
            ``gc.freeze()`` hides what that is,
            or ``nobody, or not collected yet`` of young ones that nothing refers to.
        sampled: instances looked at.
        complete: the time sufficed for all of them.
        named: what most of the sample stand for, where their type says nothing: ``timer app.expire``; empty else.
    """

    paths: tuple[tuple[str, float], ...] = ()
    sampled: int = 0
    complete: bool = True
    named: str = ""


def find_holders(
    type_names: Sequence[str],
    *,
    samples: int = 8,
    most_seconds: float = 0.5,
    instances_of: Instances | None = None,
    pause: Callable[[float], object] = real_sleep,
) -> Mapping[str, Holding]:
    """Find the retaining paths of young instances of some types.

    Each level of the way is one look through the heap for all instances together, which nothing can interrupt: 16-25 ms
    for each million objects. So this is for the few types that are suspected, and not often. Instances of the oldest
    generation are preferred, and only of these "held in native memory" is said: a full collection between two answers
    makes it certain, since a closed cycle that is garbage lies in the oldest generation until then.

    Args:
        type_names: the types, as ``module.QualName``.
        samples: instances of each.
        most_seconds: processor time after which it gives up, at most one look later.
        instances_of: makes cohorts of what it finds.
        pause: called between looks with the seconds to wait.
    """
    return in_real_thread(functools.partial(_find, tuple(type_names), samples, most_seconds, instances_of, pause))


def _find(
    names: tuple[str, ...],
    samples: int,
    most_seconds: float,
    cohorts: Instances | None,
    pause: Callable[[float], object],
) -> dict[str, Holding]:
    deadline = time.thread_time() + most_seconds
    chosen, young, heap = _sample(names, samples, deadline, cohorts, pause)
    owners = [name for name, objects in chosen.items() for _ in objects]
    climb = Climb(deadline, pause, heap)
    climb.start([one for objects in chosen.values() for one in objects])
    words = {name: named(objects) for name, objects in chosen.items()}
    chosen.clear()
    climb.run()
    result = {}
    for name in names:
        mine = [number for number, owner in enumerate(owners) if owner == name]
        found = [climb.answer(number) for number in mine]
        if name in young:
            found = [UNHELD if path in (HELD_NATIVE, HELD_FROM_BEFORE) else path for path in found]
        counts = Counter(path for path in found if path)
        paths = tuple((path, count / len(mine)) for path, count in counts.most_common(MOST_PATHS))
        result[name] = Holding(paths, len(mine), complete=all(found), named=words.get(name, ""))
    return result


def _sample(
    names: tuple[str, ...],
    samples: int,
    deadline: float,
    cohorts: Instances | None,
    pause: Callable[[float], object],
) -> tuple[dict[str, list[Any]], set[str], int]:
    classes = classes_named(set(names), type_name)
    chosen: dict[str, list[Any]] = {}
    young: set[str] = set()
    heap = 0
    for generation in (2, None):
        found: dict[str, list[Any]] = {}
        wanted = {identity for identity, name in classes.items() if name not in chosen}
        window, size = 0, 1
        while wanted and window * WINDOW < size:
            part, size = instances(wanted, window, generation=generation)
            heap = max(heap, size)
            by_name: dict[str, list[Any]] = {}
            for one in part:
                by_name.setdefault(classes[id(type(one))], []).append(one)
            del part
            for name, ones in by_name.items():
                found[name] = ones + found.get(name, [])
                if len(found[name]) >= 4 * samples:
                    wanted -= {identity for identity, own in classes.items() if own == name}
            by_name.clear()
            window += 1
            if time.thread_time() > deadline:
                break
            pause(PAUSE_SECONDS)
        for name, ones in found.items():
            chosen[name] = spread(ones, samples)
            if cohorts is not None:
                cohorts.take(name, ones)
            if generation is None:
                young.add(name)
    return chosen, young, heap


def spread(ones: list[Any], samples: int) -> list[Any]:
    """Some of the instances, which are by age: neither the oldest nor the very newest."""
    if len(ones) <= samples:
        return ones
    first, last = int(len(ones) * _FIRST), max(samples, int(len(ones) * _LAST))
    first = min(first, last - samples)
    return [ones[first + (last - first) * number // samples] for number in range(samples)]
