"""Readings of this process: memory, limits, object counts, garbage collections, the server's socket."""

from typing import TYPE_CHECKING

from memprof_middleware.probes.allocator import AllocatorStats
from memprof_middleware.probes.census import Census
from memprof_middleware.probes.gc_stats import GcStats
from memprof_middleware.probes.limits import ContainerMemory, MemoryLimit
from memprof_middleware.probes.listening import Listener
from memprof_middleware.probes.process import MemoryShare, ProcessMemory

__all__ = [
    "AllocatorStats",
    "Census",
    "ContainerMemory",
    "GcStats",
    "Listener",
    "MemoryLimit",
    "MemoryShare",
    "ProcessMemory",
]

if not TYPE_CHECKING:  # a type checker is to see that a name is not there

    def __getattr__(name: str) -> object:
        from memprof_middleware.moved import of_probes

        return of_probes(name)
