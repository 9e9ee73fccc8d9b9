"""Growth in steps that double: pools and hash tables, each as large as all before."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.series import at

# Each level as a part of the next one, the last ones first: of the first ones other memory is a larger part.
_PARTS_OF = (0.42, 0.58), (0.42, 0.58), (0.2, 0.75)
_MARKS = 1 + len(_PARTS_OF)
# Between two marks so much of the growth comes at one go.
_AT_ONCE = 0.6
_PARTS = 24
# The last step came at less than this part of the pace of the one before: what fills them becomes less.
_SLOWER = 0.93
# It took more than so many times the feed of the one before: it is twice as large, and comes as seldom.
_LATER = 1.2


def doubles(growth: Growth) -> bool:
    """Whether a level was at about half at half of the feed, at a quarter at a quarter of it, and flat in between.

    A step that is twice as large as the one before must have taken about twice its feed. The table of a cache doubles,
    too, and ever later, since fewer and fewer of its keys are new; and large things that come by chance may look alike.
    """
    start, fed, base = growth.feed[0], growth.fed, growth.levels[0]
    if fed <= 0 or growth.amount <= 0:
        return False

    def level(share: float) -> float:
        return at(growth.feed, growth.levels, start + share * fed) - base

    levels = [level(0.5**mark) for mark in range(_MARKS)]
    parts = zip(_PARTS_OF, pairwise(levels), strict=True)
    if any(not low * upper <= lower <= high * upper for (low, high), (upper, lower) in parts):
        return False
    steps: list[tuple[float, float]] = []  # the feed at which each came, and its height
    for mark in range(_MARKS - 1):
        low, high = 0.5 ** (mark + 1), 0.5**mark
        edges = [level(low + (high - low) * part / _PARTS) for part in range(_PARTS + 1)]
        rises = [b - a for a, b in pairwise(edges)]
        at_once = max(a + b for a, b in zip(rises, [*rises[1:], 0.0], strict=True))
        if at_once < _AT_ONCE * sum(rises):
            return False
        middle = base + (edges[0] + edges[-1]) / 2
        row = bisect_left(growth.levels, middle, lo=1)  # a floor never falls
        steps.append(((growth.feed[row - 1] + growth.feed[row]) / 2, edges[-1] - edges[0]))
    (last, after), (second, before), (first, _) = steps
    waited, earlier = last - second, second - first
    return waited >= _LATER * earlier and after * earlier >= _SLOWER * before * waited
