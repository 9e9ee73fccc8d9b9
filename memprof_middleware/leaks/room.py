"""Headroom: the memory that a process may still use, and the share that a growth has used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memprof_middleware.model import MB, MemorySnapshot
from memprof_middleware.model.value import valueclass

if TYPE_CHECKING:
    from memprof_middleware.leaks.past import Past

# Parts of the room at which growth is looked at, suspected, confirmed if it has held for long, and confirmed.
LOOK, SUSPECT, NEARLY, CONFIRM = 0.2, 0.28, 0.31, 0.35
# Beside what is told already growth is looked at from a smaller part of the room: what is told may go on as that. So
# is all memory together.
LEAST_TOLD = 0.05
# Where no limit is set, growth by which a process has become so many times larger counts as much as a limit's share;
# but nobody minds that a small process takes so little more.
_DOUBLED, _LEAST = 1.0, 96 * MB
# There much that is healthy doubles a small process, within hours of its start or in the course of days. Doubling
# counts if it has taken so long, and takes all that the machine has left within five days. What is slower is not
# urgent: it is confirmed when it has taken so large a part of that.
_SETTLED, _SOON, _OF_MACHINE = 3.0 * 3600.0, 5 * 86_400.0, 0.1
# Limits that somebody set for this process; the machine's memory is nobody's decision.
_NOBODYS = "ram"


@valueclass(frozen=True, slots=True)
class Room:
    """The headroom of a process at its first reading.

    Attributes:
        total: bytes; growth is judged as a share of them.
        used: bytes of the process at that time.
        words: what growth is compared with, for people.
        left: bytes until a limit is reached; ``None``: there is none.
        shared: whether that limit is one that other workers share.
        compared: bytes that the words tell of; ``None``: the total.
    """

    total: float
    used: float
    words: str
    left: float | None = None
    shared: bool = False
    compared: float | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether nobody has set a limit, so that the process is compared with what it was."""
        return self.compared is not None

    def holds(self, size: float) -> bool:
        """Whether there is room for so many bytes before a limit is reached."""
        return self.left is None or size <= max(self.left, self.total)

    def share(self, gained: float, seconds: float) -> float:
        """The part of the room that growth has taken; less of it where nobody has set a limit and none is near.

        Args:
            gained: bytes.
            seconds: the time in which it gained them.
        """
        share = gained / self.total
        if not self.is_unlimited or self._is_soon(gained, seconds):
            return share
        return 0.0 if not self.left else min(share, gained * CONFIRM / (_OF_MACHINE * self.left))

    def _is_soon(self, gained: float, seconds: float) -> bool:
        left = 0.0 if self.left is None else self.left
        return seconds >= _SETTLED and seconds * left <= _SOON * gained


def room_of(first: MemorySnapshot, others: Sequence[MemorySnapshot] = (), workers: int = 1) -> Room | None:
    """The room of a process: up to its own limit, or its fair part of what all workers share.

    Args:
        first: its first snapshot after warm-up.
        others: snapshots of the server's other workers.
        workers: how many there are with this one.
    """
    used = first.heap_used_mb
    if used is None:
        return None
    found: list[tuple[float, str, bool]] = []
    if first.heap_size_mb is not None and first.heap_size_source != _NOBODYS:
        found.append((first.heap_size_mb - used, f"what was left of {first.heap_size_mb:,.0f} MB", False))
    shared, taken = first.container_size_mb, first.container_used_mb
    if shared is not None and taken is not None:
        part = max(0.0, shared - taken) / workers
        found.append((part, f"its part of what was left of {shared:,.0f} MB", workers > 1))
    if first.heap_size_mb is not None and first.heap_size_source == _NOBODYS:
        all_used = used + sum(other.heap_used_mb or 0.0 for other in others)
        found.append(((first.heap_size_mb - all_used) / workers, "its part of the machine's memory", workers > 1))
    limit = min(found, default=None)
    left = None if limit is None else max(0.0, limit[0]) * MB
    shares = limit is not None and limit[2]
    if not found or (shared is None and first.heap_size_source in {_NOBODYS, ""}):
        doubles = max(_DOUBLED * used, _LEAST / MB)
        if limit is None or doubles / CONFIRM < limit[0]:
            words, total = f"what it had itself, {used:,.0f} MB", doubles * MB / CONFIRM
            return Room(total, used * MB, words, left, shares, used * MB)
    total, words, _ = min(found)
    return Room(max(1.0, total) * MB, used * MB, words, left, shares)


def taken(past: Past) -> list[float]:
    """Memory that the process has taken at each row: all except files and the free memory of the C library."""
    return [
        heap - (0.0 if math.isnan(free) else free)
        for heap, free in zip(past.column("heap"), past.column("retained"), strict=True)
    ]


def has_taken(past: Past, space: Room, part: float = LOOK) -> bool:
    """Whether the process has grown enough, by a part of the room, for a leak to matter."""
    total = taken(past)
    return bool(total) and total[-1] - min(total) >= part * space.total
