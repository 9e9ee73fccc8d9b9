"""Whether what came first is still there: of a container its first entry, of a type a cohort of its instances."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

# Looks that tell something at the least, and the part of them at which the first entry was another one.
_LOOKS, _TURNS = 4, 0.3
# So much of what the first half of the growth added must be there.
KEPT = 0.7


def turned_over(oldest: Sequence[int | None]) -> bool | None:
    """Whether a container's first entry keeps changing; ``None`` while too few looks were taken.

    One change says nothing: the entry that was there from the start may be deleted. What lives for a time, and what is
    pushed out at the other end, changes at most looks.

    Args:
        oldest: identity of the first entry at each look.
    """
    seen = [one for one in oldest if one is not None]
    if len(seen) < _LOOKS:
        return None
    late = seen[len(seen) // 2 :] if len(seen) >= 2 * _LOOKS else seen
    changes = sum(a != b for a, b in pairwise(late))
    return changes >= max(2, _TURNS * (len(late) - 1))


def survives(alive: int, asked: int) -> bool:
    """Whether a cohort is still there."""
    return asked > 0 and alive >= KEPT * asked
