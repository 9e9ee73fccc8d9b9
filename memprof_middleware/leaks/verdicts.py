"""Verdicts on incidents: growth, confidence and beginning; and the end of incidents below the limits."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.median import median
from memprof_middleware.analysis.memory import MEMORY
from memprof_middleware.analysis.retention import stalled_for
from memprof_middleware.config import Config
from memprof_middleware.leaks.detector import severity_of
from memprof_middleware.leaks.feed import FAILED, REQUESTS
from memprof_middleware.leaks.finding import CONFIRM_SECONDS
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.leaks.room import CONFIRM
from memprof_middleware.model import MB, FedBy, Leak, LeakState, Severity
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.holders import NO_PATH
from memprof_middleware.model.urgency import SETTLED_SECONDS, Urgency
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.headline import quantity, rarely
from memprof_middleware.text.moments import utc
from memprof_middleware.text.words import size

if TYPE_CHECKING:
    from memprof_middleware.leaks.life import Life

# How sure each state is.
_WATCHED, _SUSPECTED, _CONFIRMED = 0.6, 0.8, 0.9
# Memory of which nothing is counted may be a cache of C code, whose maximum nobody can read, until it is full: the more
# of the room it has taken in a line, the less likely. At the share that confirms it, and at twice that share.
_UNSEEN_KINDS = frozenset({"untracked", "native", "mapped"})
_UNSEEN, _UNSEEN_LARGE = 0.75, 0.9
_IN_BYTES = frozenset({"native", "mapped", "fragmentation"})  # what is measured so; the rest is counted
# What grows ever more slowly is a cache that fills; so is what grows by fits and starts.
_PACE, _STEADY = 0.7, 0.4
# What has survived so many full collections is no garbage that waits for one.
_COLLECTIONS = 2
# A whole process's blocks or bytes grow by a smaller share than one type's objects do.
_OF_ALL = 0.4
# What is watched is over when its floor has not risen for so large a part of the requests that it went on for.
_STALLED = 0.5
# All memory is told beside a leak if it has grown steadily for nearly as long, and by clearly more than the leak takes.
_AS_LONG, _CLEARLY_MORE = 0.8, 1.15


def verdict_of(
    incident: Incident,
    config: Config,
    before: Leak | None,
    route: FedBy,
    life: Life | None = None,
) -> Leak:
    """The verdict on an incident; when its limit is reached is for :func:`timed` to say.

    What grows is watched. It is suspected, and later confirmed, when the tests of :mod:`memprof_middleware.leaks` say
    so; whoever has set ``leak_confirm_requests`` or ``leak_confirm_hours`` for a laboratory has it confirmed by these.

    Args:
        incident: what grows.
        config: the limits.
        before: the last verdict on the same incident.
        route: whose requests make it grow.
        life: what was told of it.
    """
    growth = incident.leader
    percent = 100.0 * growth.amount / max(growth.first, 1)
    told = life is not None and life.state != "over"
    enough = _is_enough(growth, percent, config)
    by_setting = enough and _is_confirmed_by_setting(incident, config)
    confirmed = by_setting or (life is not None and life.state == "confirmed")
    confirmed = confirmed or (before is not None and before.state == "confirmed")
    state: LeakState = "confirmed" if confirmed else "suspected"
    requests, seconds = (None, None) if confirmed else _decided(growth, life, config)
    now = growth.since + 3600 * _hours(growth)
    before_at = None if before is None else before.confirmed_at
    if route == FedBy() and before is not None:
        route = FedBy(before.route, before.route_share, before.route_per_request)
    return Leak(
        name=growth.name,
        kind=growth.kind,
        state=state,
        severity=_severity(growth, percent, config),
        confidence=round(_confidence(incident, life, told=told, confirmed=confirmed), 2),
        notable=confirmed or told or (enough and has_laboratory(config)),
        holder=incident.holder or _holder_before(growth, before),
        route=route.route,
        route_share=route.share,
        route_per_request=route.per_request,
        failing=life is not None and life.finding.feed == FAILED,
        evidence=tuple(_evidence(incident, life, route)),
        also=_also(incident, life),
        first=round(growth.first),
        last=round(growth.last),
        growth_percent=percent,
        growth_per_hour=growth.per_hour,
        growth_per_request=growth.per_request,
        bytes_per_hour=0.0 if life is None else life.bytes_per_hour,
        decided_requests=requests,
        decided_seconds=seconds,
        relapses=0 if life is None else life.relapses,
        since=growth.since,
        detected_at=before.detected_at if before else now,
        confirmed_at=(now if before_at is None else before_at) if confirmed else None,
        snapshots=growth.snapshots,
    )


def shared_out(
    leaks: Mapping[str, Leak],
    told: Collection[str],
    weight: Callable[[Leak], float | None],
    heap_per_hour: Callable[[float], float],
) -> dict[str, Leak]:
    """The verdicts, with what those take that a setting has confirmed and no test has weighed.

    What the heap gains is gained once: each of them has a part of it, by what it gains an hour. That is bytes where a
    sample of each says what one weighs; else things, of which all weigh the same: what is left by memory that is
    measured in bytes.

    Args:
        leaks: of one process, by name.
        told: names of those that the tests have weighed.
        weight: bytes of one thing of a leak, by a sample; ``None``: not known.
        heap_per_hour: bytes that the heap gained an hour since a moment.
    """
    others = [leak for leak in leaks.values() if leak.state == "confirmed" and leak.name not in told]
    taken = sum(leak.bytes_per_hour for leak in leaks.values() if leak.name in told)
    left = [max(0.0, heap_per_hour(leak.since) - taken) for leak in others]
    pace = [max(0.0, leak.growth_per_hour) for leak in others]
    measured = [leak.kind in _IN_BYTES for leak in others]
    weights = [1.0 if is_measured else weight(leak) for leak, is_measured in zip(others, measured, strict=True)]
    if None in weights:
        known = sum(compress(pace, measured))
        things = sum(pace) - known
        each = max(0.0, max(left) - known) / things if things else 0.0
        weights = [1.0 if is_measured else each for is_measured in measured]
    gains = [gain * (each or 0.0) for gain, each in zip(pace, weights, strict=True)]
    found = dict(leaks)
    for leak, most, gain in zip(others, left, gains, strict=True):
        found[leak.name] = dataclasses.replace(leak, bytes_per_hour=most * gain / sum(gains) if gain else 0.0)
    return found


@valueclass(frozen=True, slots=True)
class Pace:
    """The steady growth of all memory of a process.

    Attributes:
        bytes_per_hour: how fast it grows.
        seconds: for how long it has been so.
    """

    bytes_per_hour: float
    seconds: float


def timed(leaks: Sequence[Leak], fill: Urgency, ahead: Ahead, whole: Pace | None = None) -> list[Leak]:
    """The verdicts with the time to the limit as of now, which all that speaks of them tells.

    The confirmed leak that takes most of the memory has the process's forecast, where there is one, and is as urgent as
    the memory in use; without a forecast it has the pace of the whole process, where that is known as well as its own
    and is more: a second leak that nobody has found yet fills the same limit. Each other one has the time at its own.

    Args:
        leaks: of one process.
        fill: how soon somebody has to act because of its memory in use.
        ahead: the limit that it reaches first.
        whole: how all memory grows; ``None``: not as a leak does.
    """
    confirmed = (leak for leak in leaks if leak.state == "confirmed")
    most = max(confirmed, key=lambda leak: leak.bytes_per_hour, default=None)
    found = []
    for leak in leaks:
        pace = _with_others(leak, whole) if leak is most else None
        soonest, latest = ahead.reached(pace or leak.bytes_per_hour, alone=leak is most)
        found.append(
            dataclasses.replace(
                leak,
                process_per_hour=pace if latest is None else None,
                hours_left=soonest,
                hours_latest=latest,
                shared_limit=ahead.shared,
                fill=fill if leak is most else "none",
            )
        )
    return found


def _with_others(leak: Leak, whole: Pace | None) -> float | None:
    """Bytes that the process takes an hour with this leak and whatever else grows; ``None``: this one alone is all."""
    if whole is None or not leak.bytes_per_hour or whole.seconds < _AS_LONG * leak.watched_seconds:
        return None
    return whole.bytes_per_hour if whole.bytes_per_hour > _CLEARLY_MORE * leak.bytes_per_hour else None


def heap_per_hour(history: History, since: float) -> float:
    """Bytes that the heap gained an hour since a moment, from the middle of the first third to that of the last.

    0 for half a minute: what a process loads at its start would make each leak urgent.
    """
    times, heap = history.series("timestamp"), history.series("heap_used_mb")
    known = [index for index in range(bisect_left(times, since), len(times)) if not math.isnan(heap[index])]
    third = len(known) // 3
    if not third or times[known[-1]] - times[known[0]] < SETTLED_SECONDS:
        return 0.0
    first, last = known[:third], known[-third:]
    hours = (median(times[index] for index in last) - median(times[index] for index in first)) / 3600
    gained = median(heap[index] for index in last) - median(heap[index] for index in first)
    return gained * MB / hours if hours > 0 else 0.0


def has_ended(leak: Leak, values: Sequence[float], load: Load) -> bool:
    """Whether a watched incident has ended: freed, or level for half as long as it grew.

    Args:
        leak: the last verdict.
        values: its series, a value for each snapshot of ``load``.
        load: the requests since the leak began.
    """
    if len(values) < 2 or values[-1] - leak.first < 0.5 * leak.growth:
        return True
    if load.served <= 0:
        top = max(values[: len(values) * 2 // 3])
        return min(values[len(values) * 2 // 3 :]) <= top and len(values) >= leak.snapshots
    stalled = stalled_for(values, load)
    return stalled > _STALLED * (load.served - stalled)


def _also(incident: Incident, life: Life | None) -> tuple[str, ...]:
    """What grows with it, wherever it is held; and the memory that it was reported as, so that its alert goes on."""
    names = dict.fromkeys(other.name for other in incident.others[:12])
    if life is not None:
        one = life.finding.population
        own = (one.name, *one.also) if one.discrete else one.beside
        names |= dict.fromkeys(name for name in own if not name.startswith("builtins."))
        names |= dict.fromkeys([life.was] if life.was else [])
    return tuple(name for name in names if name != incident.leader.name)


def _holder_before(growth: Growth, before: Leak | None) -> str:
    """What was known of the holder; that no path leads to them was shown of the objects of that name alone."""
    if before is None or (before.name != growth.name and before.holder.startswith(NO_PATH)):
        return ""
    return before.holder


def _confidence(incident: Incident, life: Life | None, *, told: bool, confirmed: bool) -> float:
    growth = incident.leader
    if confirmed:
        sure = max(_CONFIRMED, 0.7 + 0.2 * growth.steadiness + 0.09 * bool(incident.holder))
        if life is None or incident.is_held or growth.kind not in _UNSEEN_KINDS:
            return sure
        more = min(1.0, max(0.0, life.finding.share / CONFIRM - 1))
        return min(sure, _UNSEEN + (_UNSEEN_LARGE - _UNSEEN) * more)
    if told:
        return _SUSPECTED + 0.05 * growth.steadiness
    slows_down = growth.pace < _PACE or growth.steadiness < _STEADY
    return (0.3 + (_WATCHED - 0.3) * growth.steadiness) * (0.6 if slows_down else 1.0)


def _decided(growth: Growth, life: Life | None, config: Config) -> tuple[float | None, float | None]:
    """The requests, and seconds, until a suspicion is decided at this pace; ``None``: not known, or it rests."""
    if config.leak_confirm_requests is not None and growth.served:
        return max(0.0, config.leak_confirm_requests - growth.served), None
    if config.leak_confirm_hours is not None:
        return None, max(0.0, 3600 * (config.leak_confirm_hours - _hours(growth)))
    line = None if life is None else life.finding.growth
    if life is None or line is None or not life.finding.share or line.seconds <= 0 or life.finding.rests:
        return None, None
    more = max(0.0, line.seconds * (CONFIRM / life.finding.share - 1), CONFIRM_SECONDS - line.seconds)
    if life.finding.waits or not more:
        return None, None  # it has taken enough, and some evidence is missing: nobody knows for how long
    return line.fed * more / line.seconds if life.finding.feed == REQUESTS else None, more


def has_laboratory(config: Config) -> bool:
    """Whether somebody has set when growth is confirmed."""
    return config.leak_confirm_requests is not None or config.leak_confirm_hours is not None


def _is_confirmed_by_setting(incident: Incident, config: Config) -> bool:
    """Undiminished for as long as somebody has set, and no garbage that waits: a laboratory has no room to lose."""
    growth = incident.leader
    requests, hours = config.leak_confirm_requests, config.leak_confirm_hours
    long = (requests is not None and growth.served >= requests) or (hours is not None and _hours(growth) >= hours)
    survived = incident.is_held or growth.collections >= _COLLECTIONS
    return long and survived and growth.pace >= _PACE and growth.steadiness >= _STEADY


def _is_enough(growth: Growth, percent: float, config: Config) -> bool:
    """The contract's limit for what is counted by name; a part of it for what is a part of all the memory."""
    counted = growth.kind in {"objects", "container"}
    least = config.leak_growth_percent if counted else config.leak_growth_percent * _OF_ALL
    return growth.amount > config.leak_min_objects and percent > least


