"""A leak: what grows, how fast, since when, and what holds it."""

from __future__ import annotations

import typing

from memprof_middleware.model.codec import Moment, _Value
from memprof_middleware.model.severity import Severity
from memprof_middleware.model.value import valueclass

LeakKind = typing.Literal["objects", "container", "untracked", "native", "mapped", "fragmentation"]
LeakState = typing.Literal["suspected", "confirmed", "resolved"]


@valueclass(frozen=True, kw_only=True, slots=True)
class Leak(_Value):
    """Something that keeps growing: one incident, led by what explains the rest of it.

    Attributes:
        name: the type, as ``module.QualName``, or the path of the container.
        kind: what grows: live ``"objects"`` of a type, the entries of a ``"container"``, ``"untracked"`` Python data
            such as bytes and strings, ``"native"`` memory, memory ``"mapped"`` outside the allocators, or
            ``"fragmentation"``: memory that was measured to be free and is kept.
        state: ``"suspected"`` at first, ``"confirmed"`` once it has taken a good part of the room undiminished,
            ``"resolved"``.
        severity: by growth: above 200 % critical, 150 % high, 100 % medium, else low.
        confidence: how sure the verdict is, 0 to 1.
        notable: it matters, and all tests are passed; what does not is only watched: listed, not reported.
        holder: what holds it, as a person would write it, with the share of a sample that it explains; or that it is
            held outside Python; empty while that is not known.
        route: whose requests make it grow; empty while that is not known.
        evidence: the sentences that the verdict rests on.
        also: what else grows with it, part of the same incident.
        first: live objects, entries, blocks or bytes at the start of the period that the verdict rests on.
        last: the same now.
        growth_percent: growth from first to last (a first of 0 counts as 1).
        growth_per_hour: growth per hour over that period.
        growth_per_request: growth per request served over that period; ``None`` without requests.
        bytes_per_hour: what it takes an hour; 0 while it is only watched.
        hours_left: until the limit is reached at that rate; ``None``: not known.
        relapses: how often it was over and grew again.
        since: when that period began, seconds since the epoch.
        detected_at: when the leak was first suspected.
        snapshots: how many snapshots the verdict rests on.
    """

    name: str
    kind: LeakKind = "objects"
    state: LeakState = "suspected"
    severity: Severity
    confidence: float = 0.5
    notable: bool = True
    holder: str = ""
    route: str = ""
    evidence: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    first: int
    last: int
    growth_percent: float
    growth_per_hour: float
    growth_per_request: float | None = None
    bytes_per_hour: float = 0.0
    hours_left: float | None = None
    relapses: int = 0
    since: Moment
    detected_at: Moment
    snapshots: int

    @property
    def growth(self) -> int:
        """What was gained from first to last."""
        return self.last - self.first
