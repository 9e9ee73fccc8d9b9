"""All figures of one process at one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from memprof_middleware.model.codec import Moment, Positive, ThreeGenerations, Value
from memprof_middleware.model.value import valueclass

CensusKind = Literal["", "pure", "compiled"]


@valueclass(frozen=True, kw_only=True, slots=True)
class MemorySnapshot(Value):
    """All figures of one process at one moment. ``None``: could not be measured here.

    Attributes:
        timestamp: seconds since the epoch, by the profiler's clock.
        pid: the process that was looked at.
        heap_size_mb: memory this process may use.
        heap_size_source: where that limit comes from: ``"cgroup v2"``, ``"cgroup v2 memory.high"``, ``"cgroup v1"``,
            ``"RLIMIT_AS"``, ``"ram"`` or ``"setting"``.
        heap_used_mb: anonymous resident memory.
        private_mb: memory that only this process has (USS); at most a minute old.
        proportional_mb: the same, with a part of each shared page (PSS): the sum over workers counts none twice.
        container_used_mb: working set of all processes in the container, by its control group.
        container_size_mb: the container's memory limit.
        rss_mb: resident set size.
        vms_mb: virtual size.
        file_mb: resident pages of files, such as shared libraries.
        shared_mb: resident shared memory.
        native_in_use_mb: what the C library's allocator has given out; objects up to 512 bytes are not among it.
        native_retained_mb: what the C library's allocator holds free for reuse.
        allocated_blocks: blocks that Python's own allocator has given out: nearly every object up to 512 bytes.
        requests: requests answered so far.
        in_flight: requests that had begun and not ended.
        total_objects: live objects that the garbage collector tracks; the frozen ones are among them where C counts.
        frozen_objects: objects that ``gc.freeze()`` hides from the collector and from the pure count.
        census_timestamp: when the objects were counted; earlier than the snapshot where the budget put a census off.
        census_kind: ``"compiled"`` or ``"pure"``: who counted; empty before the first count.
        census_stride: every how-many-th object was looked at; above 1 the counts are estimates.
        census_error_percent: standard error of the count of a type that makes up 1 % of the objects.
        census_seconds: wall time of the census.
        census_cpu_seconds: processor time of the census.
        census_stall_seconds: the longest time in the census that no other thread could run.
        object_counts: the most numerous types, ``module.QualName`` to live objects.
        gc_collections: collections of generation 0, 1 and 2 since the process began.
        gc_per_hour: full collections per hour since the previous snapshot.
        gc_pause_seconds: time spent in collections since the profiler began to watch.
        gc_pause_max_seconds: the longest collection since the previous snapshot.
        tracemalloc_current_mb: traced memory now; ``None`` while nothing traces.
        tracemalloc_peak_mb: highest traced memory.
        duration_seconds: wall time this snapshot took.
    """

    timestamp: Moment
    pid: int
    heap_size_mb: float | None = None
    heap_size_source: str = ""
    heap_used_mb: float | None = None
    private_mb: float | None = None
    proportional_mb: float | None = None
    container_used_mb: float | None = None
    container_size_mb: float | None = None
    rss_mb: float | None = None
    vms_mb: float | None = None
    file_mb: float | None = None
    shared_mb: float | None = None
    native_in_use_mb: float | None = None
    native_retained_mb: float | None = None
    allocated_blocks: int | None = None
    requests: int = 0
    in_flight: int = 0
    total_objects: int | None = None
    frozen_objects: int = 0
    census_timestamp: Moment | None = None
    census_kind: CensusKind = ""
    census_stride: Positive = 1
    census_error_percent: float = 0.0
    census_seconds: float = 0.0
    census_cpu_seconds: float = 0.0
    census_stall_seconds: float = 0.0
    object_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    gc_collections: ThreeGenerations = (0, 0, 0)
    gc_per_hour: float | None = None
    gc_pause_seconds: float = 0.0
    gc_pause_max_seconds: float = 0.0
    tracemalloc_current_mb: float | None = None
    tracemalloc_peak_mb: float | None = None
    duration_seconds: float = 0.0

    @property
    def census_age_seconds(self) -> float | None:
        """How old the counts were when the snapshot was taken; ``None``: never counted."""
        return None if self.census_timestamp is None else max(0.0, self.timestamp - self.census_timestamp)

    @property
    def heap_percent(self) -> float | None:
        """Heap used in percent of the heap size."""
        if self.heap_used_mb is None or not self.heap_size_mb:
            return None
        return 100.0 * self.heap_used_mb / self.heap_size_mb
