"""The leaks that were open in a predecessor: this process has them itself, or shows that they are over.

Loaded where a worker has replaced another one. The code is the same, so a confirmed leak goes on, most likely. It is
over only when a process that had it would have shown it by now.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from memprof_middleware.config import Config
from memprof_middleware.leaks.finding import CONFIRM_SECONDS
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.room import CONFIRM, Room
from memprof_middleware.model import Leak
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.headline import holder
from memprof_middleware.text.words import duration

_BUILTINS = "builtins."
_COUNTED = frozenset({"objects", "container"})
# Of so many things that are to be expected none is there, or no more than this part of them: nothing keeps them.
_LEAST, _PART = 32.0, 0.25


@valueclass(frozen=True, slots=True)
class Outcome:
    """What has become of the leaks of a predecessor.

    Attributes:
        found: the verdicts of this process by name, without those that a leak of the predecessor stands for.
        open: the leaks of the predecessor that are neither found here nor over.
        known: for the name of each leak that is found here the verdict on it.
        reasons: why others are over, by name.
    """

    found: dict[str, Leak]
    open: tuple[Leak, ...]
    known: dict[str, Leak]
    reasons: dict[str, str]


def judged(
    inherited: Sequence[Leak],
    found: Mapping[str, Leak],
    past: Past,
    room: Room | None,
    config: Config,
) -> Outcome:
    """Judge the leaks of a predecessor.

    A confirmed one is this process's own once it is confirmed here, under whatever name. Until then it is open, with
    the figures that it has here.

    Args:
        inherited: the leaks, as they were told last.
        found: the verdicts of this process, by name.
        past: the past of this process.
        room: of this process; ``None``: not known.
        config: the limits.
    """
    left, open_ = dict(found), list[Leak]()
    known: dict[str, Leak] = {}
    reasons: dict[str, str] = {}
    for leak in inherited:
        if leak.state != "confirmed":
            if leak.name not in left and past.size < config.leak_min_snapshots:
                open_.append(leak)
            continue
        own = max((one for one in left.values() if _is_same(one, leak)), key=_how_sure, default=None)
        if own is not None and own.state == "confirmed":
            if leak.name not in {own.name, *own.also}:  # its alert goes on
                own = dataclasses.replace(own, also=(*own.also, leak.name))
            left[own.name] = known[leak.name] = own
        elif _is_over(leak, own, past, room, config):
            lived = duration(past.now())
            reasons[leak.name] = f"it has not grown for {lived} in the worker that replaced the leaking one"
        else:
            open_.append(leak if own is None else _here(leak, own))
            left = {name: one for name, one in left.items() if not _is_same(one, leak)}
    return Outcome(left, tuple(open_), known, reasons)


def _is_same(one: Leak, leak: Leak) -> bool:
    """Whether two verdicts are on one incident: of one name, of one holder, or one grows with the other."""
    if one.name == leak.name or (holder(one) and holder(one) == holder(leak)):
        return True
    return (one.name in leak.also and not one.name.startswith(_BUILTINS)) or (
        leak.name in one.also and not leak.name.startswith(_BUILTINS)
    )


def _how_sure(one: Leak) -> tuple[bool, bool, float]:
    return one.state == "confirmed", one.notable, one.confidence


def _here(leak: Leak, own: Leak) -> Leak:
    """The leak with the figures that it has in this process."""
    if (own.kind, own.name) != (leak.kind, leak.name):
        return leak
    return dataclasses.replace(
        leak,
        first=own.first,
        last=own.last,
        growth_percent=own.growth_percent,
        growth_per_hour=own.growth_per_hour,
        growth_per_request=own.growth_per_request,
        since=own.since,
        snapshots=own.snapshots,
    )


def _is_over(leak: Leak, own: Leak | None, past: Past, room: Room | None, config: Config) -> bool:
    """Whether this process would have shown it by now.

    That is so when it would have taken as much of the room as confirms a leak, and is not even suspected. What is
    counted shows sooner that it does not grow.
    """
    if not past.size or (own is not None and own.notable):
        return False
    expected = _expected(leak, past)
    enough = leak.growth_per_hour * _least_seconds(config) / 3600
    by_requests = config.leak_confirm_requests is not None and _gained(past.column("requests")) >= (
        config.leak_confirm_requests
    )
    if not by_requests and (past.now() < _least_seconds(config) or expected < enough):
        return False
    if leak.growth_per_hour > 0 and leak.bytes_per_hour and room is not None:
        taken = expected * leak.bytes_per_hour / leak.growth_per_hour
        if taken >= CONFIRM * room.total:
            return True
    elif own is None and expected >= leak.growth:
        return True
    if leak.kind not in _COUNTED or expected < _LEAST or (leak.kind == "container" and not past.containers):
        return False
    return _gained(past.series(leak.name)) < _PART * expected


def _expected(leak: Leak, past: Past) -> float:
    """What would have come in this process by now, if it leaked as its predecessor did."""
    if leak.growth_per_request is None:
        return leak.growth_per_hour * past.now() / 3600
    expected = leak.growth_per_request * _gained(past.column("requests"))
    if not leak.routes:
        return expected
    served = past.routes()
    each = leak.growth_per_request if leak.route_per_request is None else leak.route_per_request.value
    return min(expected, each * sum(_gained(served.get(route, ())) for route in leak.routes))


def _gained(values: Sequence[float]) -> float:
    return values[-1] - min(values) if values else 0.0


def _least_seconds(config: Config) -> float:
    """Nothing is confirmed before, nor over."""
    hours = config.leak_confirm_hours
    return CONFIRM_SECONDS if hours is None else min(CONFIRM_SECONDS, 3600 * hours)
