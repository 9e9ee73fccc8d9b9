"""Learn thresholds from the usual figures of an application, and the change with a release.

Usual is what nineteen hours of twenty stay below, and the spread how far that is above the middle hour: neither is
moved by a bad hour, and the climb of every morning is in both, which a median and its deviation would leave out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from memprof_middleware.analysis.median import median
from memprof_middleware.config import Config
from memprof_middleware.limits.levels import Level, Levels
from memprof_middleware.model.learned import Hour, Learned, Release

LEAST_HOURS = 24  # a day, so that the load of every hour is in
MOST_HOURS = 72  # the first days of a release; what comes later is judged, not learned
MOST_RELEASES = 5
_FEW_HOURS = 3  # enough to compare two releases
_MOST_OF_THEM = 0.95
_SPREADS = 0.5
# Never looser than the limit allows, in percent of it: below these there must be time to act.
_WARNING_CAP, _CRITICAL_CAP = 90.0, 95.0
# A warning is at least a quarter and two points above what is usual: less is no news.
_WARNING_FACTOR, _WARNING_POINTS = 1.25, 2.0
_LEAST_GROWTH = 2.0  # percent per hour
_GROWTH_HOURS = 6.0  # growth must be reported before it can reach the limit in this many hours
_GC_FACTOR = 2.0


class ReleaseChange(NamedTuple):
    """The memory of a worker of this release, and of one of the release before at the same age."""

    release: str
    before: str
    heap_mb: float
    before_mb: float

    def __str__(self) -> str:
        """A sentence: ``release 1.5 uses 38 MB more per worker than 1.4``."""
        change = self.heap_mb - self.before_mb
        sizes = f"{self.heap_mb:.0f} against {self.before_mb:.0f} MiB"
        if abs(change) < 1:
            return f"release {self.release} uses as much per worker as {self.before} ({sizes})"
        return (
            f"release {self.release} uses {abs(change):.0f} MiB {'more' if change > 0 else 'less'} per worker than "
            f"{self.before} ({sizes} at the same age)"
        )


def learn(learned: Learned, release: str, hour: Hour, now: float) -> Learned:
    """The learned figures with one more hour of a release.

    One that was not seen before begins with it; one that was rolled back to goes on where it ended.
    """
    known = next((one for one in learned.releases if one.name == release), Release(name=release, since=now))
    if len(known.hours) < MOST_HOURS:
        known = dataclasses.replace(known, hours=(*known.hours, hour))
    others = [one for one in learned.releases if one.name != release][-(MOST_RELEASES - 1) :]
    return Learned(releases=tuple(sorted((*others, known), key=lambda one: one.since)))


def levels_of(config: Config, learned: Learned) -> Levels:
    """The thresholds in force.

    Args:
        config: a threshold that is not at its default always wins.
        learned: what is known.
    """
    hours, source = _evidence(learned, config.release or "")
    given = {f.name: getattr(config, f.name) != f.default for f in dataclasses.fields(config)}

    def level(setting: str, found: Callable[[], Level | None]) -> Level:
        value = getattr(config, setting)
        if given[setting]:
            return Level(value, "as set")
        learned_level = found() if len(hours) >= LEAST_HOURS else None
        return learned_level or Level(value, source if len(hours) < LEAST_HOURS and source else "default")

    heap, shared = ([hour.heap_percent for hour in hours], [hour.shared_percent for hour in hours])
    warning = level("heap_warning_percent", lambda: _warning(heap, source))
    shared_warning = level("heap_warning_percent", lambda: _warning(shared, source))
    critical = level("heap_critical_percent", lambda: _critical(warning))
    shared_critical = level("heap_critical_percent", lambda: _critical(shared_warning))
    return Levels(
        *_ordered(warning, critical),
        *_ordered(shared_warning, shared_critical),
        level("heap_growth_percent_per_hour", lambda: _growth([hour.growth_percent for hour in hours], heap, source)),
        None
        if given["gc_spike_factor"] or len(hours) < LEAST_HOURS
        else _gc([hour.gc_per_hour for hour in hours], source),
    )


def release_change(learned: Learned, release: str) -> ReleaseChange | None:
    """The change with a release; ``None`` before a few hours of both releases are known."""
    names = [one.name for one in learned.releases]
    if release not in names[1:]:
        return None
    before, now = learned.releases[names.index(release) - 1 : names.index(release) + 1]
    oldest = max((hour.age_hours for hour in now.hours), default=0.0)
    # A worker grows older and larger: the last release is looked at when its workers were as young.
    young = [hour for hour in before.hours if hour.age_hours <= oldest + 0.5]
    sizes = [
        [hour.heap_mb for hour in hours if hour.heap_mb is not None]
        for hours in (now.hours, young if len(young) >= _FEW_HOURS else before.hours)
    ]
    if min(map(len, sizes)) < _FEW_HOURS:
        return None
    return ReleaseChange(now.name, before.name, median(sizes[0]), median(sizes[1]))


def _evidence(learned: Learned, release: str) -> tuple[list[Hour], str]:
    """The hours that thresholds rest on, and their origin in words; a young release borrows from the one before."""
    present = next((one for one in learned.releases if one.name == release), None)
    own = list(present.hours) if present else []
    prior = next((one for one in reversed(learned.releases) if one.name != release and one.hours), None)
    name = f"release {release}" if release else "this application"
    missing = LEAST_HOURS - len(own)
    if missing > 0 and prior is not None:
        borrowed = list(prior.hours[-missing:])
        if len(own) + len(borrowed) >= LEAST_HOURS:
            return [*borrowed, *own], f"{_hours(own)} of {name} and {len(borrowed)} of {prior}"
    if missing > 0:
        return own, f"default; {name} is being learned, {len(own)} of {LEAST_HOURS} hours"
    return own, f"{_hours(own)} of {name}"


def _hours(hours: Sequence[Hour]) -> str:
    return "1 hour" if len(hours) == 1 else f"{len(hours)} hours"


class _Usual(NamedTuple):
    """The value that most hours stay below, and the median."""

    high: float
    middle: float

    @property
    def above(self) -> float:
        return self.high + _SPREADS * (self.high - self.middle)


def _usual(values: Sequence[float | None]) -> _Usual | None:
    """``None`` with too few hours in which it was measured."""
    known = sorted(value for value in values if value is not None)
    if len(known) < LEAST_HOURS // 2:
        return None
    return _Usual(known[int(_MOST_OF_THEM * (len(known) - 1))], median(known))


def _warning(percents: Sequence[float | None], source: str) -> Level | None:
    usual = _usual(percents)
    if usual is None:
        return None
    wanted = max(usual.above, _WARNING_FACTOR * usual.high, usual.high + _WARNING_POINTS)
    capped = ", the most that the limit allows" if wanted > _WARNING_CAP else ""
    return Level(
        min(wanted, _WARNING_CAP),
        f"usually up to {usual.high:.1f} % of the limit, {usual.middle:.1f} % in the middle, by {source}{capped}",
        learned=True,
    )


def _critical(warning: Level) -> Level | None:
    """Halfway from the warning to the last moment to act."""
    if not warning.learned:
        return None
    middle = (warning.value + _CRITICAL_CAP) / 2
    return Level(middle, f"halfway from the warning to {_CRITICAL_CAP:.0f} %", learned=True)


def _ordered(warning: Level, critical: Level) -> tuple[Level, Level]:
    """A threshold that was set may lie on the wrong side of one that was learned: the critical one comes later."""
    if critical.value > warning.value:
        return warning, critical
    if warning.learned:
        return Level(0.95 * critical.value, "just below the critical one"), critical
    return warning, Level((warning.value + 100.0) / 2, "halfway from the warning to the limit")


def _growth(rates: Sequence[float | None], percents: Sequence[float | None], source: str) -> Level | None:
    usual, heap = _usual(rates), _usual(percents)
    if usual is None:
        return None
    wanted = max(usual.above, _LEAST_GROWTH)
    reason = f"usually up to {usual.high:.1f} % per hour, by {source}"
    if heap is not None and heap.high > 0:
        room = max(1.0, 100.0 * (_CRITICAL_CAP - heap.high) / heap.high / _GROWTH_HOURS)
        if wanted > room:
            reason += f"; more would reach the limit within {_GROWTH_HOURS:.0f} hours"
            wanted = room
    return Level(wanted, reason, learned=True)


def _gc(rates: Sequence[float | None], source: str) -> Level | None:
    usual = _usual(rates)
    if usual is None or usual.high <= 0:
        return None  # nothing to compare with: the last few rates judge
    return Level(
        max(usual.above, _GC_FACTOR * usual.high),
        f"usually up to {usual.high:.0f} full collections per hour, by {source}",
        learned=True,
    )
