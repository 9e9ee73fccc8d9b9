"""One reading of a process: memory, requests, types and containers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Reading:
    """One reading of a process. Sizes in bytes; ``None``: not measured.

    Attributes:
        time: seconds since the epoch, by a clock that may jump.
        requests: answered so far, by route.
        failed: how many of them failed, as far as that is known.
        in_flight: requests that had begun and not ended.
        collections: full collections so far.
        heap: anonymous memory.
        native: what the C library has given out.
        retained: what it holds free for reuse.
        blocks: blocks of Python's allocator.
        counts: live objects by type; ``None``: not counted.
        containers: what was measured of containers by path; ``None``: not measured.
        complete: a container that is not among them is empty, or gone.
        cohorts: what has become of instances that were there at earlier looks, by type.
    """

    time: float
    requests: Mapping[str, int]
    failed: int = 0
    in_flight: int = 0
    collections: int = 0
    heap: float | None = None
    native: float | None = None
    retained: float | None = None
    blocks: float | None = None
    counts: Mapping[str, int] | None = None
    containers: Mapping[str, Seen] | None = None
    complete: bool = True
    cohorts: Mapping[str, Sequence[Cohort]] = dataclasses.field(default_factory=dict)


@valueclass(frozen=True, slots=True)
class Seen:
    """One container in one reading.

    Attributes:
        length: entries.
        bound: the most that it takes, by its own word.
        entry_bytes: what one of its newest entries weighs, by a sample.
        oldest: stands for its oldest entry; ``None``: it has no order, or nobody can tell.
        holds: types of its newest entries and of what these hold.
        lifetime: seconds that an entry lives, by its own word.
        cohorts: what has become of entries that were there at earlier looks.
        aged_bytes: what one weighs that is as old as most; ``None``: nobody looked.
    """

    length: int
    bound: int | None = None
    entry_bytes: float | None = None
    oldest: int | None = None
    holds: tuple[str, ...] = ()
    lifetime: float | None = None
    cohorts: Sequence[Cohort] = ()
    aged_bytes: float | None = None
