"""Coefficients that are bound to be at least zero, and the best of them: what every weighted fit shares."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from operator import mul

if sys.version_info >= (3, 12):
    from math import sumprod
else:

    def sumprod(p: Iterable[float], q: Iterable[float], /) -> float:
        """The sum of the products, as the standard library has it from 3.12 on."""
        found: float = sum(map(mul, p, q))
        return found


Matrix = list[list[float]]
# A column whose part that the others do not explain is smaller than this, of its square, is a combination of them.
_SINGULAR = 1e-9
# Exchanges of whole blocks before the careful rule of one at a time, which always ends.
_BLOCK_STEPS = 12


class Bounded(ABC):
    """A weighted fit whose coefficients may be bound to be at least zero.

    Attributes:
        right: ``X'Wy``.
        square: ``y'Wy``.
    """

    right: Sequence[float]
    square: float

    @abstractmethod
    def row(self, j: int, columns: Sequence[int]) -> list[float]:
        """The entries of ``X'WX`` of a column with some of the others, and with itself at the end."""

    @abstractmethod
    def slopes(self, columns: Sequence[int], solution: Sequence[float]) -> list[float]:
        """By how much each of some columns would still lower the error: ``X'W(y - Xb)``."""

    def solve(self, chosen: Sequence[int]) -> list[float]:
        """The solution on these columns, by Cholesky; a column that others make up gets 0."""
        factor = Factor()
        for j in chosen:
            factor.add(j, self.row(j, factor.kept))
        solution = [0.0] * len(self.right)
        for j, value in zip(factor.kept, factor.solve(self.right), strict=True):
            solution[j] = value
        return solution

    def solve_non_negative(
        self, free: int, without: Collection[int] = (), near: Sequence[float] | None = None
    ) -> list[float]:
        """The solution in which all but the first ``free`` coefficients are at least zero.

        Block principal pivoting (Portugal, Judice and Vicente 1994): guess which coefficients are above zero, solve,
        and exchange those that contradict the guess, until none does.

        Args:
            free: how many coefficients may have any value.
            without: columns that are left out.
            near: the solution of a system much like this one, to guess by; it saves most of the work.
        """
        bound = [j for j in range(free, len(self.right)) if j not in without]
        above = {j for j in bound if near is None or j >= len(near) or near[j] > 0}
        best, steps = len(bound) + 1, _BLOCK_STEPS
        solution = self.solve([*range(free), *(j for j in bound if j in above)])
        noise = 1e-12 * (math.sqrt(self.square) or 1.0)
        for _ in range(20 * (len(bound) + 1)):
            below = [j for j in bound if j not in above]
            wrong = [j for j in bound if j in above and solution[j] < 0]
            wrong += [
                j
                for j, slope in zip(below, self.slopes(below, solution), strict=True)
                if slope > 0 and slope > noise * math.sqrt(self.row(j, ())[0])
            ]
            if not wrong:
                break
            if len(wrong) < best:
                best, steps = len(wrong), _BLOCK_STEPS
            elif steps:
                steps -= 1
            else:
                wrong = [max(wrong)]
            above ^= set(wrong)
            solution = self.solve([*range(free), *(j for j in bound if j in above)])
        return [value if j < free else max(value, 0.0) for j, value in enumerate(solution)]


class Factor:
    """The Cholesky factor of some columns of ``X'WX``, made column by column.

    Attributes:
        kept: the columns in it: those that others make up are left out.
    """

    def __init__(self) -> None:
        self.kept: list[int] = []
        self._rows: Matrix = []  # left of the diagonal
        self._pivots: list[float] = []  # the diagonal

    def add(self, j: int, entries: Sequence[float]) -> None:
        """Take in a column.

        Args:
            j: which.
            entries: those of the matrix with the columns that are kept, and with itself at the end.
        """
        own = self.forward(entries[:-1])
        left = entries[-1] - sumprod(own, own)
        if left > _SINGULAR * entries[-1]:
            self.kept.append(j)
            self._rows.append(own)
            self._pivots.append(math.sqrt(left))

    def forward(self, right: Sequence[float]) -> list[float]:
        """What solves the lower triangle for a right side."""
        half: list[float] = []
        for row, pivot, value in zip(self._rows, self._pivots, right, strict=True):
            half.append((value - sumprod(row, half)) / pivot)
        return half

    def solve(self, right: Sequence[float]) -> list[float]:
        """The coefficients of the columns that are kept, in their order."""
        half = self.forward([right[j] for j in self.kept])
        found: list[float] = []
        for row, pivot in zip(reversed(self._rows), reversed(self._pivots), strict=True):
            found.append(half[len(row)] / pivot)
            half = [rest - found[-1] * entry for rest, entry in zip(half, row, strict=False)]
        return found[::-1]
