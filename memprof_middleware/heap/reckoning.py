"""Proof that no object of Python holds some objects: their references are counted as the collector counts them.

A search that comes to no holder proves nothing. The stacks on which functions work are hidden from it: the list of a
``for`` loop may be there and nowhere else. Garbage in a cycle has no holder either. So all that refers to an object,
and to that, is gathered here. What has more references than these objects have among themselves is held by what the
collector does not see. Where more such objects are alive than all the stacks have room for, C code holds them.
"""

from __future__ import annotations

import contextvars
import gc
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware.heap import entries, roots, stacks
from memprof_middleware.heap.edges import children
from memprof_middleware.heap.referrers import MOST_GREENLET_FRAMES, greenlet_frames, referrers
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.census import type_name

PAUSE_SECONDS = 0.001
# What holds an object that is lost is near it; so many objects for each of the sample, and no long containers.
_LEVELS, _MOST_EACH, _LONGEST = 6, 64, 1_000
# A callback at exit has a function and its arguments by position and by name.
_CALLBACK = 3
# Of these the path from their variables is told instead; a thread has a context that no object refers to.
_HOLDERS = frozenset(
    map(id, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType, types.ModuleType, contextvars.Context))
)


@valueclass(frozen=True, slots=True)
class Reckoning:
    """What the reference counts of a sample say.

    Attributes:
        held: how many are held from outside, each by something of its own.
        garbage: how many nothing refers to but themselves.
        shared: the most of their type that one of what holds them may have.
    """

    held: int = 0
    garbage: int = 0
    shared: int = 1


def reckon(
    samples: Mapping[str, Sequence[Any]], deadline: float, pause: Callable[[float], object]
) -> tuple[dict[str, Reckoning], int | None]:
    """Reckon up the references of some objects; and the room of all stacks, ``None`` if not all of them were seen.

    Args:
        samples: instances by the name of their type. The caller keeps no other reference to them, and no sample
            outlives this: it is emptied.
        deadline: processor time of this thread at which to give up.
        pause: called between two looks with the seconds to wait.
    """
    owners = [name for name, ones in samples.items() for _ in ones]
    gathered = _Gathered([one for ones in samples.values() for one in ones], owners)
    for ones in samples.values():
        ones.clear()  # type: ignore[attr-defined]
    gathered.climb(deadline, pause)
    room = gathered.look_at_frames()
    found = gathered.reckon(samples)
    gathered.clear()
    return found, room


