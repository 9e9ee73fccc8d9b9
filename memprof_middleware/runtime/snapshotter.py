"""Take one snapshot: read each probe, and leave a gap for each that fails."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from memprof_middleware.config import Config
from memprof_middleware.errors import MemprofError
from memprof_middleware.failures import Failures
from memprof_middleware.model import MB, MemorySnapshot
from memprof_middleware.probes import AllocatorStats, Census, GcStats
from memprof_middleware.probes.census import relative_error
from memprof_middleware.routes.counter import Traffic

if TYPE_CHECKING:
    from memprof_middleware.runtime.readings import ProcessInstruments

_T = TypeVar("_T")
_RECENT_SECONDS = 60.0


def holds_interpreter_lock() -> bool:
    """Whether the interpreter lock is on: always, except in the free-threaded build by default."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


class Measurement(NamedTuple):
    """A snapshot, its object count if there was one, and the CPU seconds of all but the count."""

    snapshot: MemorySnapshot
    census: Census | None
    cpu_seconds: float


class Trace:
    """The trace of allocations of ``tracemalloc``; a forked child inherits it.

    Args:
        wanted: whether to trace.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._tracing = import_module("tracemalloc") if wanted else None
        self._is_ours = False

    def start(self) -> None:
        """Start the trace if it is wanted, unless something traces already."""
        if self._tracing is not None and not self._tracing.is_tracing():
            self._tracing.start(1)
            self._is_ours = True

    def stop(self) -> None:
        """Stop the trace, unless it was started by other code."""
        if self._tracing is not None and self._is_ours:
            self._tracing.stop()
            self._is_ours = False


class Snapshotter:
    """Take the snapshots of one process.

    Args:
        probes: the instruments.
        config: the heap size override, the number of types named, whether allocations are traced.
        clock: seconds since the epoch.
        failures: where a probe's failure is counted.
        traffic: the requests, which a snapshot counts too.
        trace: the trace of allocations.
    """

    def __init__(
        self,
        probes: ProcessInstruments,
        config: Config,
        clock: Callable[[], float],
        failures: Failures,
        traffic: Traffic,
        trace: Trace,
    ) -> None:
        self._probes, self._config, self._clock, self._failures = probes, config, clock, failures
        self._traffic, self._trace = traffic, trace
        self._has_opened = self._is_refused = False
        self._before: tuple[float, int] | None = None  # time and full collections of the previous snapshot
        self._read: dict[str, tuple[float, Any]] = {}  # expensive readings: time and value
        self._census: tuple[float, Census, dict[str, int]] | None = None  # time, the count, and the most numerous types

    def open(self) -> None:
        """Open the probes, if they are not open yet."""
        if not self._has_opened:
            self._has_opened = True
            if not holds_interpreter_lock():
                self._failures.logger.warning(
                    "memprof: the free-threaded build of Python is not supported: counts, holders and pauses were not "
                    "tried without the interpreter lock. Use the ordinary build of Python."
                )
            if self._config.freeze_after_fork:
                self._freeze_inherited()
        with self._failures.caught("probe_start"):
            self._probes.start()
        self._trace.start()

    def _freeze_inherited(self) -> None:
        with self._failures.caught("freeze"):
            if frozen := self._probes.freeze_inherited():
                self._failures.logger.info(
                    "memprof: process %d froze %d inherited objects (gc.freeze()), so that no collection copies memory "
                    "that it shares with its parent. Switch it off with freeze_after_fork=false.",
                    os.getpid(),
                    frozen,
                )

    def close(self) -> None:
        """Stop the probes and the trace."""
        self._probes.stop()
        self._trace.stop()

    def take(
        self, stride: int | None = 1, allocator: AllocatorStats | None = None, *, max_age: float = 0.0
    ) -> Measurement:
        """Take a snapshot now.

        Args:
            stride: 1 counts all objects, ``n`` every n-th; ``None``: no count, the last one is carried on.
            allocator: the allocators' figures at the moment of the fewest requests of late.
            max_age: the most seconds since a count of another profiler of this process that is used instead.
        """
        self.open()
        began, cpu = time.perf_counter(), time.thread_time()
        process = self._measured("process", self._probes.process)
        container = self._measured("container", self._probes.container)
        gc = self._measured("gc", self._probes.gc)
        traced = self._measured("tracemalloc", self._probes.tracemalloc)
        timestamp = self._clock()
        limit = self._recent("limit", self._probes.limit, timestamp)
        share = self._recent("share", self._probes.share, timestamp)
        cpu = time.thread_time() - cpu
        census = None
        if stride is not None:
            census = self._measured("census", functools.partial(self._probes.shared_census, stride, max_age))
            self._census = None if census is None else self._kept(timestamp, census)
        if census is not None:
            self._report_refusal(census.refusal)
        override = self._config.heap_size_mb
        snapshot = MemorySnapshot(
            timestamp=timestamp,
            pid=os.getpid(),
            heap_size_mb=override or (limit.size / MB if limit else None),
            heap_size_source="setting" if override else limit.source if limit else "",
            heap_used_mb=process.anonymous / MB if process else None,
            private_mb=share.private / MB if share else None,
            proportional_mb=share.proportional / MB if share and share.proportional is not None else None,
            container_used_mb=container.used / MB if container else None,
            container_size_mb=container.size / MB if container else None,
            rss_mb=process.rss / MB if process else None,
            vms_mb=process.vms / MB if process else None,
            file_mb=_mb(process.file if process else None),
            shared_mb=_mb(process.shared if process else None),
            native_in_use_mb=_mb(allocator.in_use if allocator else None),
            native_retained_mb=_mb(allocator.retained if allocator else None),
            allocated_blocks=allocator.blocks if allocator else None,
            requests=self._traffic.total,
            in_flight=self._traffic.in_flight,
            frozen_objects=gc.frozen_objects if gc else 0,
            gc_collections=gc.collections if gc else (0, 0, 0),
            gc_per_hour=self._gc_per_hour(timestamp, gc) if gc else None,
            gc_pause_seconds=gc.pause_seconds if gc else 0.0,
            gc_pause_max_seconds=gc.pause_max_seconds if gc else 0.0,
            tracemalloc_current_mb=traced[0] / MB if traced else None,
            tracemalloc_peak_mb=traced[1] / MB if traced else None,
            duration_seconds=time.perf_counter() - began,
            **self._counted(),
        )
        return Measurement(snapshot, census, cpu)

    def _kept(self, timestamp: float, census: Census) -> tuple[float, Census, dict[str, int]]:
        """What is carried on: the names of all types are 0.3 MB in a large application."""
        return timestamp - census.age_seconds, dataclasses.replace(census, counts={}), self._most(census)

    def _counted(self) -> dict[str, Any]:
        """The fields of a snapshot about the last object count."""
        if self._census is None:
            return {}
        timestamp, census, most = self._census
        return {
            "total_objects": census.total,
            "object_counts": dict(most),
            "census_timestamp": timestamp,
            "census_kind": census.kind,
            "census_stride": census.stride,
            "census_error_percent": 100 * relative_error(census.total // 100, census.stride),
            "census_seconds": census.seconds,
            "census_cpu_seconds": census.cpu_seconds,
            "census_stall_seconds": census.longest_seconds,
        }

    def _report_refusal(self, reason: str) -> None:
        """Record once in a process that objects are counted in Python, and why."""
        if reason and not self._is_refused:
            self._is_refused = True
            self._failures.record("native_census", MemprofError(reason))

    def _most(self, census: Census) -> dict[str, int]:
        """The most numerous types."""
        return dict(heapq.nsmallest(self._config.top_types, census.counts.items(), lambda pair: (-pair[1], pair[0])))

    def _measured(self, kind: str, probe: Callable[[], _T]) -> _T | None:
        try:
            return probe()
        except Exception as error:  # noqa: BLE001 - one blind instrument must not hide what the others see
            self._failures.record(f"probe_{kind}", error)
            return None

    def _recent(self, kind: str, probe: Callable[[], _T], timestamp: float) -> _T | None:
        """A reading at most a minute old: a share costs 20 ms at 1 GB, a limit 0.1 ms in nested control groups."""
        read = self._read.get(kind)
        if read is None or read[1] is None or not 0 <= timestamp - read[0] < _RECENT_SECONDS:
            read = self._read[kind] = timestamp, self._measured(kind, probe)
        found: _T | None = read[1]
        return found

    def _gc_per_hour(self, timestamp: float, gc: GcStats) -> float | None:
        before, self._before = self._before, (timestamp, gc.collections[-1])
        if before is None or timestamp <= before[0]:
            return None
        return (gc.collections[-1] - before[1]) * 3600 / (timestamp - before[0])


def _mb(size: int | None) -> float | None:
    return None if size is None else size / MB
