"""Forecast of the time to a memory limit."""

from __future__ import annotations

from memprof_middleware.model.codec import _Value
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, kw_only=True, slots=True)
class Outlook(_Value):
    """What is left of a limit, and for how long. ``None``: not known, or there is nothing to say.

    Attributes:
        used_mb: memory in use.
        limit_mb: the limit it counts against.
        low_seconds: until the limit is reached if the peaks go on rising as they do: the early end of the range.
        high_seconds: the same by the floor: the late end. Both are ``None`` unless the floor rises steadily.
        mb_per_hour: how fast the floor rises; only with a range.
        seen_hours: the period that the range rests on; it is trusted half as far ahead.
        novelty: how far memory stands above all of the last 24 hours, in units of its own noise; above 2 is unusual.
    """

    used_mb: float
    limit_mb: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    mb_per_hour: float | None = None
    seen_hours: float | None = None
    novelty: float | None = None

    @property
    def headroom_mb(self) -> float | None:
        """What may still be used; 0 above the limit."""
        return None if self.limit_mb is None else max(0.0, self.limit_mb - self.used_mb)

    @property
    def span(self) -> str:
        """The range for people: ``40 min to 2.5 h``; empty if there is none."""
        if self.low_seconds is None or self.high_seconds is None:
            return ""
        ends = (self.low_seconds, self.high_seconds)
        low, high = (f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h" for s in ends)
        return low if low == high else f"{low} to {high}"


@valueclass(frozen=True, kw_only=True, slots=True)
class Forecast(_Value):
    """Headroom and time to the limit, of a worker and of what all workers share.

    Attributes:
        worker: of its own limit.
        shared: of the one that all workers share; ``None`` where nothing is shared or known.
        shared_past: the past of the shared figure, packed, for the worker that takes this one's place; told by the
            worker with the lowest number.
    """

    worker: Outlook | None = None
    shared: Outlook | None = None
    shared_past: str = ""