class _Gathered:
    """Some objects, and all that refers to them; the only references to what is gathered.

    Args:
        targets: the objects.
        names: of their types.
    """

    def __init__(self, targets: list[Any], names: list[str]) -> None:
        self._members = targets
        self._names = names
        self._places = {id(one): place for place, one in enumerate(targets)}
        self._groups = list(range(len(targets)))  # of each member one that it belongs to
        self._open: set[int] = set()  # members of which not all was seen

    def clear(self) -> None:
        self._members.clear()

    def climb(self, deadline: float, pause: Callable[[float], object]) -> None:
        """Gather, level by level, what refers to the members of which all is seen so far."""
        first = 0
        for _ in range(_LEVELS):
            end = len(self._members)
            self._open.update(self._crowds())
            lost = {self._group(place) for place in self._open}
            level = {id(self._members[place]): place for place in range(first, end) if self._group(place) not in lost}
            if not level:
                return
            if time.thread_time() > deadline:
                break
            self._look(level)
            first = end
            pause(PAUSE_SECONDS)
        self._open.update(range(first, len(self._members)))

    def _crowds(self) -> list[int]:
        """Members of groups that are too large."""
        sizes = Counter(map(self._group, range(len(self._members))))
        return [group for group, size in sizes.items() if size > _MOST_EACH]

    def _look(self, level: dict[int, int]) -> None:
        objects = [self._members[place] for place in level.values()]
        parents, whole = referrers(objects)
        if not whole:
            self._open.update(level.values())
        own = {id(objects), id(parents), id(self._members)}
        objects.clear()
        while parents:
            parent = parents.pop()
            if id(parent) not in own:
                self._add(parent, level)

    def _add(self, parent: Any, level: dict[int, int]) -> None:
        below = children(parent, level)
        if not below:  # it has given away since what it had, or nobody may ask it
            self._open.update(level.values())
        elif _says_nothing(parent):
            self._open.update(below)
        else:
            place = self._places.get(id(parent))
            if place is None:
                place = self._places[id(parent)] = len(self._members)
                self._members.append(parent)
                self._groups.append(place)
            for child in below:
                self._join(place, child)

    def _join(self, a: int, b: int) -> None:
        self._groups[self._group(a)] = self._group(b)

    def _group(self, place: int) -> int:
        while self._groups[place] != place:
            self._groups[place] = self._groups[self._groups[place]]
            place = self._groups[place]
        return place

    def look_at_frames(self) -> int | None:
        """Leave out what running functions have in variables; return how much their stacks have room for."""
        running, switched = stacks.running_frames(own=True), greenlet_frames()
        seen = [id(error) for _, error in stacks.handled()]
        room = _CALLBACK * _callbacks()
        for frame, variables in stacks.variables_of((*running, *switched)):
            room += frame.f_code.co_stacksize
            seen += [id(value) for _, value in variables]
            seen += [id(space) for _, space in stacks.namespaces_of(frame)]
        self._open.update(self._places[one] for one in seen if one in self._places)
        return room if len(running) < stacks.MOST_FRAMES and len(switched) < MOST_GREENLET_FRAMES else None

    def reckon(self, names: Mapping[str, object]) -> dict[str, Reckoning]:
        """What the counts say, by type."""
        inside: Counter[int] = Counter()
        largest: Counter[int] = Counter()
        for place, kinds in enumerate(map(self._count, self._members, [inside] * len(self._members))):
            group = self._group(place)
            largest[group] = max(largest[group], kinds)
        alone = next(map(sys.getrefcount, [object()]))
        counts = list(map(sys.getrefcount, self._members))
        more = [count - alone - inside[place] for place, count in enumerate(counts)]
        open_groups = {self._group(place) for place in self._open}
        open_groups |= {self._group(place) for place, number in enumerate(more) if number < 0}
        held_groups = {self._group(place) for place, number in enumerate(more) if number > 0}
        targets = Counter((self._group(place), name) for place, name in enumerate(self._names))
        found = dict.fromkeys(names, Reckoning())
        for place, name in enumerate(self._names):
            group, so_far = self._group(place), found[name]
            if group in open_groups:
                continue
            if group not in held_groups:
                found[name] = Reckoning(so_far.held, so_far.garbage + 1, so_far.shared)
            elif targets[group, name] == 1:
                found[name] = Reckoning(so_far.held + 1, so_far.garbage, max(so_far.shared, largest[group]))
        return found

    def _count(self, member: Any, inside: Counter[int]) -> int:
        """Count what a member refers to among the others; return how many of a target's type it refers to."""
        found = _referents(member)
        kinds = {id(type(one)) for one in found if self._places.get(id(one), len(self._names)) < len(self._names)}
        inside.update(self._places[one] for one in map(id, found) if one in self._places)
        return max(1, sum(id(type(one)) in kinds for one in found))


def _says_nothing(parent: Any) -> bool:
    """Whether a referrer ends the search: a holder that is named otherwise, a long container, something of ours."""
    kind = type(parent)
    if id(kind) in _HOLDERS or roots.is_core_name(type_name(kind)) or entries.is_class(kind):
        return True
    base = entries.container_base(kind)
    return base is not None and entries.length_of(parent, base) > _LONGEST


def _callbacks() -> int:
    """How many functions wait for the end of the process, with their arguments, where no search sees them."""
    module = sys.modules.get("atexit")
    return 0 if module is None else int(vars(module)["_ncallbacks"]())


def _referents(one: Any) -> list[Any]:
    """All that an object refers to, each as often as it does; nothing of what may not be asked."""
    return [] if type(one) is types.ModuleType else gc.get_referents(one)
