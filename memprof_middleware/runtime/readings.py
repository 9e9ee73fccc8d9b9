"""All readings of one process, as a protocol: for type checkers, and not loaded."""

from __future__ import annotations

from typing import Protocol

from memprof_middleware.heap.instruments import Instruments
from memprof_middleware.probes.census import Census
from memprof_middleware.probes.gc_stats import GcStats
from memprof_middleware.probes.limits import MemoryLimit
from memprof_middleware.probes.process import MemoryShare


class ProcessInstruments(Instruments, Protocol):
    """All readings of one process: those that features take, and those that a snapshot takes.

    ``Probes`` reads the real process, ``memprof_middleware.testing.FakeProbes`` stands in for it in tests. A type
    checker holds both against this protocol.
    """

    def limit(self) -> MemoryLimit:
        """The smallest memory limit that holds for this process."""

    def share(self) -> MemoryShare:
        """The share of the resident memory that only this process maps."""

    def gc(self) -> GcStats:
        """Collections and pauses since ``start()``."""

    def census(self, stride: int = ...) -> Census:
        """Live objects by type; every ``stride``-th of them."""

    def shared_census(self, stride: int, max_age: float) -> Census:
        """A count of live objects, or one of another profiler here that is at most ``max_age`` seconds old."""

    def freeze_inherited(self) -> int:
        """Freeze the objects that a forked worker inherited, where that is of use. Returns how many."""

    def tracemalloc(self) -> tuple[int, int] | None:
        """Traced memory, current and peak, in bytes; ``None`` while nothing traces."""

    def start(self) -> None:
        """Begin to record collections. May be called again."""

    def stop(self) -> None:
        """Stop recording collections. May be called again."""