def _hours(growth: Growth) -> float:
    return growth.amount / growth.per_hour if growth.per_hour > 0 else 0.0


def _severity(growth: Growth, percent: float, config: Config) -> Severity:
    """The contract's table; low for what it would not call."""
    if growth.amount <= config.leak_min_objects:
        return "low"
    return severity_of(percent, config.leak_growth_percent) or "low"


def _each(growth: Growth) -> str:
    """What a request adds: things, or of memory how much, in the words of the headline."""
    value = growth.per_request or 0.0
    if growth.kind in _IN_BYTES:
        return f"Each request keeps {size(value / MB)}"
    rare = rarely(value)
    return f"One is kept for {rare}" if rare else f"Each request keeps {quantity(value)}"


def _evidence(incident: Incident, life: Life | None, route: FedBy) -> Iterator[str]:
    growth = incident.leader
    if life is not None:
        yield from life.finding.evidence
        if life.level:
            yield f"Has not grown for {life.level / 3600:.1f} h; resolved when it stays level for a day"
        if life.pauses:
            yield "Stood still for hours and grew on" + ("" if life.pauses == 1 else f", {life.pauses} times")
        if life.relapses:
            times = "once" if life.relapses == 1 else f"{life.relapses} times"
            yield f"Was over {times} and grew again"
        if life.was:
            yield f"First reported as {life.was}; {life.told} accounts for it since {utc(life.named)}"
        elif life.told in MEMORY and life.name != life.told:
            yield f"First reported as {life.told}; {life.name} accounts for it"
    else:
        yield f"Steady growth over {growth.snapshots} snapshots (last third {100 * growth.pace:.0f} % of the first)"
    if growth.per_request is not None and growth.served:
        yield f"{_each(growth)}, over {growth.served:,.0f} requests of all routes"
    if route.shares:
        parts = zip(route.routes, route.shares, strict=True)
        yield "Several routes share it: " + ", ".join(f"{name} with {round(100 * share)} %" for name, share in parts)
    if growth.collections:
        yield f"Survived {growth.collections} full collection{'s' * (growth.collections > 1)}"
