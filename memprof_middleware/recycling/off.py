"""Recycling while it is off: most of it is never loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memprof_middleware.config import Config
from memprof_middleware.model import MemorySnapshot

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.recycling.effects import Watched
    from memprof_middleware.recycling.recycler import Recycler


class NoRecycler:
    """The recycler while neither ``remedies`` nor ``recycle`` is set. Arguments as those of the recycler."""

    def __init__(
        self, watched: Watched, probes: Instruments, *, callbacks: list[Callable[[], object]] | None = None
    ) -> None:
        """Nothing is kept."""

    def figures(self) -> dict[str, Any]:
        """No figures."""
        return {}

    def step(self, snapshot: MemorySnapshot | None, workers: int) -> None:
        """Nothing is done."""


def recycler_class(config: Config) -> type[Recycler | NoRecycler]:
    """The class of the recycler that the settings ask for."""
    if not config.remedies and config.recycle is None:
        return NoRecycler
    from memprof_middleware.recycling.recycler import Recycler

    return Recycler
