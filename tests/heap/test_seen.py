"""The set of addresses that a walk has come to."""

from __future__ import annotations

import mmap
import random
import sys
from pathlib import Path

import pytest

from memprof_middleware.heap.seen import Seen


def test_it_holds_what_was_added_and_nothing_else() -> None:
    """Of real objects, and of those at far ends of the address space, each is known that was added, and no other."""
    objects = [[] for _ in range(20_000)]  # type: ignore[var-annotated]
    random.Random(1).shuffle(objects)
    far = [number * object.__basicsize__ for number in (1, 2**20, 2**43 - 1, 2**44 + 1, 2**59)]
    added = {*map(id, objects[:10_000]), *far[::2]}
    seen = Seen()
    for address in added:
        seen.add(address)
    assert all(address in seen for address in added)
    others = {*map(id, objects[10_000:]), *far[1::2]} - added
    assert len(others) == 10_002
    assert not any(address in seen for address in others)


@pytest.mark.parametrize("count", [1, 50_000])
def test_it_takes_a_part_of_a_set_of_addresses(count: int) -> None:
    """Its size, which a walk's budget counts, is far below the 85 bytes for each object that a set takes."""
    objects = [[] for _ in range(count)]  # type: ignore[var-annotated]
    seen = Seen()
    for one in objects:
        seen.add(id(one))
    assert 0 < seen.nbytes <= max(4096 * 4, 20 * count)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's mappings in /proc")
def test_a_large_heap_takes_few_mappings() -> None:
    """A process may have some 65,000 mappings, and the program needs them itself: 2 GB of addresses take a handful."""
    before = _mappings()
    seen = Seen()
    for region in range(4096):
        seen.add(region << 19)
    assert _mappings() <= before + 16
    assert seen.nbytes == 4096 * mmap.PAGESIZE


def _mappings() -> int:
    return Path("/proc/self/maps").read_text(encoding="utf-8").count("\n")
