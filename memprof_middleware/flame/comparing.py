"""The comparison of two windows: functions that hold more than before, and functions that hold less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from memprof_middleware.model.flame import FlameResult, FlameSummary, Stack

_MOST_ROWS = 10
# Windows whose requests or seconds differ by less are alike.
_ALIKE = 1.1


class Change(NamedTuple):
    """Bytes that one function holds in two windows."""

    name: str
    before: int
    after: int

    @property
    def grown(self) -> int:
        """Bytes that were added; below 0: bytes that are gone."""
        return self.after - self.before


class Difference(NamedTuple):
    """What is said of two windows.

    Attributes:
        before: the first window.
        after: the second one.
        notes: why the two cannot be compared one to one.
        more: the functions that hold more than before, the one that grew most first.
        less: those that hold less.
    """

    before: FlameSummary
    after: FlameSummary
    notes: tuple[str, ...]
    more: tuple[Change, ...]
    less: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-ready types."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "notes": list(self.notes),
            "more": [change._asdict() for change in self.more],
            "less": [change._asdict() for change in self.less],
        }


def difference(before: FlameResult, after: FlameResult) -> Difference:
    """Compare two windows, for the page and for the terminal.

    Args:
        before: the first window.
        after: the second one.
    """
    rows = by_function(before.stacks, after.stacks)
    more = tuple(row for row in rows if row.grown > 0)[:_MOST_ROWS]
    less = tuple(row for row in reversed(rows) if row.grown < 0)[:_MOST_ROWS]
    notes = tuple(_notes(before.summary, after.summary))
    return Difference(before.summary, after.summary, notes, more, less)


def _notes(first: FlameSummary, second: FlameSummary) -> Iterator[str]:
    if first.engine != second.engine:
        yield "The engines differ: memray also sees the memory of C extensions."
    if first.requests and second.requests:
        if _differ(first.requests, second.requests):
            times = second.requests / first.requests
            yield f"The second window answered {times:.1f} times as many requests, so a part of the change is traffic."
    elif first.seconds and second.seconds and _differ(first.seconds, second.seconds):
        yield f"The second window was {second.seconds / first.seconds:.1f} times as long."


def _differ(one: float, other: float) -> bool:
    return max(one, other) > _ALIKE * min(one, other)


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
