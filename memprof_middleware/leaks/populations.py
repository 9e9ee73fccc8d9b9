"""Populations: a container with the types that it holds, and types that grow in lockstep."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from memprof_middleware.leaks.alike import lockstep, misfit, twins
from memprof_middleware.leaks.cohorts import ObservedCohort
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.reading import Seen
from memprof_middleware.model import LeakKind
from memprof_middleware.model.value import valueclass

# Growth below this is none.
_LEAST = 8.0
# A type may be of a container that holds it if a line leaves no more than this part of the growth. One of it may be as
# light as this.
_HELD, _LEAST_BYTES = 0.1, 32.0
# Two containers hold the same objects if there are as many of these as entries in one of them, up to such a part.
_ONCE = 0.25
# So many types and containers are looked at, those that grew most.
_MOST_TYPES, _MOST_PATHS = 32, 48
# Entries get heavier with age if one of middle age weighs so many times what a young one does.
_HEAVIER = 2.0
# What is printed of the types that grow with it.
_BUILTINS = "builtins"


@valueclass(frozen=True, slots=True)
class Population:
    """Objects that come and go together.

    Attributes:
        name: of the container, or else of the type.
        kind: what is counted: entries or objects; bytes for memory.
        values: how many at each row, up to the last at which they were counted.
        measured: the rows at which that was looked at, of a container; empty: all of them.
        also: what else grows in lockstep with them.
        entry_bytes: what one weighs, by a sample; ``None``: not known.
        bound: the most that there can be, by its own word.
        lifetime: seconds that one lives, by its own word.
        oldest: what stands for the oldest at each row.
        cohorts: what has become of those that were there at earlier looks.
        beside: of memory the types that grow with it and do not stand for it: too few, or not closely enough.
    """

    name: str
    kind: LeakKind
    values: Sequence[float]
    also: tuple[str, ...] = ()
    entry_bytes: float | None = None
    bound: int | None = None
    lifetime: float | None = None
    oldest: Sequence[int | None] = ()
    cohorts: Sequence[ObservedCohort] = ()
    measured: Sequence[int] = ()
    beside: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All of its names."""
        return frozenset((self.name, *self.also))

    @property
    def discrete(self) -> bool:
        """Whether things are counted, not bytes."""
        return self.kind in {"objects", "container"}


def populations(past: Past, same_root: Callable[[str, str], bool]) -> list[Population]:
    """The populations that have grown, and the containers that have shrunk: the memory that they freed hides growth.

    Args:
        past: the past of the process.
        same_root: whether two types are held by one root, or are of one module.
    """
    containers = {path: past.lengths(path) for path in past.paths(_MOST_PATHS)}
    moving = {path: values for path, values in containers.items() if _moves(values)}
    types = {name: values for name in past.types(_MOST_TYPES) if _grows(values := past.counts(name))}
    found = [_of_container(path, values, past.containers[path], types, past, moving) for path, values in moving.items()]
    held = _held(found, types, past)
    found = _without_copies(_without_twins(found), types, past)
    claimed = held.union(*(one.also for one in found))
    left = {name: values for name, values in types.items() if name not in claimed}
    return found + _of_types(left, same_root, past)


def _moves(values: Sequence[float]) -> bool:
    return len(values) > 2 and _reach(values) >= _LEAST


