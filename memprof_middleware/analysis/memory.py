"""Memory that is no object of a known type, by its kind, as the history has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.model import MB

UNTRACKED, NATIVE, MAPPED, RETAINED = "untracked Python data", "native memory", "mapped memory", "retained free memory"
MEMORY = frozenset((UNTRACKED, NATIVE, MAPPED, RETAINED))
# Bytes of a block of Python's allocator, on average.
BLOCK = 150.0


def memory_of(name: str, history: History) -> list[float]:
    """Memory by its kind, at every snapshot: blocks of untracked data, else bytes; not measured is ``nan``.

    Memory is called mapped when neither of the allocators has it, and kept when it is measured to be free: neither by
    ruling the others out. Where the C library cannot be asked, all memory of no Python object is called native.
    """
    if name == UNTRACKED:
        return history.series("allocated_blocks")
    heap, native, retained, blocks = (
        history.series(column)
        for column in ("heap_used_mb", "native_in_use_mb", "native_retained_mb", "allocated_blocks")
    )
    if name == RETAINED:
        return [MB * value for value in retained]
    if name == NATIVE:
        return [MB * (all_ if math.isnan(own) or not own else own) for all_, own in zip(heap, native, strict=True)]
    # A C library that has given out nothing at all was not asked.
    rows = zip(heap, native, retained, strict=True)
    others = [MB * (all_ - own - free) if own else math.nan for all_, own, free in rows]
    parts = zip(others, blocks, kept_free(others, blocks, BLOCK), strict=True)
    return [other - BLOCK * number - free for other, number, free in parts]


def kept_free(others: Sequence[float], blocks: Sequence[float], block: float) -> list[float]:
    """The free memory that Python's allocator keeps, at each row.

    It seldom gives memory back: a buffer of a hundred thousand objects that is emptied leaves its memory there. So what
    was freed since there were most blocks is still there, but for what the process has less now than then.

    This is one of two measures, and they do not replace one another. This one is an estimate from figures that every
    row has, those of last week too, so it can be taken off a series. It sees nothing where pools are half empty though
    as many blocks are in use, or where the block size is wrong. ``probes/arenas.py`` counts, and so it is right about
    that; but it knows this moment only, costs 30 ns an object, copies the pages of a forked worker, and tells the least
    that the arenas can be. A count at one row of a series would be a step in it that nothing has made. So it is asked
    once, when mapped memory is about to be told, and only says how much of that there can be at the most (``outside``
    of ``leaks/account.py``).

    Args:
        others: memory that the C library's allocator does not have.
        blocks: in use, at the same rows; not measured is ``nan``.
        block: bytes of one.
    """
    found, most, then = [], -math.inf, 0.0
    for other, number in zip(others, blocks, strict=True):
        if number >= most and not math.isnan(other):
            most, then = number, other
        known = most > -math.inf and not math.isnan(other + number)
        found.append(max(0.0, block * (most - number) - max(0.0, then - other)) if known else 0.0)
    return found
