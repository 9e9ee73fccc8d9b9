"""Retaining paths of a type's instances: from modules, classes, tasks and frames to a sample of them."""

from __future__ import annotations

import functools
import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware.heap.answers import Holding
from memprof_middleware.heap.climb import PAUSE_SECONDS, Climb
from memprof_middleware.heap.cohorts import Instances
from memprof_middleware.heap.reckoning import reckon
from memprof_middleware.heap.referrers import WINDOW, classes_named, instances
from memprof_middleware.heap.telling import named
from memprof_middleware.model.holders import HELD_NATIVE, HIDDEN, UNHELD
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

MOST_PATHS = 8
# Where the sample lies among the instances, which are by age, but for what the last full collection has reordered: not
# the oldest, which were there before the leak, nor the very newest, which may be in use.
_FIRST, _LAST = 0.3, 0.97
# The second look, at what seems to be held by nothing, may take so much of the time.
_PROOF = 0.5
# ``gc.freeze()``, which preforking servers call, hides what it freezes from every search for referrers. CPython 3.12
# begins with 375 frozen objects of its own, which hold nothing of the program.
_FROZEN_AT_START = 2_000


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
    began = time.thread_time()
    chosen, young, heap, _ = _sample(names, samples, began + most_seconds, cohorts, pause)
    owners = [name for name, objects in chosen.items() for _ in objects]
    climb = Climb(began + most_seconds, pause, heap)
    climb.start([one for objects in chosen.values() for one in objects])
    words = {name: named(objects) for name, objects in chosen.items()}
    chosen.clear()
    climb.run()
    answers = [climb.answer(number) for number in range(len(owners))]
    unheld = tuple(dict.fromkeys(name for name, path in zip(owners, answers, strict=True) if path is None))
    instead = _without_holder(unheld, young, samples, most_seconds * _PROOF, pause)
    result = {}
    for name in names:
        mine = [path for path, owner in zip(answers, owners, strict=True) if owner == name]
        found = [instead[name] if path is None else path for path in mine]
        counts = Counter(path for path in found if path)
        paths = tuple((path, count / len(mine)) for path, count in counts.most_common(MOST_PATHS))
        result[name] = Holding(paths, len(mine), complete=all(found), named=words.get(name, ""))
    return result


def _without_holder(
    names: tuple[str, ...], young: set[str], samples: int, most_seconds: float, pause: Callable[[float], object]
) -> dict[str, str]:
    """What is said of instances for which no holder was found, by type: empty unless it is shown.

    A second sample is taken, and its references are reckoned up: native memory holds those of which more are alive than
    the stacks of running functions have room for. What is young may be in the hands of C code for a moment only.
    """
    if not names:
        return {}
    deadline = time.thread_time() + most_seconds
    chosen, _, _, alive = _sample(names, samples, deadline, None, pause)
    sizes = {name: len(ones) for name, ones in chosen.items()}
    found, room = reckon(chosen, deadline, pause)
    said = dict.fromkeys(names, "")
    for name, one in found.items():
        if one.garbage == sizes[name]:
            said[name] = UNHELD
        elif one.held and name not in young and gc.get_freeze_count() > _FROZEN_AT_START:
            said[name] = HIDDEN
        elif one.held and name not in young and room is not None:
            least = alive[name] * one.held / sizes[name] / one.shared
            said[name] = HELD_NATIVE if least > room else ""
    return said


def _sample(
    names: tuple[str, ...],
    samples: int,
    deadline: float,
    cohorts: Instances | None,
    pause: Callable[[float], object],
) -> tuple[dict[str, list[Any]], set[str], int, dict[str, int]]:
    """Samples by type, the types of which there are young ones only, the size of the heap, how many were seen."""
    classes = classes_named(set(names), type_name)
    chosen: dict[str, list[Any]] = {}
    young: set[str] = set()
    seen: dict[str, int] = {}
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
            chosen[name], seen[name] = spread(ones, samples), len(ones)
            if cohorts is not None:
                cohorts.take(name, ones)
            if generation is None:
                young.add(name)
    return chosen, young, heap, seen


def spread(ones: list[Any], samples: int) -> list[Any]:
    """Some of the instances, which are by age: neither the oldest nor the very newest."""
    if len(ones) <= samples:
        return ones
    first, last = int(len(ones) * _FIRST), max(samples, int(len(ones) * _LAST))
    first = min(first, last - samples)
    return [ones[first + (last - first) * number // samples] for number in range(samples)]
