"""Least squares with bounds, against what can be computed otherwise."""

from __future__ import annotations

import math
import random

import pytest

from memprof_middleware.analysis.bounded import sumprod
from memprof_middleware.analysis.least_squares import Normal, Weighted, median, residuals, student


@pytest.mark.parametrize("seed", range(60))
def test_solution_is_the_best(seed: int) -> None:
    """The bounded solution meets the conditions of Karush, Kuhn and Tucker, which only the best one does."""
    rng = random.Random(seed)
    size, free = rng.randint(2, 8), rng.randint(0, 2)
    columns = [[rng.gauss(0, 1) for _ in range(12)] for _ in range(size)]
    y = [rng.gauss(0, 1) for _ in range(12)]
    normal = Normal.of(columns, y, [rng.random() + 0.1 for _ in range(12)])
    solution = normal.solve_non_negative(free)
    for j in range(size):
        slope = normal.right[j] - sumprod(normal.matrix[j], solution)
        if j < free or solution[j] > 0:
            assert slope == pytest.approx(0, abs=1e-6)
        else:
            assert slope <= 1e-6
        assert j < free or solution[j] >= 0


@pytest.mark.parametrize("seed", range(30))
def test_a_solution_without_the_whole_matrix_is_the_same(seed: int) -> None:
    """What works out only the entries that it needs finds what the normal equations say, from any guess."""
    rng = random.Random(seed)
    size, free = rng.randint(2, 10), rng.randint(0, 2)
    columns = [[float(rng.randrange(4)) for _ in range(20)] for _ in range(size)]
    y, weights = [rng.gauss(0, 1) for _ in range(20)], [rng.random() + 0.1 for _ in range(20)]
    guess = [float(rng.randrange(2)) for _ in range(size)]
    solution = Weighted(columns, y, weights).solve_non_negative(free, near=guess)
    assert solution == pytest.approx(Normal.of(columns, y, weights).solve_non_negative(free), abs=1e-9)


def test_error_is_the_sum_of_squares() -> None:
    """The error by the normal equations is that of the residuals."""
    columns, y = [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [1.0, 2.0, 4.0]
    solution = Normal.of(columns, y, [1.0] * 3).solve([0, 1])
    left = residuals(columns, y, solution)
    assert solution == pytest.approx([1.5, -2 / 3])
    assert Normal.of(columns, y, [1.0] * 3).error(solution) == pytest.approx(sumprod(left, left))


def test_inverse() -> None:
    """The inverse undoes the matrix."""
    normal = Normal([[4.0, 1.0], [1.0, 3.0]], [0.0, 0.0], 0.0)
    assert normal.inverse([0, 1]) == [pytest.approx([3 / 11, -1 / 11]), pytest.approx([-1 / 11, 4 / 11])]


def test_column_that_others_make_up() -> None:
    """A column that is a multiple of another gets nothing, and nothing fails."""
    normal = Normal.of([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]], [2.0, 4.0, 6.0], [1.0] * 3)
    assert normal.solve([0, 1]) == pytest.approx([2.0, 0.0])


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423)])
def test_students_quantile(freedom: int, quantile: float) -> None:
    """Within 1 % of the tables."""
    assert student(freedom) == pytest.approx(quantile, rel=0.01)
    assert student(math.inf) == pytest.approx(1.96, rel=0.001)


def test_median() -> None:
    """Of an odd and an even number of values, and of none."""
    assert (median([3, 1, 2]), median([4, 1, 2, 3]), median([])) == (2, 2.5, 0.0)
