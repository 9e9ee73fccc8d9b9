"""Hides from the collector what a forked worker inherited: a full collection writes into all of it, so copies it."""

from __future__ import annotations

import gc
from pathlib import Path

from memprof_middleware.forks import is_forked

# 3.12 has some 400 frozen from the start. Who has more has frozen by himself.
_AT_START = 2_000
# Where less is shared there is little to spare.
_LEAST_SHARED_KB = 10 * 1024


def freeze_inherited(proc: Path) -> int:
    """Freeze the heap of a process that was forked from a loaded one.

    Garbage in cycles among what was inherited is never collected then, and neither is what the program drops of it
    later if it is in cycles. What it drops otherwise is freed as ever.

    Args:
        proc: where procfs is mounted.

    Returns:
        How many objects are frozen now; 0: the process was left as it is, since it was not forked, shares little, has
        frozen by itself or has the collector off.
    """
    if not is_forked() or not gc.isenabled() or has_frozen() or _shared_kb(proc) < _LEAST_SHARED_KB:
        return 0
    gc.freeze()
    return gc.get_freeze_count()


def has_frozen() -> bool:
    """Whether more is frozen than the interpreter freezes by itself."""
    return gc.get_freeze_count() > _AT_START


def _shared_kb(proc: Path) -> int:
    """Pages that were written before the fork and are still shared; 0 where the platform does not tell."""
    try:
        lines = (proc / "self" / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Shared_Dirty:"))
