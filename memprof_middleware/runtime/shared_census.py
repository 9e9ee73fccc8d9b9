"""One count of objects for all profilers of a process: an outer and a mounted application may each have one."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from memprof_middleware.probes.census import Census


class _Latest(NamedTuple):
    pid: int
    taker: int  # the identity of who counted: nobody is kept alive for it
    at: float
    census: Census


_latest: _Latest | None = None


def shared_census(take: Callable[[int], Census], taker: int, stride: int, max_age: float) -> Census:
    """A count of this process: another profiler's, if it is young enough, else one that is taken now.

    No lock: two that count at one moment count twice, and nothing is lost.

    Args:
        take: counts every how-many-th object.
        taker: tells who asks from other profilers; its own counts are always taken anew.
        stride: every how-many-th object.
        max_age: seconds that another one's count may be old.
    """
    global _latest
    last = _latest
    if last is not None and last.pid == os.getpid() and last.taker != taker and last.census.stride == stride:
        age = time.monotonic() - last.at
        if age < max_age:
            return dataclasses.replace(last.census, age_seconds=age)
    census = take(stride)
    _latest = _Latest(os.getpid(), taker, time.monotonic(), census)
    return census
