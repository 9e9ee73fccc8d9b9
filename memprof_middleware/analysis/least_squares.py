"""Weighted least squares with coefficients bound to be at least zero: plain Python, for systems of some tens."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from operator import mul

from memprof_middleware.model.value import valueclass

Columns = Sequence[Sequence[float]]
Matrix = list[list[float]]
# A column whose part that the others do not explain is smaller than this, of its square, is a combination of them.
_SINGULAR = 1e-9
# Exchanges of whole blocks before the careful rule of one at a time, which always ends.
_BLOCK_STEPS = 12


@valueclass(frozen=True, slots=True)
class Normal:
    """The normal equations of a weighted fit: ``X'WX``, ``X'Wy`` and ``y'Wy``."""

    matrix: Matrix
    right: list[float]
    square: float

    @classmethod
    def of(cls, columns: Columns, y: Sequence[float], weights: Sequence[float]) -> Normal:
        """From the columns, the right side and a weight for each row."""
        weighted = [list(map(mul, column, weights)) for column in columns]
        matrix = [[0.0] * len(columns) for _ in columns]
        for i, left in enumerate(weighted):
            for j in range(i + 1):
                matrix[i][j] = matrix[j][i] = dot(left, columns[j])
        return cls(matrix, [dot(column, y) for column in weighted], dot(list(map(mul, y, weights)), y))

    def bordered(
        self, columns: Columns, extra: Sequence[float], y: Sequence[float], weights: Sequence[float]
    ) -> Normal:
        """The same with one more column, at the end.

        Args:
            columns: those that this was made of.
            extra: the new one.
            y: the right side.
            weights: of each row, as before.
        """
        weighted = list(map(mul, extra, weights))
        border = [dot(weighted, column) for column in columns]
        matrix = [[*row, entry] for row, entry in zip(self.matrix, border, strict=True)]
        return Normal([*matrix, [*border, dot(weighted, extra)]], [*self.right, dot(weighted, y)], self.square)

    def solve(self, chosen: Sequence[int]) -> list[float]:
        """The solution on these columns, by Cholesky; a column that others make up gets 0."""
        factor: Matrix = []
        kept: list[int] = []
        for j in chosen:
            row = [self.matrix[j][i] for i in kept]
            for i in range(len(kept)):
                row[i] = (row[i] - dot(factor[i][:i], row[:i])) / factor[i][i]
            left = self.matrix[j][j] - dot(row, row)
            if left > _SINGULAR * self.matrix[j][j]:
                factor.append([*row, math.sqrt(left)])
                kept.append(j)
        half: list[float] = []
        for i, j in enumerate(kept):
            half.append((self.right[j] - dot(factor[i][:i], half)) / factor[i][i])
        found = [0.0] * len(kept)
        for i in reversed(range(len(kept))):
            above = sum(factor[k][i] * found[k] for k in range(i + 1, len(kept)))
            found[i] = (half[i] - above) / factor[i][i]
        solution = [0.0] * len(self.right)
        for j, value in zip(kept, found, strict=True):
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
        for _ in range(20 * (len(bound) + 1)):
            noise = 1e-12 * (math.sqrt(self.square) or 1.0)
            wrong = [j for j in bound if j in above and solution[j] < 0]
            wrong += [
                j
                for j in bound
                if j not in above
                and self.right[j] - dot(self.matrix[j], solution) > noise * math.sqrt(self.matrix[j][j])
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

    def error(self, solution: Sequence[float]) -> float:
        """The weighted sum of squared residuals of a solution."""
        quadratic = sum(value * dot(row, solution) for value, row in zip(solution, self.matrix, strict=True) if value)
        return max(0.0, self.square - 2 * dot(self.right, solution) + quadratic)

    def inverse(self, chosen: Sequence[int]) -> Matrix:
        """The inverse of ``X'WX`` on these columns."""
        return [
            [Normal(self.matrix, [float(i == j) for i in range(len(self.right))], 0.0).solve(chosen)[i] for i in chosen]
            for j in chosen
        ]


def residuals(columns: Columns, y: Sequence[float], solution: Sequence[float]) -> list[float]:
    """What a solution leaves of the right side."""
    left = list(y)
    for column, value in zip(columns, solution, strict=True):
        if value:
            left = [rest - value * entry for rest, entry in zip(left, column, strict=True)]
    return left


def dot(a: Iterable[float], b: Iterable[float]) -> float:
    """The sum of the products."""
    return float(sum(map(mul, a, b)))


def median(values: Iterable[float]) -> float:
    """The middle value; 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, by the usual series in 1/freedom; within 1 % from 3 degrees on."""
    n = max(freedom, 3.0)
    return 1.95996 + 2.37227 / n + 2.82250 / n**2 + 2.55585 / n**3 + 1.58954 / n**4
