"""One count of objects for all profilers of a process: an outer and a mounted application may each have one."""

from __future__ import annotations

import dataclasses
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from memprof_middleware.forks import in_child
from memprof_middleware.probes.census import Census


class _Latest(NamedTuple):
    taker: int  # the id() of the probes that counted: no reference, which would keep them alive
    at: float
    census: Census


_latest: _Latest | None = None
_sharing: weakref.WeakSet[object] = weakref.WeakSet()


def shares(profiler: object) -> None:
    """Note that there is a profiler: a count is kept for others only where there are others."""
    _sharing.add(profiler)


def shared_census(take: Callable[[int], Census], taker: int, stride: int, max_age: float) -> Census:
    """A recent count of another profiler of this process, else one that is taken now.

    Without a lock: two profilers that count at one moment count twice, and nothing is lost.

    Args:
        take: counts objects with a stride.
        taker: identifies the caller; a count of its own is always taken anew.
        stride: 1 for all objects, ``n`` for every n-th.
        max_age: the most seconds since the other profiler's count.
    """
    global _latest
    last = _latest
    if last is not None and last.taker != taker and last.census.stride == stride:
        age = time.monotonic() - last.at
        if age < max_age:
            return dataclasses.replace(last.census, age_seconds=age)
    census = take(stride)
    _latest = _Latest(taker, time.monotonic(), census) if len(_sharing) > 1 else None
    return census


@in_child
def _after_fork_in_child() -> None:
    global _latest
    _latest = None
