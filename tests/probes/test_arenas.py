"""The arenas of Python's own allocator, by the addresses of live objects."""

from __future__ import annotations

import gc
import mmap
import sys
from collections.abc import Callable

import pytest

from memprof_middleware.probes import arenas
from memprof_middleware.probes.arenas import arena_bytes, fewest
from memprof_middleware.probes.one_call import in_one_call

MB = 2**20


@pytest.mark.parametrize(
    ("pools", "arenas"),
    [([], 0), ([5], 1), (range(64), 1), (range(65), 2), ([0, 63, 64, 1000], 3), ([10, 70, 130], 2)],
)
def test_the_fewest_arenas_that_pools_lie_in(pools: list[int], arenas: int) -> None:
    """64 pools of 16 KiB are an arena of 1 MiB, wherever it begins."""
    assert fewest(pools) == arenas


def test_arenas_that_are_kept_for_a_few_objects_are_seen() -> None:
    """What a busy hour leaves: hardly any blocks in use, and as many arenas as before."""
    before = arena_bytes()
    assert before is not None
    many = [[number] for number in range(200_000)]
    assert _more(before) > 10 * MB
    blocks = sys.getallocatedblocks()
    few = many[::500]
    del many
    gc.collect()
    assert sys.getallocatedblocks() < blocks - 150_000
    assert _more(before) > 8 * MB
    assert len(few) == 400


def _more(before: int) -> int:
    now = arena_bytes()
    assert now is not None
    return now - before


def test_maps_of_others_are_no_arenas() -> None:
    """What a C extension maps beside living objects is found outside of Python's allocator, all of it."""
    before, blocks = arena_bytes(), sys.getallocatedblocks()
    assert before is not None
    maps, kept = [], []
    for _ in range(40):
        maps.append(mmap.mmap(-1, MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        maps[-1].write(b"x" * MB)
        kept.append([[number] for number in range(500)])
    assert _more(before) <= 3 * MB + 150 * (sys.getallocatedblocks() - blocks)


def test_no_object_is_held_when_another_thread_may_have_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filling a tuple fails with a SystemError as soon as anybody else holds it: all are let go in the one call."""
    youngest = [[number] for number in range(200)]
    counted = []

    def look(*steps: Callable[[], object]) -> None:
        in_one_call(*steps)
        counted.append([sys.getrefcount(one) for one in youngest])

    monkeypatch.setattr(arenas, "in_one_call", look)
    monkeypatch.setattr(arenas, "_MOST", sys.maxsize)  # all objects, so that the youngest are the last ones seen
    expected = [sys.getrefcount(one) for one in youngest]
    assert arenas._pools()
    assert counted == [expected, expected]
