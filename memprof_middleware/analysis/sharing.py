"""What the workers of a server use together, and the limit that they share."""

from __future__ import annotations

from collections.abc import Sequence

from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.value import valueclass

# Where a heap size comes from that each process has for itself.
_OF_ONE_PROCESS = frozenset({"RLIMIT_AS", "setting"})


@valueclass(frozen=True, slots=True)
class SharedMemory:
    """Memory in use and its limit, in MB; ``None`` if no limit is shared. ``contained``: it is the container's."""

    used_mb: float
    size_mb: float | None
    contained: bool

    @property
    def percent(self) -> float | None:
        """Used in percent of the limit."""
        return None if self.size_mb is None else 100.0 * self.used_mb / self.size_mb


def shared_memory(snapshots: Sequence[MemorySnapshot]) -> SharedMemory | None:
    """What counts against the limit that all workers share.

    In a container this is its working set, whoever uses it. Elsewhere it is the sum over the workers, in which shared
    pages count once, against the machine's memory: a limit of each single process is not shared.

    Args:
        snapshots: the last one of each worker.

    Returns:
        ``None`` if no worker could measure.
    """
    contained = [s for s in snapshots if s.container_used_mb is not None and s.container_size_mb]
    if contained:
        newest = max(contained, key=lambda snapshot: snapshot.timestamp)
        return SharedMemory(newest.container_used_mb or 0.0, newest.container_size_mb, contained=True)
    used = [
        snapshot.heap_used_mb if snapshot.proportional_mb is None else snapshot.proportional_mb
        for snapshot in snapshots
    ]
    known = [mb for mb in used if mb is not None]
    if not known:
        return None
    sizes = [s.heap_size_mb for s in snapshots if s.heap_size_mb and s.heap_size_source not in _OF_ONE_PROCESS]
    return SharedMemory(sum(known), min(sizes, default=None), contained=False)
