"""From an incident to a verdict: how bad, how sure, since when, and whether it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memprof_middleware.analysis.retention import Load, stalled_for
from memprof_middleware.config import Config
from memprof_middleware.leaks.detector import severity_of
from memprof_middleware.leaks.grouping import OUTSIDE
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.model import Leak, LeakState, Severity

# Confidence at which a suspicion is a verdict.
CONFIRMED = 0.9
# What grows ever more slowly is a cache that fills; so is what grows by fits and starts.
_PACE, _STEADY = 0.7, 0.4
# What has survived so many full collections is no garbage that waits for one.
_COLLECTIONS = 2
# What cannot be a cache is confirmed so many times sooner.
_NO_CACHE = 3.0
# A whole process's blocks or bytes grow by a smaller share than one type's objects do.
_OF_ALL = 0.4
# Growth is over when its floor has not risen for so large a part of the requests (or snapshots) that it went on for.
_STALLED = 0.5


def verdict_of(incident: Incident, config: Config, before: Leak | None, route: str) -> Leak:
    """The verdict on an incident.

    It is suspected at first. It is confirmed when growth has gone on undiminished for ``leak_confirm_requests`` or
    ``leak_confirm_hours``, longer than caches take to fill, and when it is no garbage: it is held, or has survived full
    collections. What was confirmed stays so until it is over.

    Args:
        incident: what grows.
        config: the limits.
        before: the last verdict on the same incident.
        route: whose requests make it grow.
    """
    growth = incident.leader
    percent = 100.0 * growth.amount / max(growth.first, 1)
    notable = growth.amount > config.leak_min_objects and percent > _notable_percent(growth, config)
    confidence = _confidence(incident, config) if notable else min(0.85, _confidence(incident, config))
    if before is not None and before.state == "confirmed":
        confidence = max(confidence, CONFIRMED)
    state: LeakState = "confirmed" if confidence >= CONFIRMED else "suspected"
    return Leak(
        name=growth.name,
        kind=growth.kind,
        state=state,
        severity=_severity(growth, percent, config),
        confidence=round(confidence, 2),
        notable=notable or state == "confirmed",
        holder=incident.holder or (before.holder if before else ""),
        route=route or (before.route if before else ""),
        evidence=tuple(_evidence(incident)),
        also=tuple(other.name for other in incident.others[:12]),
        first=round(growth.first),
        last=round(growth.last),
        growth_percent=percent,
        growth_per_hour=growth.per_hour,
        growth_per_request=growth.per_request,
        since=growth.since,
        detected_at=before.detected_at if before else growth.since + 3600 * _hours(growth),
        snapshots=growth.snapshots,
    )


def has_ended(leak: Leak, values: Sequence[float], load: Load) -> bool:
    """Whether what grew has stopped: freed, or level for half as long as it grew.

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


def _confidence(incident: Incident, config: Config) -> float:
    """0.3 for a suspicion; more for each of: evenness, a known holder, survival of collections, and time."""
    growth = incident.leader
    horizon = max(growth.served / config.leak_confirm_requests, _hours(growth) / config.leak_confirm_hours)
    if incident.root == OUTSIDE or incident.root.endswith("__traceback__"):
        horizon *= _NO_CACHE  # no cache is built like that
    horizon = min(1.0, horizon)
    held = bool(incident.root) and incident.root != OUTSIDE
    survived = held or growth.collections >= _COLLECTIONS
    confidence = 0.3 + 0.2 * growth.steadiness + 0.1 * bool(incident.holder) + 0.1 * survived + 0.15 * horizon
    slows_down = growth.pace < _PACE or growth.steadiness < _STEADY
    if horizon >= 1 and survived and not slows_down:
        return max(CONFIRMED, min(0.99, confidence + 0.15))
    return min(confidence, 0.85) * (0.6 if slows_down else 1.0)


def _notable_percent(growth: Growth, config: Config) -> float:
    """The contract's limit for what is counted by name; a part of it for what is a part of all the memory."""
    counted = growth.kind in {"objects", "container"}
    return config.leak_growth_percent if counted else config.leak_growth_percent * _OF_ALL


def _hours(growth: Growth) -> float:
    return growth.amount / growth.per_hour if growth.per_hour > 0 else 0.0


def _severity(growth: Growth, percent: float, config: Config) -> Severity:
    """The contract's table; low for what it would not call."""
    if growth.amount <= config.leak_min_objects:
        return "low"
    return severity_of(percent, config.leak_growth_percent) or "low"


def _evidence(incident: Incident) -> Iterator[str]:
    growth = incident.leader
    if growth.per_request is not None and growth.served:
        yield f"each request adds {growth.per_request:.3g}, over {growth.served:,.0f} requests"
    pace = f"{100 * growth.pace:.0f} %"
    yield f"the floor rises over {growth.snapshots} snapshots, of late at {pace} of its first pace"
    if growth.collections:
        yield f"it has survived {growth.collections} full collections"
    if incident.others:
        yield f"{len(incident.others)} more grow with it"
