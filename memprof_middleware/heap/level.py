"""The objects that a walk has still to visit, at one distance from the roots."""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence
from typing import Any

from memprof_middleware.heap.tally import Entry
from memprof_middleware.probes.turns import Turn


class Level:
    """Objects still to be visited, at one distance from the roots.

    Lists side by side, not a list of tuples: a hundred thousand new tuples would make the collector run. The path of an
    object is put together when its turn has come: all of them would be 1.5 MB of text, for 12,000 objects that wait.
    """

    __slots__ = ("_bounds", "_labels", "_paths", "_ranks", "_weights", "objects", "parted")

    def __init__(self, parted: Turn | None = None) -> None:
        self.parted = parted  # only what has its turn is kept
        self.objects: list[Any] = []
        self._paths: list[str] = []
        self._labels: list[str] = []
        self._weights: list[float] = []
        self._bounds: dict[int, int] = {}  # of those that have one, by address
        self._ranks = array("b")

    def push(self, child: Any, path: str, weight: float, bound: int | None, rank: int, label: str = "") -> None:
        """Add one at the end, by its path, or by its parent's and the name that it has there."""
        if self.parted is not None and not self.parted.takes(child, self.parted.parts):
            return
        self.objects.append(child)
        self._paths.append(path)
        self._labels.append(label)
        self._weights.append(weight)
        if bound is not None:
            self._bounds[id(child)] = bound
        self._ranks.append(rank)

    def turn(self) -> None:
        """From now on the first comes first."""
        parts: list[MutableSequence[Any]] = [self.objects, self._paths, self._labels, self._weights, self._ranks]
        for part in parts:
            part.reverse()

    def pop(self) -> Entry:
        """Take the last one."""
        child, path, label = self.objects.pop(), self._paths.pop(), self._labels.pop()
        path = f"{path}.{label}" if label else path
        return child, path, self._weights.pop(), self._bounds.pop(id(child), None), self._ranks.pop()
