"""A leak: what grows, how fast, since when, and what holds it."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Sequence

from memprof_middleware.model.codec import Moment, Value
from memprof_middleware.model.route import Estimate, RouteGrowth
from memprof_middleware.model.severity import Severity
from memprof_middleware.model.urgency import Urgency, urgency
from memprof_middleware.model.value import valueclass

LeakKind = typing.Literal["objects", "container", "untracked", "native", "mapped", "fragmentation"]
LeakState = typing.Literal["suspected", "confirmed", "resolved"]
# A route is the cause of a growth if it has so much of it; so are a few together, each with a good part of what the
# first of them has.
_MOST, _ALIKE, _FEW = 0.5, 0.4, 3
# A route keeps practically all memory from this part on; a leak takes as much as it within this factor.
_ALL, _ABOUT = 0.9, 2.0
# Between the names of routes that share a growth, and of those of which one has it.
_AND, _OR = " and ", " or "


@valueclass(frozen=True, slots=True)
class FedBy:
    """The route whose requests make something grow, or the few routes that share it.

    Attributes:
        route: method and template; of routes that share the growth ``GET /a and GET /b``, of routes that cannot be told
            apart ``GET /a or GET /b``; empty: none has most of the growth.
        share: its part of the growth, 0 to 1; without a route the largest part that one has; ``None``: not known.
        per_request: what one request of it adds.
        shares: of several routes the part of each.
    """

    route: str = ""
    share: float | None = None
    per_request: Estimate | None = None
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, growths: Sequence[RouteGrowth]) -> FedBy:
        """The routes that keep most, if they have most of the growth: else something else is the cause.

        Args:
            growths: what the requests of each route keep, the largest share first; one at the least.
        """
        first, *rest = growths
        alike = [one for one in rest if first.identified and one.identified and one.share >= _ALIKE * first.share]
        # By name: which of them is ahead changes from look to look, and their name must not.
        few = sorted([first, *alike[: _FEW - 1]], key=lambda one: one.route)
        share = min(1.0, sum(one.share for one in few))
        if share < _MOST:
            # That no route has most of it is said only where the first one cannot have it, by its interval.
            each = first.per_request
            may = first.share * each.high / each.value if each.value > 0 else 1.0
            return cls(share=first.share if may < _MOST else None)
        if len(few) == 1:
            return cls(_OR.join((first.route, *first.together_with)), first.share, first.per_request)
        low, high = min(one.per_request.low for one in few), max(one.per_request.high for one in few)
        each = Estimate(sum(one.kept for one in few) / sum(one.requests for one in few), low, high)
        return cls(_AND.join(one.route for one in few), share, each, tuple(one.share for one in few))

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes by themselves; empty: none is known, or they cannot be told apart."""
        return _told_apart(self.route)


def _told_apart(route: str) -> tuple[str, ...]:
    return tuple(route.split(_AND)) if route and _OR not in route else ()


