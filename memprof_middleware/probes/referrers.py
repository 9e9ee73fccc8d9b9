"""Who refers to some objects, and which objects there are, asked so that no other thread is disturbed.

``gc.get_referrers`` and ``gc.get_objects`` also give out tuples that another thread is just filling. As soon as anybody
else holds one of these, filling it fails there with a SystemError. So everything up to the choice is one C call, in
which no other thread runs: a list of C functions, called by C. A tuple with an empty place is left out.
"""

from __future__ import annotations

import collections
import gc
import itertools
import operator
import sys
import types
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

# Objects whose types are asked in one go: 100 ns each, beside the 10 ns for each object of the heap.
WINDOW = 150_000
_MOST_FRAMES = 20_000


def referrers(objects: list[Any]) -> list[Any]:
    """The tracked objects that refer to some objects: 16-25 ms for each million objects of the heap, in one go.

    Args:
        objects: to whom; this very list is not among the answers.
    """
    every: list[Any] = []
    kinds: list[type] = []
    found: list[Any] = []
    _in_one_call(
        partial(every.extend, itertools.chain.from_iterable(itertools.starmap(gc.get_referrers, [objects]))),
        partial(kinds.extend, map(type, every)),
        *_choose(every, map(partial(operator.is_not, tuple), kinds), map(partial(operator.is_, tuple), kinds), found),
        every.clear,
    )
    # What only we hold is gone for everybody else: copies of the arguments that the interpreter made, for one.
    alone = next(map(sys.getrefcount, [object()]))
    counts = list(map(sys.getrefcount, found))
    return [one for one, count in zip(found, counts, strict=True) if one is not objects and count > alone]


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
    _in_one_call(
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


def _choose(every: list[Any], others: Any, tuples: Any, found: list[Any]) -> list[Callable[[], object]]:
    """Steps that put what is chosen into a list: of the tuples only those that are whole."""
    some: list[Any] = []
    return [
        partial(found.extend, itertools.compress(every, others)),
        partial(some.extend, itertools.compress(every, tuples)),
        partial(
            found.extend,
            itertools.compress(some, map(operator.eq, map(len, map(gc.get_referents, some)), map(len, some))),
        ),
        some.clear,
    ]


def _in_one_call(*steps: Callable[[], object]) -> None:
    collections.deque(map(operator.call, steps), maxlen=0)


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
            while type(frame) is types.FrameType and len(found) < _MOST_FRAMES:
                found.append(frame)
                frame = frame.f_back
        window += 1
    return found
