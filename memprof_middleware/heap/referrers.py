"""Referrers of objects and instances of types, found without disturbing other threads.

``gc.get_referrers`` and ``gc.get_objects`` also give out tuples that another thread is just filling. As soon as anybody
else holds one of these, filling it fails there with a SystemError. So everything up to the choice is one C call, in
which no other thread runs (``one_call``). A tuple with an empty place is left out, and so is one that is full for the
moment, which nothing refers to yet.
"""

from __future__ import annotations

import gc
import itertools
import operator
import sys
import types
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from memprof_middleware.probes.one_call import in_one_call

# Objects whose types are asked in one go: 100 ns each, beside the 10 ns for each object of the heap.
WINDOW = 150_000
MOST_GREENLET_FRAMES = 20_000
_DOUBTS = 16


def referrers(objects: list[Any]) -> tuple[list[Any], bool]:
    """The tracked objects that refer to some objects, and whether these are all.

    16-25 ms for each million objects of the heap, in one go. They are not all where a tuple was left out, which another
    thread may be making.

    Args:
        objects: to whom; this very list is not among the answers.
    """
    # A copy of the arguments that the interpreter makes would be a tuple of that length, in doubt and with no owner.
    asked = [*objects, objects[-1]] if len(objects) in _ROOMS else objects
    every: list[Any] = []
    kinds: list[type] = []
    found: list[Any] = []
    others, tuples = map(partial(operator.is_not, tuple), kinds), map(partial(operator.is_, tuple), kinds)
    in_one_call(
        partial(every.extend, itertools.chain.from_iterable(itertools.starmap(gc.get_referrers, [asked]))),
        partial(kinds.extend, map(type, every)),
        *_choose(every, others, tuples, found, doubts=_DOUBTS),
        every.clear,
    )
    is_tuple = partial(operator.is_, tuple)
    left_out = sum(map(is_tuple, kinds)) - sum(map(is_tuple, map(type, found)))
    # What only we hold is gone for everybody else: copies of the arguments that the interpreter made, for one.
    alone = next(map(sys.getrefcount, [object()]))
    counts = list(map(sys.getrefcount, found))
    ours = {id(objects), id(asked)}
    kept = [one for one, count in zip(found, counts, strict=True) if id(one) not in ours and count > alone]
    return kept, not left_out


def instances(wanted: Collection[int], window: int, *, generation: int | None = None) -> tuple[list[Any], int]:
    """The tracked objects of some types, within a part of all objects; and how many objects there are.

    Args:
        wanted: identities of the types.
        window: which part, of ``WINDOW`` objects, counted from the end: 0 is the youngest of the oldest generation.
        generation: objects of this generation only.
    """
    every: list[list[Any]] = []
    part: list[Any] = []
    kinds: list[type] = []
    sizes: list[int] = []
    found: list[Any] = []
    first = None if window == 0 else -window * WINDOW
    chosen = operator.itemgetter(slice(-(window + 1) * WINDOW, first))
    is_wanted = partial(map, frozenset(wanted).__contains__)
    of_tuples, of_others = list[bool](), list[bool]()
    in_one_call(
        partial(every.extend, itertools.starmap(gc.get_objects, [(generation,)])),  # one list, of all objects
        partial(sizes.extend, map(len, every)),
        partial(part.extend, itertools.chain.from_iterable(map(chosen, every))),
        every.clear,
        partial(kinds.extend, map(type, part)),
        partial(of_tuples.extend, map(partial(operator.is_, tuple), kinds) if id(tuple) in wanted else ()),
        partial(of_others.extend, is_wanted(map(id, kinds))),
        *_choose(part, _without(of_others, of_tuples), iter(of_tuples), found),
        part.clear,
    )
    return found, sizes[0]


def _without(chosen: list[bool], tuples: list[bool]) -> Any:
    return map(operator.gt, chosen, itertools.chain(tuples, itertools.repeat(False)))