def _reach(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _grows(values: Sequence[float]) -> bool:
    return len(values) > 2 and values[-1] - min(values) >= _LEAST


def _of_container(
    path: str,
    values: Sequence[float],
    seen: Seen,
    types: Mapping[str, Sequence[float]],
    past: Past,
    moving: Iterable[str],
) -> Population:
    also = tuple(name for name in seen.holds if name in types and lockstep(values, types[name]))
    oldest, cohorts = past.oldest(path)[: len(values)], past.cohorts.of(path)
    return Population(
        path,
        "container",
        values,
        also,
        _weight(path, seen, moving),
        seen.bound,
        seen.lifetime,
        oldest,
        cohorts,
        past.measured(path),
    )


def _held(found: Iterable[Population], types: Mapping[str, Sequence[float]], past: Past) -> set[str]:
    """Builtins of which a weighed container holds as many as there are more: what they weigh is known, it is in that.

    Lists and dicts, which all that runs uses, are never in lockstep with it. A type of C code may have memory of its
    own: an image says nothing of its size.
    """
    return {
        name
        for one in found
        if one.entry_bytes is not None
        for name in past.containers[one.name].holds
        if name.startswith(_BUILTINS)
        and name in types
        and _LEAST_BYTES * _gain(types[name]) <= one.entry_bytes * _reach(one.values)
        and misfit(one.values, types[name]) <= _HELD
    }


def _weight(path: str, seen: Seen, moving: Iterable[str]) -> float | None:
    """What an entry weighs: a young one; or one that is as old as most, where entries get heavier with age.

    Not where what comes to an entry is counted itself: a list or dict in it.
    """
    young, aged = seen.entry_bytes, seen.aged_bytes
    if young is None or aged is None or aged < _HEAVIER * young or any(_is_in(other, path) for other in moving):
        return young
    return aged


def _without_twins(found: Iterable[Population]) -> list[Population]:
    """Containers of one root that grow in lockstep are one: the outermost tells, with the weight of all."""
    kept: list[Population] = []
    parts: list[list[Population]] = []
    for one in sorted(found, key=lambda one: (len(one.name), one.name)):
        home = next(
            (
                index
                for index, other in enumerate(kept)
                if _root(other.name) == _root(one.name) and lockstep(other.values, one.values)
            ),
            None,
        )
        if home is None:
            kept.append(one)
            parts.append([])
        else:
            other = kept[home]
            also = dict.fromkeys((*other.also, one.name, *one.also))
            kept[home] = dataclasses.replace(other, also=tuple(also))
            parts[home].append(one)
    return [
        dataclasses.replace(one, entry_bytes=_entry_bytes(one, inner)) for one, inner in zip(kept, parts, strict=True)
    ]


def _without_copies(found: Iterable[Population], types: Mapping[str, Sequence[float]], past: Past) -> list[Population]:
    """Containers that hold the same objects are one, wherever they are: an index beside a queue of what is in it.

    Each weighs as if all were its own, and memory would be shared out among them. That which holds the objects itself
    tells, with the weight of the heaviest.
    """
    kept: list[Population] = []
    for one in sorted(found, key=lambda one: (_depth(one, past), len(one.name), one.name)):
        home = next((index for index, other in enumerate(kept) if _hold_the_same(one, other, types, past)), None)
        if home is None:
            kept.append(one)
            continue
        other = kept[home]
        also = dict.fromkeys((*other.also, one.name, *one.also))
        each = max(other.entry_bytes or 0.0, (one.entry_bytes or 0.0) * _reach(one.values) / _reach(other.values))
        kept[home] = dataclasses.replace(other, also=tuple(also), entry_bytes=each or None)
    return kept


def _depth(one: Population, past: Past) -> int:
    """How far below the entries of a container its first objects of a telling type are."""
    holds = past.containers[one.name].holds
    return next((index for index, name in enumerate(holds) if not name.startswith(_BUILTINS)), len(holds))


def _hold_the_same(one: Population, other: Population, types: Mapping[str, Sequence[float]], past: Past) -> bool:
    """Whether two containers that grow in lockstep have objects of one type, of which there are enough for one only."""
    if one.bound is not None or other.bound is not None or not lockstep(one.values, other.values):
        return False
    both = {*past.containers[one.name].holds} & {*past.containers[other.name].holds}
    each = (_reach(one.values) + _reach(other.values)) / 2
    return any(
        abs(_gain(types[name]) - each) <= _ONCE * each and misfit(one.values, types[name]) <= _HELD
        for name in both & types.keys()
    )


def _entry_bytes(one: Population, twins_of_it: Sequence[Population]) -> float | None:
    """The weight of an entry: by its sample, or by the containers inside of it, if those tell more.

    A sample looks at some dozens of objects. An entry with a list of 200 records weighs what its list weighs, which was
    sampled by itself.
    """
    inside = [other for other in twins_of_it if other.entry_bytes is not None and _is_in(other.name, one.name)]
    outermost = [other for other in inside if not any(_is_in(other.name, third.name) for third in inside)]
    known = sum(_reach(other.values) * (_entry_bytes(other, inside) or 0.0) for other in outermost) / _reach(one.values)
    return max(one.entry_bytes or 0.0, known) or None


def _is_in(path: str, outer: str) -> bool:
    return path.startswith((f"{outer}[", f"{outer}."))


def _of_types(
    types: Mapping[str, Sequence[float]], same_root: Callable[[str, str], bool], past: Past
) -> list[Population]:
    kept: list[tuple[str, list[str]]] = []
    ordered = sorted(types, key=lambda name: (name.startswith(_BUILTINS), -_gain(types[name]), name))
    for name in ordered:
        home = next(
            (
                members
                for leader, members in kept
                if (name.startswith(_BUILTINS) and lockstep(types[leader], types[name]))
                or (same_root(leader, name) and twins(types[leader], types[name]))
            ),
            None,
        )
        if home is None:
            kept.append((name, []))
        else:
            home.append(name)
    return [
        Population(name, "objects", types[name], tuple(members), cohorts=past.cohorts.of(name))
        for name, members in kept
    ]


def _gain(values: Sequence[float]) -> float:
    return values[-1] - min(values)


def _root(path: str) -> str:
    return path.partition("[")[0]
