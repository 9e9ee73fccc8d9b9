"""Counting without asking a class for its hash, which programs with ``typing_extensions`` (FastAPI) need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from memprof_middleware.probes.census import SLICE, _count_by_identity, _count_by_type

KINDS = [type(f"Kind{number}", (), {}) for number in range(500)]
# Sorted by type: the worst case for whoever searches a slice for the first object of each.
CLASSES = [KINDS[number * len(KINDS) // SLICE] for number in range(SLICE)]


def _cost(count: Callable[[Iterator[list[type]]], dict[str, int]]) -> float:
    costs = []
    for _ in range(5):
        began = time.thread_time()
        count(iter([CLASSES]))
        costs.append(time.thread_time() - began)
    return min(costs)


def test_the_cost_does_not_grow_with_types_times_objects() -> None:
    """A metaclass with its own hash makes a census at most five times as dear, however many types there are."""
    assert _cost(_count_by_identity) < 5 * _cost(_count_by_type)
