"""The comparison of two windows: functions that hold more than before, and functions that hold less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from memprof_middleware.model.flame import Stack


class Change(NamedTuple):
    """Bytes that one function holds in two windows."""

    name: str
    before: int
    after: int

    @property
    def grown(self) -> int:
        """Bytes that were added; below 0: bytes that are gone."""
        return self.after - self.before


def by_function(before: Iterable[Stack], after: Iterable[Stack]) -> list[Change]:
    """The bytes of each function in both windows, the largest growth first.

    A stack counts for the last function of the application's own in it, else for the function that allocates.
    """
    sums: dict[str, list[int]] = {}
    for window, stacks in enumerate((before, after)):
        for size, _, frames in stacks:
            own = next((frame for frame in reversed(frames) if frame.kind == "own"), frames[-1])
            sums.setdefault(own.label, [0, 0])[window] += size
    changes = [Change(name, *sizes) for name, sizes in sums.items()]
    return sorted(changes, key=lambda change: (-change.grown, change.name))


def collapsed_pair(before: Iterable[Stack], after: Iterable[Stack]) -> str:
    """One line a stack with both sizes, as ``difffolded.pl`` writes it and ``flamegraph.pl`` reads it."""
    sums: dict[str, list[int]] = {}
    for window, stacks in enumerate((before, after)):
        for size, _, frames in stacks:
            path = ";".join(frame.label.replace(";", ",") for frame in frames)
            sums.setdefault(path, [0, 0])[window] += size
    return "".join(f"{path} {first} {second}\n" for path, (first, second) in sums.items())
