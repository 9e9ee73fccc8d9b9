"""Memory by its kind."""

from __future__ import annotations

import math

import pytest

from memprof_middleware.analysis.memory import kept_free


@pytest.mark.parametrize(
    ("others", "blocks", "kept"),
    [
        ([100, 200, 300], [1, 2, 3], [0, 0, 0]),
        ([100, 300, 300, 300], [1, 3, 1, 2], [0, 0, 200, 100]),
        ([100, 300, 100, 200], [1, 3, 1, 2], [0, 0, 0, 0]),
        ([100, 300, 400, 500], [1, 3, 1, 1], [0, 0, 200, 200]),
        ([100, 300, 250, 250], [1, 3, 1, 1], [0, 0, 150, 150]),
        ([math.nan, 300, math.nan, 300], [math.nan, 3, 1, math.nan], [0, 0, 0, 0]),
    ],
    ids=["it grows", "freed and reused", "given back", "something else grows", "a part is given back", "not measured"],
)
def test_what_is_freed_stays_with_the_allocator(others: list[float], blocks: list[float], kept: list[float]) -> None:
    """Of blocks of 100 bytes: what was freed since the most, but for what the process has less than then."""
    assert kept_free(others, blocks, 100.0) == kept
