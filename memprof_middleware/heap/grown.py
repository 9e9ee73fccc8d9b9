"""The containers that grow, found by address: what a forked worker measures in place of the whole walk.

The walk looks at every object through Python, which writes reference counts: in a forked worker it copies the heap.
Here C notes the lengths of all containers, and only what has grown is looked for: upwards by address to a module, then
down again from that module, on this way alone.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Callable, Iterator

import memprof_native
from memprof_middleware.heap.containers import Containers, reported
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.ways import LEAST_LENGTH, OnTheWay, find_ways
from memprof_middleware.probes.native_census import step_through
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

_MOST_CONTAINERS = 20_000
# A table is compared with one so many looks older, so that slow growth is seen too.
_LOOKS = 4
_LEAST_GROWTH, _LEAST_SHARE = 8, 1.1
_TARGETS = 48
_ROW = "QQQ"


class GrownContainers:
    """The containers that have grown since it began to look.

    An address may be used again by another container, so the class must be the same and the length must have grown
    twice. What was found once is measured at each look from then on.
    """

    def __init__(self) -> None:
        self._tables: list[bytes] = []
        self._ways: set[int] = set()  # addresses on the ways from a module to what grows
        self._modules: dict[str, set[int]] = {}  # these modules, with the addresses of their values on the ways
        self._turnover = Turnover()

    def measure(self, *, pause: Callable[[float], object] = real_sleep) -> Containers:
        """Look at the lengths; the containers that are known to grow, by path.

        Args:
            pause: called between slices with the seconds to wait; what it raises ends the look.
        """
        return in_real_thread(functools.partial(self._measure, pause))

    def _measure(self, pause: Callable[[float], object]) -> Containers:
        cpu, began = time.thread_time(), time.perf_counter()
        table, longest = _table(pause)
        if len(self._tables) > 1:
            fresh = set(_grown(self._tables[0], table)) & set(_grown(self._tables[-1], table, least=1, share=1.0))
            if targets := sorted(fresh - self._ways)[:_TARGETS]:
                ways = find_ways(targets, pause)
                longest = max(longest, ways.longest_seconds)
                self._ways |= ways.addresses
                for name, values in ways.modules.items():
                    self._modules.setdefault(name, set()).update(values)
        self._tables = [*self._tables, table][-_LOOKS:]
        walk = OnTheWay(self._ways, self._modules, self._turnover)
        try:
            for _ in walk.steps():
                pass
            found, visited = reported(walk.tally, LEAST_LENGTH), walk.visited
            buffers = walk.buffers.largest()
        finally:
            walk.clear()
        seconds, cpu_seconds = time.perf_counter() - began, time.thread_time() - cpu
        return Containers(found, visited, False, seconds, cpu_seconds, longest, buffers=buffers)


def _table(pause: Callable[[float], object]) -> tuple[bytes, float]:
    """Address, class and length of every container, by address."""
    walk = memprof_native.Walk(minimum=LEAST_LENGTH, deep=True, most=_MOST_CONTAINERS)
    try:
        longest = step_through(walk, pause)
        return walk.containers(), longest
    finally:
        walk.close()


def _grown(before: bytes, after: bytes, *, least: int = _LEAST_GROWTH, share: float = _LEAST_SHARE) -> Iterator[int]:
    """Addresses of the containers that are in both tables and have grown."""
    old = struct.iter_unpack(_ROW, before)
    address = kind = length = 0
    for address_now, kind_now, length_now in struct.iter_unpack(_ROW, after):
        while address < address_now and (row := next(old, None)) is not None:
            address, kind, length = row
        if address == address_now and kind == kind_now and length_now >= max(length + least, share * length):
            yield address
