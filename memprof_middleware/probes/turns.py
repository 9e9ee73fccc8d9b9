"""Selection of the part of the heap that a walk covers, if one walk cannot cover all of it."""

from __future__ import annotations

from typing import Any

from memprof_middleware.model.value import valueclass

_MOST_PARTS, _MORE = 256, 4
# A part that took less than this share of what was left for it may be twice as large next time.
_EASY = 0.25
# Objects lie at multiples of 16 bytes, those of one size at equal distances, which no power of two tells apart.
_ALIGNMENT, _PRIME = 16, 8191


@valueclass(frozen=True, slots=True)
class Turn:
    """What one walk looks at: everything up to a distance, and one of several parts of what lies there and beyond.

    Nothing is kept of a walk that ran out of its budget, for that would keep the program's objects. Instead the next
    one looks at a quarter of what lies beyond the distance that was reached easily, the one after that at another, and
    so on. An object is always in the same part, since it never moves.

    Attributes:
        depth: the distance at which there are parts.
        parts: how many; 1 if everything is looked at.
        number: how many walks there were before.
    """

    depth: int = 1
    parts: int = 1
    number: int = 0

    def takes(self, one: Any, parts: int) -> bool:
        """Return whether it is an object's turn, where each walk looks at one of so many parts."""
        # One further in each round: where every other walk has other parts, one half would never have its turn.
        turn = (self.number + self.number // parts) % parts
        return parts == 1 or id(one) // _ALIGNMENT % _PRIME % parts == turn

    def following(self, *, used: float, before: float, easily: int) -> Turn:
        """Whose turn it is after this one.

        Args:
            used: the share of its budget that the walk has used; 1 or more if it had to stop.
            before: the share that it had used before it came to the parts.
            easily: the greatest distance that it began with half of its budget left.
        """
        if used >= 1:
            depth = easily if self.parts == 1 else min(self.depth, easily)
            return Turn(max(1, depth), min(_MOST_PARTS, _MORE * self.parts), self.number + 1)
        parts = self.parts // 2 if used - before < _EASY * (1 - before) else self.parts
        return Turn(self.depth, max(1, parts), self.number + 1)