@valueclass(frozen=True, kw_only=True, slots=True)
class Leak(Value):
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
            held in native memory; empty while that is not known.
        path: the retaining path that explains most, without words; empty while it is not known.
        share: the part of a sample that this path explains, 0 to 1; ``None`` without a path.
        named: what the leaked things are where their type says nothing, such as ``timer app.expire`` or
            ``frame of app.handler``; empty: the type says it.
        file: the source file that defines the container or class at the root of the path; empty: not known.
        line: its line there; 0: not known.
        filled_in: the functions that add to it, as ``add_to_cart, line 31 of cart.py``; at most three.
        removed_in: a function that removes from it, in the same words; empty: none was found.
        waits_at: of tasks that never finish the line on which they wait, as ``shop/mail.py:19``; empty: not known.
        pattern: the key of the advice for this kind of leak (:mod:`memprof_middleware.text.advice`); empty: none.
        route: the route whose requests make most of it grow, ``POST /cart``; of several that share it ``GET /a and
            GET /b``, of several that cannot be told apart ``GET /a or GET /b``; empty: not known.
        route_share: the part of the growth of all these routes, 0 to 1, or the largest part of one if none has most;
            ``None``: not known.
        route_per_request: what one request of the route adds, with its interval; ``None``: not known.
        failing: it follows the requests that fail, better than all requests and those of any route.
        evidence: the sentences that the verdict rests on.
        also: what else grows with it, part of the same incident.
        first: live objects, entries, blocks or bytes at the start of the period that the verdict rests on.
        last: the same now.
        growth_percent: growth from first to last (a first of 0 counts as 1).
        growth_per_hour: growth per hour over that period.
        growth_per_request: growth per request served over that period; ``None`` without requests.
        bytes_per_hour: what it takes an hour, by the heap where it was not weighed; 0 while it is only watched.
        process_per_hour: what all memory of its process takes an hour, where that is clearly more and as steady for as
            long; ``hours_left`` is at that rate then. ``None``: it is at that of ``bytes_per_hour``.
        hours_left: until the limit is reached: the early end of a forecast, else at that rate; ``None``: not known.
        hours_latest: the late end of the forecast; ``None``: ``hours_left`` is at that rate.
        shared_limit: whether that limit is one that all workers share.
        fill: how soon somebody has to act because of the memory that its process uses, of the leak that takes most.
        decided_requests: of a suspicion, after how many more requests it is decided at this pace; ``None``: not known.
        decided_seconds: the same in time.
        relapses: how often it was over and grew again.
        since: when that period began, seconds since the epoch.
        detected_at: when the leak was first suspected.
        confirmed_at: when it was confirmed; ``None``: it is not.
        snapshots: how many snapshots the verdict rests on.
    """

    name: str
    kind: LeakKind = "objects"
    state: LeakState = "suspected"
    severity: Severity
    confidence: float = 0.5
    notable: bool = True
    holder: str = ""
    path: str = ""
    share: float | None = None
    named: str = ""
    file: str = ""
    line: int = 0
    filled_in: tuple[str, ...] = ()
    removed_in: str = ""
    waits_at: str = ""
    pattern: str = ""
    route: str = ""
    route_share: float | None = None
    route_per_request: Estimate | None = None
    failing: bool = False
    evidence: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    first: int
    last: int
    growth_percent: float
    growth_per_hour: float
    growth_per_request: float | None = None
    bytes_per_hour: float = 0.0
    process_per_hour: float | None = None
    hours_left: float | None = None
    hours_latest: float | None = None
    shared_limit: bool = False
    fill: Urgency = "none"
    decided_requests: float | None = None
    decided_seconds: float | None = None
    relapses: int = 0
    since: Moment
    detected_at: Moment
    confirmed_at: Moment | None = None
    snapshots: int

    @property
    def watched_seconds(self) -> float:
        """How long the growth was watched that the verdict rests on."""
        return 3600 * self.growth / self.growth_per_hour if self.growth_per_hour > 0 else 0.0

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that make it grow; empty: none is known, or they cannot be told apart."""
        return _told_apart(self.route)

    @property
    def urgency(self) -> Urgency:
        """How soon somebody has to act because of it; none while it is only suspected."""
        if self.state != "confirmed":
            return "none"
        watched = self.watched_seconds if self.hours_latest is None else None
        return urgency(self.hours_left, leaking=True, fill=self.fill, watched_seconds=watched)

    @property
    def growth(self) -> int:
        """What was gained from first to last."""
        return self.last - self.first


def routes_of(leak: Leak, growths: Iterable[RouteGrowth]) -> list[RouteGrowth]:
    """What the requests of each route keep of what leaks, the largest share first.

    Before there are counts enough of what leaks: the route that keeps practically all memory, where a leak that
    requests feed takes about as much.

    Args:
        leak: the leak.
        growths: what requests keep, by route, over all workers.
    """
    every = sorted(growths, key=lambda one: -one.share)
    unit = "bytes" if leak.kind in {"native", "mapped", "fragmentation"} else leak.name
    found = [one for one in every if one.identified and one.unit == unit]
    first = next((one for one in every if one.unit == "bytes"), None)
    if found or first is None or not first.identified or first.share < _ALL or not leak.growth_per_request:
        return found
    return [first] if first.per_hour / _ABOUT <= leak.bytes_per_hour <= _ABOUT * first.per_hour else []


def routed(leak: Leak, growths: Iterable[RouteGrowth]) -> Leak:
    """The leak with its route; where none was found for it by itself, the one that keeps most by all routes' figures.

    The log, the metrics and the page all ask here, so that none of them knows a route that another one does not.
    """
    known = leak.route or leak.route_share is not None
    found = [] if known else routes_of(leak, growths)
    if not found:
        return leak
    fed = FedBy.of(found)
    return dataclasses.replace(leak, route=fed.route, route_share=None if fed.route else fed.share)


@valueclass(frozen=True, kw_only=True, slots=True)
class Resolved(Value):
    """A confirmed leak that is over.

    Attributes:
        leak: the last verdict on it.
        at: when it was over, seconds since the epoch.
        why: what ended it, as ``was freed``; empty: not known.
    """

    leak: Leak
    at: Moment
    why: str = ""
