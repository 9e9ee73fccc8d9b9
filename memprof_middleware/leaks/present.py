"""The present state of a reported population, and the end of its growth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from memprof_middleware.analysis.memory import MEMORY
from memprof_middleware.leaks.account import in_use
from memprof_middleware.leaks.cohorts import ObservedCohort
from memprof_middleware.leaks.feed import FAILED, TIME, is_proven
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.line import STILL, Growth, floor_of
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.survival import survival, turned_over
from memprof_middleware.model.value import valueclass

# Freed: below this part of what it gained. Nearly all of it: below this.
_FREED, _GONE = 0.5, 0.1
# What has lost more than half, and not all, must stand still for this part of what it grew over, and so long.
_CALM_FED, _CALM_SECONDS = 0.5, 1800.0
# Level: for so many times what it grew over, and so long. Steps that double stand still for as long as all before.
_LEVEL_FED, _LEVEL_STEPPED, _LEVEL_SECONDS = 1.2, 3.0, 2 * 3600.0
# What stands still with all that is in it may go on with the next run of a job, or with tomorrow's office hours.
_DAY_SECONDS = 24 * 3600.0


@valueclass(frozen=True, slots=True)
class Present:
    """A population at each row of the past.

    Attributes:
        values: how much there is of it.
        times: of the rows.
        feed: what feeds it, so far.
        members: what else is counted of it: of a container the types that it holds.
        memory: all memory in use, where nobody has weighed it and it was reported as memory, too; empty: it was not.
        oldest: what stands for the oldest entry at each row.
        cohorts: what has become of those that were there at earlier looks.
    """

    values: Sequence[float]
    times: Sequence[float]
    feed: Sequence[float]
    members: tuple[Sequence[float], ...] = ()
    memory: Sequence[float] = ()
    oldest: Sequence[int | None] = ()
    cohorts: Sequence[ObservedCohort] = ()


def present(past: Past, finding: Finding) -> Present | None:
    """Return a population as it is now, whether it was judged or not; ``None`` if it cannot be seen.

    Memory that nothing explains is seen by all memory: what is left of it by the account changes with the account.
    """
    population = finding.population
    values: Sequence[float] = past.series(population.name) if population.discrete else in_use(past)
    if not values:
        return None
    if population.kind == "objects" and finding.growth is not None and past.counted_from > finding.growth.times[0]:
        return None  # what was counted before a gc.freeze() cannot be compared with what is counted now
    times = past.column("times")
    feeds = {**past.routes(), TIME: times, FAILED: past.column("failed")}
    feed = feeds.get(finding.feed, past.column("requests"))
    if not population.discrete:
        return Present(values, times, feed)
    members = tuple(series for name in population.also if (series := past.series(name)))
    memory = in_use(past) if population.names & MEMORY else ()
    oldest, cohorts = past.oldest(population.name), past.cohorts.of(population.name)
    return Present(values, times, feed, members, memory, oldest, cohorts)


def ended(floor: Sequence[float], now: Present, begin: int, finding: Finding) -> str:
    """Return why growth is over; empty while it is not.

    It is over when it was freed, at two looks in a row and all that belongs to it; what is left of it must not go on
    growing. Or when it is level for 1.2 times the feed that it grew over, and two hours, and it is known why: what was
    there goes, so as much comes as goes; or what has fed it for certain feeds it no more. Else when it is level for a
    day. A pool that doubles stands still for as long as it has grown before.

    Args:
        floor: of the population.
        now: what there is of it.
        begin: the row at which it began to grow.
        finding: what was reported of it.
    """
    reason = _ended(floor, now, begin, finding)
    if not reason or not now.memory:
        return reason
    # It stood for memory: a batch that was freed beside a leak of C code has not taken the leak with it.
    memory = dataclasses.replace(finding, population=dataclasses.replace(finding.population, kind="native"))
    rest = dataclasses.replace(now, values=now.memory, members=(), memory=(), oldest=(), cohorts=())
    return reason if _ended(floor_of(now.memory), rest, begin, memory) else ""


def _ended(floor: Sequence[float], now: Present, begin: int, finding: Finding) -> str:
    base, gained = floor[min(begin, len(floor) - 1)], _gained(floor, now, begin, finding)
    left = max(now.values[-2:]) - base
    if gained <= 0 or left < _FREED * gained:
        gone = all(_is_freed(series, begin) for series in now.members)
        return "it was freed" if gone and (left <= _GONE * gained or _stands_still(now, begin, gained)) else ""
    seconds, stopped = _level(floor, now, begin, gained, stepped=finding.stepped)
    if seconds >= _DAY_SECONDS or (seconds and _is_known_why(floor, now, begin, stopped, finding.growth)):
        return f"it is full: level for {seconds / 3600:.1f} h"
    return ""


def level_for(floor: Sequence[float], now: Present, begin: int, finding: Finding) -> float:
    """For how many seconds it has stood still, where that is long for what it has grown; else 0.

    Args:
        floor: of the population.
        now: what there is of it.
        begin: the row at which it began to grow.
        finding: what was reported of it.
    """
    return _level(floor, now, begin, _gained(floor, now, begin, finding), stepped=finding.stepped)[0]


def _gained(floor: Sequence[float], now: Present, begin: int, finding: Finding) -> float:
    base = floor[min(begin, len(floor) - 1)]
    gained = max(now.values[begin:], default=base) - base
    # A peak of other memory is no part of it.
    return gained if finding.population.discrete else min(gained, finding.gained)


def _level(floor: Sequence[float], now: Present, begin: int, gained: float, *, stepped: bool) -> tuple[float, int]:
    """The seconds for which it is level, if it would have grown in them, else 0; and the row at which it stopped."""
    end = len(floor) - 1
    if floor[-1] - floor[min(begin, end)] < _FREED * gained:
        return 0.0, end  # it fell, and that is not certain yet
    still = floor[-1] - STILL * gained
    stopped = next((index for index, level in enumerate(floor) if index >= begin and level >= still), end)
    grown, fed = now.feed[stopped] - now.feed[begin], now.feed[end] - now.feed[stopped]
    seconds = now.times[end] - now.times[stopped]
    long = fed > 0 and fed >= (_LEVEL_STEPPED if stepped else _LEVEL_FED) * grown and seconds >= _LEVEL_SECONDS
    return seconds if long else 0.0, stopped


def _is_known_why(floor: Sequence[float], now: Present, begin: int, stopped: int, growth: Growth | None) -> bool:
    """Whether it is known why it stands still: as much goes as comes, or what feeds it feeds it no more."""
    left = None if growth is None else survival(now.cohorts, growth, now.values, now.times)
    if turned_over(now.oldest[stopped:]) or (left is not None and left.dies_out):
        return True
    grew = slice(begin, stopped + 1)
    return is_proven(now.times[grew], floor[grew], now.feed[grew])


def _is_freed(values: Sequence[float], begin: int) -> bool:
    start = min(begin, len(values) - 1)
    base = values[start]
    return max(values[-2:]) - base < _FREED * (max(values[start:]) - base) or max(values[start:]) <= base


def _stands_still(now: Present, begin: int, gained: float) -> bool:
    """Whether what is left after a fall does not grow: what lives for a time may hide what stays for ever."""
    values = now.values
    last = len(values) - 1
    peak = max(range(begin, last + 1), key=values.__getitem__)
    other = (row for row in range(last, peak - 1, -1) if abs(values[row] - values[last]) > STILL * gained)
    since = next(other, peak)
    calm = now.feed[last] - now.feed[since] >= _CALM_FED * (now.feed[peak] - now.feed[begin])
    return calm and now.times[last] - now.times[since] >= _CALM_SECONDS
