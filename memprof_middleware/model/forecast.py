"""Forecast of the time to a memory limit."""

from __future__ import annotations

from typing import NamedTuple

from memprof_middleware.model.codec import Value
from memprof_middleware.model.urgency import Urgency, hours_left, urgency
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, kw_only=True, slots=True)
class Outlook(Value):
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

    def urgency(self, fill: Urgency) -> Urgency:
        """How soon somebody has to act because of this forecast and of the memory in use.

        Args:
            fill: of the memory in use alone.
        """
        hours = None if self.low_seconds is None else self.low_seconds / 3600
        return urgency(hours, fill=fill, watched_seconds=None if self.seen_hours is None else 3600 * self.seen_hours)

    @property
    def span(self) -> str:
        """The range for people: ``40 min to 2.5 h``; empty if there is none."""
        if self.low_seconds is None or self.high_seconds is None:
            return ""
        low, high = (
            f"{s:.0f} s" if s < 90 else f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"
            for s in (self.low_seconds, self.high_seconds)
        )
        return low if low == high else f"{low} to {high}"


@valueclass(frozen=True, kw_only=True, slots=True)
class Forecast(Value):
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


class Ahead(NamedTuple):
    """The limit that a process reaches first, and what is known of when.

    Attributes:
        left: bytes until then, of a shared limit its part; ``None``: no limit is known.
        shared: whether all workers share that limit.
        outlook: the forecast for it; ``None``: there is none.
    """

    left: float | None = None
    shared: bool = False
    outlook: Outlook | None = None

    def reached(self, bytes_per_hour: float, *, alone: bool) -> tuple[float | None, float | None]:
        """Hours until the limit is reached: early and late end of the forecast, else those at a pace and ``None``.

        Args:
            bytes_per_hour: the pace of what grows.
            alone: it is what fills the process, so that the forecast is about it.
        """
        seen = self.outlook
        if alone and seen is not None and seen.low_seconds is not None:
            high = seen.low_seconds if seen.high_seconds is None else seen.high_seconds
            return seen.low_seconds / 3600, high / 3600
        return hours_left(self.left, bytes_per_hour), None
