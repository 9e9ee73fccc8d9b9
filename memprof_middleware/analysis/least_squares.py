"""Weighted least squares, from the rows to the normal equations: plain Python, for systems of some tens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import mul

from memprof_middleware.analysis.bounded import Bounded, Factor, Matrix, sumprod
from memprof_middleware.model.value import valueclass

Columns = Sequence[Sequence[float]]


class Weighted(Bounded):
    """A weighted fit that works out no more of the normal equations than its solution takes.

    Of routes that keep nothing it takes no more than whether that is so: a third of the work.

    Args:
        columns: those of the system.
        y: the right side.
        weights: of each row.
    """

    def __init__(self, columns: Columns, y: Sequence[float], weights: Sequence[float]) -> None:
        self._columns, self._y = columns, y
        self._weighted = [list(map(mul, column, weights)) for column in columns]
        self._known: list[dict[int, float]] = [{} for _ in columns]
        self.right = [sumprod(column, y) for column in self._weighted]
        self.square = sumprod(map(mul, y, weights), y)

    def row(self, j: int, columns: Sequence[int]) -> list[float]:
        """The entries of ``X'WX`` of a column with some of the others, and with itself at the end."""
        known, own, others = self._known[j], self._weighted[j], self._columns
        for i in (*columns, j):
            if i not in known:
                known[i] = self._known[i][j] = sumprod(own, others[i])
        return [known[i] for i in (*columns, j)]

    def slopes(self, columns: Sequence[int], solution: Sequence[float]) -> list[float]:
        """By how much each of some columns would still lower the error."""
        left = residuals(self._columns, self._y, solution)
        return [sumprod(self._weighted[j], left) for j in columns]


@valueclass(frozen=True, slots=True)
class Normal(Bounded):
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
                matrix[i][j] = matrix[j][i] = sumprod(left, columns[j])
        return cls(matrix, [sumprod(column, y) for column in weighted], sumprod(map(mul, y, weights), y))

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
        border = [sumprod(weighted, column) for column in columns]
        matrix = [[*row, entry] for row, entry in zip(self.matrix, border, strict=True)]
        return Normal([*matrix, [*border, sumprod(weighted, extra)]], [*self.right, sumprod(weighted, y)], self.square)

    def row(self, j: int, columns: Sequence[int]) -> list[float]:
        """The entries of ``X'WX`` of a column with some of the others, and with itself at the end."""
        own = self.matrix[j]
        return [*map(own.__getitem__, columns), own[j]]

    def slopes(self, columns: Sequence[int], solution: Sequence[float]) -> list[float]:
        """By how much each of some columns would still lower the error."""
        return [self.right[j] - sumprod(self.matrix[j], solution) for j in columns]

    def factor(self) -> Factor:
        """The factor of all columns."""
        found = Factor()
        for j in range(len(self.right)):
            found.add(j, self.row(j, found.kept))
        return found

    def error(self, solution: Sequence[float]) -> float:
        """The weighted sum of squared residuals of a solution."""
        quadratic = sum(
            value * sumprod(row, solution) for value, row in zip(solution, self.matrix, strict=True) if value
        )
        return max(0.0, self.square - 2 * sumprod(self.right, solution) + quadratic)

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
