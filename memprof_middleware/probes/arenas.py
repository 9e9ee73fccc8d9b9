"""The arenas of Python's own allocator, by the addresses of live objects: nobody tells how many there are.

Memory that belongs to neither allocator is what is left when both are taken off. Blocks tell what Python's allocator
has given out; what it keeps free after a burst is in none of them, and would pass for pages of a C extension. Series go
by an estimate of it all the same: ``kept_free`` of ``analysis/memory.py`` tells why.
"""

from __future__ import annotations

import functools
import gc
import itertools
import operator
import random
import sys
from collections.abc import Iterable
from typing import Any

from memprof_middleware.probes.one_call import in_one_call
from memprof_middleware.probes.real_thread import in_real_thread

# Bytes of an arena and of a pool, as exponents of 2, on 64 bits since 3.10; and of the largest object in a pool, less
# the collector's header.
_ARENA, _POOL, _LARGEST = 20, 14, 496
# So many objects are looked at, at the most, in one go: some 10 ms.
_MOST = 50_000


def arena_bytes() -> int | None:
    """The least memory that the arenas with live objects have; ``None`` where Python has another allocator.

    Objects of a pool lie near one another, and pools in arenas; so the fewest arenas that have room for all objects are
    known. It is less than there are where an arena is kept for a single text, or for an object that was not looked at.
    """
    if sys.maxsize < 2**32 or not sys.getallocatedblocks():
        return None
    return fewest(in_real_thread(_pools)) << _ARENA


def fewest(pools: Iterable[int]) -> int:
    """The fewest arenas that some pools can lie in.

    Args:
        pools: their numbers.
    """
    found, end = 0, -1
    for pool in sorted(pools):
        if pool >= end:
            found, end = found + 1, pool + (1 << (_ARENA - _POOL))
    return found


def _pools() -> list[int]:
    """The pools of live objects: where the last object seen in 16 KiB is a small one.

    As in a census, the objects are held within one C call only, and no code of the program runs.
    """
    number: list[int] = []
    in_one_call(functools.partial(number.extend, map(len, itertools.starmap(gc.get_objects, [()]))))
    stride = 1 + sum(number) // _MOST
    first = random.randrange(stride)  # noqa: S311 - no secret is made
    objects = map(operator.itemgetter(slice(first, None, stride)), itertools.starmap(gc.get_objects, [()]))
    # Not by itertools.tee: of what has run through it, it keeps some for as long as it is there itself.
    chosen: list[Any] = []
    pools: list[int] = []
    sizes: list[int] = []
    in_one_call(
        functools.partial(chosen.extend, itertools.chain.from_iterable(objects)),
        functools.partial(pools.extend, map(operator.rshift, map(id, chosen), itertools.repeat(_POOL))),
        functools.partial(sizes.extend, map(object.__sizeof__, chosen)),
        chosen.clear,
    )
    last = dict(zip(pools, sizes, strict=True))
    return [pool for pool, size in last.items() if size <= _LARGEST]