def _choose(
    every: list[Any], others: Any, tuples: Any, found: list[Any], *, doubts: int = 0
) -> list[Callable[[], object]]:
    """Steps that put what is chosen into a list: of the tuples only those that are made.

    Args:
        every: the objects.
        others: for each, whether it is chosen and no tuple.
        tuples: for each, whether it is chosen and a tuple.
        found: where they go.
        doubts: full tuples of which the owners are looked for, which takes a search through the heap; the others of
            them are left out.
    """
    some: list[Any] = []
    whole: list[Any] = []
    doubtful: list[Any] = []
    owners: list[Any] = []
    owned: set[int] = set()
    ours = frozenset(map(id, (every, found, some, whole, doubtful, owners)))
    full = map(operator.eq, map(len, map(gc.get_referents, some)), map(len, some))
    # An owner is no tuple, which may be in the making itself, and no module, which CPython 3.12.1 must not be asked of.
    is_owner = map(
        operator.and_,
        map(operator.not_, map(ours.__contains__, map(id, owners))),
        map(operator.and_, _are_not(tuple, owners), _are_not(types.ModuleType, owners)),
    )
    search = itertools.starmap(gc.get_referrers, filter(None, [doubtful]))  # none where there is no doubt
    below = itertools.chain.from_iterable(map(gc.get_referents, itertools.compress(owners, is_owner)))
    return [
        partial(found.extend, itertools.compress(every, others)),
        partial(some.extend, itertools.compress(every, tuples)),
        partial(whole.extend, itertools.compress(some, full)),
        partial(found.extend, itertools.compress(whole, map(operator.not_, _may_grow(whole)))),
        partial(doubtful.extend, itertools.islice(itertools.compress(whole, _may_grow(whole)), doubts)),
        partial(owners.extend, itertools.chain.from_iterable(search)),
        partial(owned.update, map(id, below)),
        partial(found.extend, itertools.compress(doubtful, map(owned.__contains__, map(id, doubtful)))),
        *(rest.clear for rest in (some, whole, doubtful, owners)),
    ]


def _are_not(kind: type, objects: list[Any]) -> Iterator[bool]:
    return map(partial(operator.is_not, kind), map(type, objects))


def _may_grow(tuples: list[Any]) -> Iterator[bool]:
    return map(_ROOMS.__contains__, map(len, tuples))


def _rooms() -> Iterator[int]:
    """The lengths at which ``tuple(iterator)`` makes more room: there a tuple in the making is full for a moment.

    Source: PySequence_Tuple in CPython's Objects/abstract.c, up to 3.13; later versions fill a list first.
    """
    if sys.version_info >= (3, 14):
        return
    room = 10
    while room < 2**31:
        yield room
        room += 10
        room += room >> 2


def classes_named(names: Collection[str], name_of: Callable[[type], str]) -> dict[int, str]:
    """Identities of all classes of some names; classes made anew by each call of a function share one."""
    found: dict[int, str] = {}
    seen: set[int] = {id(object)}
    level: list[type] = [object]
    while level:
        kind = level.pop()
        name = name_of(kind)
        if name in names:
            found[id(kind)] = name
        below: type
        for below in type.__subclasses__(kind):
            if id(below) not in seen:
                seen.add(id(below))
                level.append(below)
    return found


def greenlet_frames() -> list[types.FrameType]:
    """The frames of all greenlets that wait; none if greenlet is not loaded. The collector does not see into them."""
    base = vars(sys.modules["greenlet"]).get("greenlet") if "greenlet" in sys.modules else None
    if base is None:
        return []
    kinds: list[type] = [base]
    for kind in kinds:
        kinds.extend(type.__subclasses__(kind))
    found: list[types.FrameType] = []
    window, size = 0, 1
    while window * WINDOW < size:
        ones, size = instances(set(map(id, kinds)), window)
        for one in ones:
            frame = base.gr_frame.__get__(one)
            while type(frame) is types.FrameType and len(found) < MOST_GREENLET_FRAMES:
                found.append(frame)
                frame = frame.f_back
        window += 1
    return found


_ROOMS = frozenset(_rooms())
