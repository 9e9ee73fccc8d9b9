"""Helpers for tests of applications and of the profiler itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from memprof_middleware.checking.assertion import LeakError, assert_no_leak
from memprof_middleware.heap.answers import Definition, Holding
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.containers import Containers
from memprof_middleware.heap.origins import module_of, rank_of
from memprof_middleware.model import MB, Alert, Leak
from memprof_middleware.probes import (
    AllocatorStats,
    Census,
    ContainerMemory,
    GcStats,
    Listener,
    MemoryLimit,
    MemoryShare,
    ProcessMemory,
)
from memprof_middleware.profiler import MemoryProfiler

__all__ = ["FakeClock", "FakeProbes", "LeakError", "Recorder", "assert_no_leak"]


def _no_pause(_seconds: float) -> None:
    """Nothing waits here."""


class FakeClock:
    """A clock that stands still until :meth:`advance` is called: ``MemoryProfiler(config, clock=FakeClock())``."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the clock by some seconds."""
        self.now += seconds


class FakeProbes:
    """Instruments that show the figures that a test has set: ``MemoryProfiler(config, probes=FakeProbes())``.

    It implements the protocol of the instruments (``memprof_middleware.runtime.readings.ProcessInstruments``) and
    inherits nothing from those that read this process.

    Attributes:
        heap_mb: anonymous memory.
        limit_mb: the memory limit.
        limit_source: where it comes from; ``ram``: the machine's memory, without a limit.
        counts: live objects by type.
        collections: collections by generation.
        traced: traced memory, current and peak, in bytes.
        census_seconds: what a census costs.
        frozen: objects hidden by ``gc.freeze()``.
        container_mb: working set and limit of the container.
        address: where the server listens.
        allocated: what the allocators have given out.
        server: names its run.
        arena_mb: memory of the arenas of Python's allocator; ``None``: not measured.
        kept: containers by path.
        held: who holds what, by type.
        followed: what has become of cohorts of instances, by type.
        defined: where paths begin in the source.
        growing: tasks, threads, files and sockets.
        broken: names of the probes that fail, such as ``{"process"}``.
    """

    def __init__(self, *, heap_mb: float = 100.0, limit_mb: float = 1000.0) -> None:
        self.heap_mb, self.limit_mb, self.limit_source = heap_mb, limit_mb, "fake"
        self.counts: dict[str, int] = {"builtins.dict": 1000}
        self.collections = (0, 0, 0)
        self.traced: tuple[int, int] | None = None
        self.frozen = 0
        self.census_seconds = 0.0
        self.container_mb: tuple[float, float] | None = None
        self.address: str | None = None
        self.allocated = AllocatorStats(in_use=0, retained=0, blocks=0, name="fake")
        self.server: str | None = None
        self.arena_mb: float | None = None
        self.kept = Containers()
        self.held: dict[str, Holding] = {}
        self.followed: dict[str, tuple[Cohort, ...]] = {}
        self.defined: dict[str, Definition] = {}
        self.growing: dict[str, int] = {}
        self.broken: set[str] = set()

    def start(self) -> None:
        """Nothing to watch."""

    def stop(self) -> None:
        """Nothing to leave."""

    def process(self) -> ProcessMemory:
        """Three sizes from ``heap_mb``."""
        self._break("process")
        heap = int(self.heap_mb * MB)
        return ProcessMemory(rss=2 * heap, vms=3 * heap, anonymous=heap)

    def limit(self) -> MemoryLimit:
        """``limit_mb``."""
        self._break("limit")
        return MemoryLimit(int(self.limit_mb * MB), self.limit_source)

    def container(self) -> ContainerMemory | None:
        """``container_mb``, used and limit."""
        self._break("container")
        return None if self.container_mb is None else ContainerMemory(*(int(mb * MB) for mb in self.container_mb))

    def share(self) -> MemoryShare:
        """Nine tenths of ``heap_mb`` private."""
        self._break("share")
        return MemoryShare(private=int(self.heap_mb * MB * 0.9), proportional=int(self.heap_mb * MB))

    def listener(self) -> Listener | None:
        """``address`` and ``server``."""
        self._break("listener")
        return None if self.address is None else Listener(self.address, self.server)

    def allocator(self) -> AllocatorStats:
        """``allocated``."""
        self._break("allocator")
        return self.allocated

    def arenas(self) -> int | None:
        """Memory of the arenas, as set in ``arena_mb``."""
        return None if self.arena_mb is None else int(self.arena_mb * MB)

    def gc(self) -> GcStats:
        """``collections`` and ``frozen``, no pauses."""
        self._break("gc")
        return GcStats(self.collections, 0.0, 0.0, self.frozen)

    def after_full_collection(self, callback: Callable[[], object]) -> None:
        """Kept as ``collected``, for the test to call."""
        self.collected = callback

    def collect(self) -> None:
        """One more full collection."""
        self._break("collect")
        self.collections = (*self.collections[:-1], self.collections[-1] + 1)

    def census(self, stride: int = 1) -> Census:
        """``counts``, and the cost that ``census_seconds`` says."""
        self._break("census")
        cost = self.census_seconds / stride
        return Census(sum(self.counts.values()), dict(self.counts), stride, cost, cost, cost)

    def shared_census(self, stride: int, max_age: float) -> Census:  # noqa: ARG002 - a test's process is its own
        """As ``census``."""
        return self.census(stride)

    def freeze_inherited(self) -> int:
        """Nothing to hide."""
        return 0

    @property
    def copies(self) -> bool:
        """Nothing is shared."""
        return False

    def containers(
        self,
        *,
        most_seconds: float = 1.0,  # noqa: ARG002 - nothing takes time
        pause: Callable[[float], object] = _no_pause,  # noqa: ARG002 - nothing waits
    ) -> Containers:
        """``kept``."""
        self._break("containers")
        return self.kept

    def holders(
        self,
        type_names: Sequence[str],
        *,
        pause: Callable[[float], object] = _no_pause,  # noqa: ARG002 - nothing waits
    ) -> Mapping[str, Holding]:
        """``held``, of the types that are asked for."""
        self._break("holders")
        return {name: self.held.get(name, Holding()) for name in type_names}

    def cohorts(self) -> Mapping[str, tuple[Cohort, ...]]:
        """``followed``."""
        self._break("cohorts")
        return dict(self.followed)

    def define(
        self,
        path: str,
        *,
        place: str = "",  # noqa: ARG002 - the path says it
        pause: Callable[[float], object] = _no_pause,  # noqa: ARG002 - nothing waits
    ) -> Definition:
        """``defined``, of the path that is asked for."""
        self._break("define")
        return self.defined.get(path, Definition())

    def populations(self) -> dict[str, int]:
        """``growing``."""
        self._break("populations")
        return dict(self.growing)

    def rank(self, name: str) -> int:
        """As for the real ones: the name alone decides."""
        return rank_of(name)

    def module(self, name: str) -> str:
        """As for the real ones."""
        return module_of(name)

    def tracemalloc(self) -> tuple[int, int] | None:
        """``traced``."""
        self._break("tracemalloc")
        return self.traced

    def _break(self, name: str) -> None:
        if name in self.broken:
            raise OSError(f"the {name} probe is told to fail")


@dataclasses.dataclass
class Recorder:
    """A recorder of the leaks and alerts that callbacks receive."""

    leaks: list[Leak] = dataclasses.field(default_factory=list)
    alerts: list[Alert] = dataclasses.field(default_factory=list)

    def attach(self, profiler: MemoryProfiler) -> Recorder:
        """Listen to a profiler."""
        profiler.register_leak_callback(self.leaks.append)
        profiler.register_alert_callback(self.alerts.append)
        return self
