"""Memory that is no object of a known type, by its kind, as the history has it."""

from __future__ import annotations

import math

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
    rows = zip(heap, native, retained, blocks, strict=True)
    # A C library that has given out nothing at all was not asked.
    return [MB * (all_ - own - free) - BLOCK * number if own else math.nan for all_, own, free, number in rows]
