"""The breakdown of resident memory into lines that add up, and the line that grew."""

from __future__ import annotations

from collections.abc import Iterator

from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.value import valueclass

# A line is named if it has more than half of the growth; growth below this, in MB, is none.
_MOST, _LEAST_MB = 0.5, 1.0


@valueclass(frozen=True, slots=True)
class Line:
    """One line of the breakdown, in MB."""

    name: str
    mb: float


def breakdown(snapshot: MemorySnapshot) -> list[Line]:
    """The resident memory of a process, broken down; empty if it was not measured.

    ``native in use`` and ``free, kept by the allocator`` are figures of the C library (large Python objects are among
    the first), known only where glibc is the allocator; Python's arenas for objects up to 512 bytes, thread stacks and
    what else is mapped are the rest of anonymous memory.
    """
    anonymous, in_use, retained = snapshot.heap_used_mb, snapshot.native_in_use_mb, snapshot.native_retained_mb
    if anonymous is None:
        return []
    lines: list[Line] = []
    if in_use is None or retained is None:
        lines.append(Line("Python and native data", anonymous))
    else:
        used = min(in_use, anonymous)
        # After a trim the allocator still counts memory that the system has back.
        kept = min(retained, anonymous - used)
        lines.append(Line("native in use, large Python objects", used))
        lines.append(Line("free, kept by the allocator", kept))
        lines.append(Line("Python objects, stacks", anonymous - used - kept))
    lines.append(Line("files", snapshot.file_mb or 0.0))
    lines.append(Line("shared", snapshot.shared_mb or 0.0))
    return lines


def changes(before: MemorySnapshot, after: MemorySnapshot) -> list[Line]:
    """The change of each line between two snapshots."""
    start = {line.name: line.mb for line in breakdown(before)}
    return [Line(line.name, line.mb - start[line.name]) for line in breakdown(after) if line.name in start]


def growth_sentence(before: MemorySnapshot, after: MemorySnapshot) -> str:
    """The line with most of the growth, in a sentence."""
    found = changes(before, after)
    total = sum(change.mb for change in found)
    if total < _LEAST_MB:
        return "memory is level"
    most = max(found, key=lambda change: change.mb, default=None)
    if most is None or most.mb < _MOST * total:
        return f"{total:.1f} MB more, on several lines"
    return f"{total:.1f} MB more, {most.mb:.1f} of it {most.name}" + "".join(_objects(before, after))


def _objects(before: MemorySnapshot, after: MemorySnapshot) -> Iterator[str]:
    if before.total_objects and after.total_objects and before.allocated_blocks and after.allocated_blocks:
        objects, blocks = after.total_objects - before.total_objects, after.allocated_blocks - before.allocated_blocks
        yield f" ({objects:+,} tracked objects, {blocks:+,} blocks)"
