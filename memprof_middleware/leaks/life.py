"""What becomes of a verdict: suspected, confirmed, over, and there again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from memprof_middleware.analysis.memory import MEMORY
from memprof_middleware.leaks.judge import Finding, Present
from memprof_middleware.leaks.line import floor_of
from memprof_middleware.model.value import valueclass

State = Literal["suspected", "confirmed", "over"]
# Freed: below this part of what it gained. Level: for so many times what it grew over, and so long.
_FREED, _LEVEL_FED, _LEVEL_SECONDS = 0.5, 1.2, 2 * 3600.0
_LEVEL_STEPPED = 3.0
# What rises by no more than this part of its growth stands still.
_STILL = 0.05
# What passes the tests is the same growth if it is no small part of what was told.
_PART = 0.25
# What is known by its name explains memory that was told before if it has taken so much of it.
_EXPLAINS = 0.7
# Above its old height by this part of its growth it grows again; so many relapses, and only a restart ends it.
_AGAIN, _MOST_RELAPSES = 0.1, 2


@valueclass(frozen=True, slots=True)
class Life:
    """What was told of one population.

    Attributes:
        finding: the last one that passed.
        state: how it stands.
        top: its highest floor since.
        began: when it began, by the past's clock.
        relapses: how often it was over and grew again.
        reason: why it is over, in words.
    """

    finding: Finding
    state: State
    top: float
    began: float
    relapses: int = 0
    reason: str = ""

    @property
    def bytes_per_hour(self) -> float:
        """What it takes an hour."""
        growth = self.finding.growth
        return 0.0 if growth is None or growth.seconds <= 0 else self.finding.gained / growth.seconds * 3600

    @property
    def name(self) -> str:
        """Of what grows."""
        return self.finding.population.name


def live(
    lives: Mapping[str, Life], findings: Sequence[Finding], present: Callable[[Finding], Present | None]
) -> dict[str, Life]:
    """The lives after another look.

    What was told stays told until it is over: a test that is not passed for a while withdraws nothing.

    Args:
        lives: what was told so far, by name.
        findings: what the tests say now.
        present: what there is of a population now; ``None`` if it cannot be seen.
    """
    found: dict[str, Life] = {}
    taken: set[int] = set()
    for name, life in lives.items():
        index = next((i for i, one in enumerate(findings) if i not in taken and _same(one, life)), None)
        if index is not None:
            taken.add(index)
        found[name] = _next(life, None if index is None else findings[index], present(life.finding))
        if other := _explained_by(found[name], findings):
            found[name] = dataclasses.replace(found[name], state="over", reason=f"it is {other}")
    for index, finding in enumerate(findings):
        if index not in taken and finding.suspected and finding.growth is not None:
            now, start = present(finding), finding.growth.times[0]
            top = finding.growth.levels[-1] if now is None else now.values[-1]
            state: State = "confirmed" if finding.confirmed else "suspected"
            found[finding.population.name] = Life(finding, state, top, start)
    return found


def _explained_by(life: Life, findings: Sequence[Finding]) -> str:
    """What has become known of memory that nothing explained when it was told."""
    if life.state == "over" or life.name not in MEMORY:
        return ""
    if any(one.passed and _same(one, life) for one in findings):
        return ""
    return next(
        (
            one.population.name
            for one in findings
            if one.suspected and one.weighed and one.gained >= _EXPLAINS * life.finding.gained
        ),
        "",
    )


def _same(finding: Finding, life: Life) -> bool:
    ours = life.finding.population
    return finding.population.name in ours.names or ours.name in finding.population.names


def _next(life: Life, finding: Finding | None, now: Present | None) -> Life:
    if now is None or not now.values:
        return life
    floor = floor_of(now.values)
    begin = next((index for index, time in enumerate(now.times) if time >= life.began), 0)
    base, level = floor[min(begin, len(floor) - 1)], floor[-1]
    top = max(life.top, level)
    if life.state == "over":
        if level > life.top + _AGAIN * (life.top - base):
            last = life.finding if finding is None or not finding.passed else finding
            return dataclasses.replace(
                life, finding=last, state="confirmed", top=level, relapses=life.relapses + 1, reason=""
            )
        return life
    if finding is not None and finding.passed and finding.share >= _PART * life.finding.share:
        confirmed = life.state == "confirmed" or finding.confirmed
        return dataclasses.replace(life, finding=finding, state="confirmed" if confirmed else "suspected", top=top)
    if life.relapses < _MOST_RELAPSES and (reason := ended(floor, now, begin, life.finding)):
        return dataclasses.replace(life, state="over", top=top, reason=reason)
    return dataclasses.replace(life, top=top)


def ended(floor: Sequence[float], now: Present, begin: int, finding: Finding) -> str:
    """Why growth is over; empty while it is not.

    Freed: below half of what it gained. Level: for 1.2 times the feed that it grew over, and two hours; a pool that
    doubles stands still for as long as it has grown before.

    Args:
        floor: of the population.
        now: what there is of it.
        begin: the row at which it began to grow.
        finding: what was told of it.
    """
    base, end = floor[min(begin, len(floor) - 1)], len(floor) - 1
    gained = max(now.values[begin:], default=base) - base
    if not finding.population.discrete:  # a peak of other memory is no part of it
        gained = min(gained, finding.gained)
    if gained <= 0 or floor[-1] - base < _FREED * gained:
        return "it was freed"
    still = floor[-1] - _STILL * gained
    stopped = next((index for index, level in enumerate(floor) if index >= begin and level >= still), end)
    grown, level = now.feed[stopped] - now.feed[begin], now.feed[end] - now.feed[stopped]
    seconds = now.times[end] - now.times[stopped]
    long = _LEVEL_STEPPED if finding.stepped else _LEVEL_FED
    if level > 0 and level >= long * grown and seconds >= _LEVEL_SECONDS:
        return f"it is full: level for {seconds / 3600:.1f} h"
    return ""
