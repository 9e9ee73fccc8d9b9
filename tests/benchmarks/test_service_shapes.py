"""Shapes of services are what the figures say of them: leaks take the room, healthy populations leave most of it."""

from __future__ import annotations

import pytest

from benchmarks.field import field, service

SEEDS = (1, 2, 3)
TALLEST = 0.31  # of the room: 30 % are given out, and counts are drawn by chance


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", service.LEAKS)
def test_a_leak_takes_half_of_the_room_when_it_is_said_to(kind: str, seed: int) -> None:
    """Of two, the larger one; what is cleared or pushed out again is no part. Or it has ended the process."""
    worker = field.make_worker(seed, interval=300.0, leak=kind, shapes=service.SHAPES)
    assert all(len(one.values) == len(worker.times) for one in worker.series)
    leaked = [one for one in worker.series if one.truth][-1]
    gone = worker.times.index(worker.half_gone)
    kept = leaked.permanent or leaked.values
    before, then = (kept[row] * leaked.weight / field.MB for row in (gone - 1, gone))
    assert before < 0.5 * (worker.limit_mb - worker.base_mb)
    assert 0.5 * (worker.limit_mb - worker.base_mb) < 1.3 * then or (
        worker.killed and worker.times[gone:] == [worker.half_gone]
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["reclaimed", "behind lru"])
def test_what_stays_of_a_leak_is_less_than_all_that_there_is_of_it(kind: str, seed: int) -> None:
    """An LRU beside it is no leak, nor is what the next clearing takes."""
    worker = field.make_worker(seed, interval=300.0, leak=kind, shapes=service.SHAPES)
    [leaked] = [one for one in worker.series if one.truth]
    assert leaked.permanent
    assert all(stays <= there for stays, there in zip(leaked.permanent, leaked.values, strict=True))
    whole = next(
        t
        for t, n in zip(worker.times, leaked.values, strict=True)
        if n >= leaked.permanent[worker.times.index(worker.half_gone)]
    )
    assert whole < worker.half_gone


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", service.HEALTHY)
def test_a_healthy_population_leaves_most_of_the_room(kind: str, seed: int) -> None:
    shapes = service.SHAPES | {"healthy": (kind,)}
    worker = field.make_worker(seed, interval=300.0, shapes=shapes, populations=(1, 1))
    [own] = [one for one in worker.series if one.what == kind]
    assert min(own.values) >= 0
    assert max(own.values) * own.weight / field.MB <= TALLEST * (worker.limit_mb - worker.base_mb)


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_are_not_counted_for_hours_in_some(seed: int) -> None:
    worker = field.make_worker(seed, interval=300.0, shapes=service.SHAPES | {"disturbed": 1.0})
    [(first, last)] = worker.blind
    [(row, seconds)] = worker.jumps
    assert 0 <= first < len(worker.times)
    assert last - first >= 0.3 * 3600 / 300 - 1
    assert 0 <= row < len(worker.times)
    assert seconds
