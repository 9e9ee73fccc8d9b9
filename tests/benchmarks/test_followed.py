"""The simulated field shows of cohorts what a real process would."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from benchmarks.field.field import Series
from benchmarks.field.followed import Followed

ROWS = 400


def share(series: Series, *, by_growth: bool = True) -> float:
    """Of the first cohort the part that is there at the end, if it is still asked; else of the oldest that is."""
    followed = Followed(series, 32, random.Random(1), by_growth=by_growth)
    last = [followed.look(row) for row in range(ROWS)][-1]
    return last[0].alive / last[0].size


def series(values: Sequence[int], gone: Sequence[int] | None, permanent: Sequence[int] | None = None) -> Series:
    return Series("a shape", list(values), gone=gone and list(gone), permanent=permanent and list(permanent))


LINE = [10 * row for row in range(ROWS)]


@pytest.mark.parametrize("by_growth", [True, False])
def test_a_leak_keeps_all(by_growth: bool) -> None:
    """Nothing ever goes."""
    assert share(series(LINE, [0] * ROWS), by_growth=by_growth) == 1.0


@pytest.mark.parametrize("by_growth", [True, False])
def test_a_store_with_a_lifetime_keeps_none(by_growth: bool) -> None:
    """In a ramp: what came 20 rows ago has gone."""
    so_far = [row * row for row in range(ROWS)]
    gone = [so_far[max(0, row - 20)] for row in range(ROWS)]
    alive = [a - b for a, b in zip(so_far, gone, strict=True)]
    assert share(series(alive, gone), by_growth=by_growth) == 0.0


def test_a_leak_beside_a_store_keeps_its_part() -> None:
    """A third of what is there is the leak's when the cohort is taken, and stays."""
    passing = [600] * ROWS
    leaked = [2 * row for row in range(ROWS)]
    gone = [30 * row for row in range(ROWS)]
    there = [a + b for a, b in zip(passing, leaked, strict=True)]
    assert 0.05 < share(series(there, gone, leaked)) < 0.7


def test_garbage_is_gone_after_its_collection() -> None:
    """Where nobody knows who goes, no more stay than there were at the least."""
    waits = [20 + 10 * (row % 50) for row in range(ROWS)]
    assert share(series(waits, None)) <= 0.2
