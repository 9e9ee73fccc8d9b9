"""Recycling while it is off: most of it is never loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memprof_middleware.config import Config
from memprof_middleware.model import MemorySnapshot

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.recycling.recycler import Recycler
    from memprof_middleware.recycling.world import Watched


class NoRecycler:
    """Stands where a recycler would, while neither ``remedies`` nor ``recycle`` is set. Arguments as there."""

    def __init__(
        self, watched: Watched, probes: Instruments, *, callbacks: list[Callable[[], object]] | None = None
    ) -> None:
        """Nothing is kept."""

    def told(self) -> dict[str, Any]:
        """Nothing is told."""
        return {}

    def step(self, snapshot: MemorySnapshot | None) -> None:
        """Nothing is done."""


def recycler_class(config: Config) -> type[Recycler | NoRecycler]:
    """What looks after a worker whose memory is high, as the settings want it."""
    if not config.remedies and config.recycle is None:
        return NoRecycler
    from memprof_middleware.recycling.recycler import Recycler

    return Recycler
