"""The states of a reported population: suspected, confirmed, resolved, and recurred."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from memprof_middleware.analysis.memory import MEMORY, NATIVE, UNTRACKED
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.line import floor_of
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.present import Present, ended, level_for
from memprof_middleware.leaks.room import CONFIRM, NEARLY
from memprof_middleware.model.value import valueclass

State = Literal["suspected", "confirmed", "over"]
# What the account leaves unexplained goes by the allocator that has most of it.
_REST = frozenset({NATIVE, UNTRACKED})
# A finding that passes the tests is the same growth if it is no small part of the growth that was reported.
_PART = 0.25
# A population explains memory that was reported before it was known if it has taken so much of it.
_EXPLAINS = 0.7
# Above its old height by this part of its growth it grows again; so many relapses, and only a restart ends it.
_AGAIN, _MOST_RELAPSES = 0.1, 2
# It is confirmed when the tests were passed at each look for so large a part of the time that it has grown, and at two
# looks at the least: weights and beginnings are estimated anew at each, and one of many estimates looks like anything.
_HELD = 1 / 30
# What is not quite as large, and passes them at each look for such a part of the time, is no chance either.
_HELD_LONG = 1 / 6
# So many lives are kept, the open ones and the last that are over.
_MOST_LIVES = 64


@valueclass(frozen=True, slots=True)
class Life:
    """The report on one population.

    Attributes:
        finding: the last one that passed.
        state: how it stands.
        top: its highest minimum since.
        began: when it began, by the past's clock.
        relapses: how often it was over and grew again.
        reason: why it is over, in words.
        told: the name under which it is reported, until it is over; empty: not reported yet.
        was: the name of the memory that it was reported as, before its owner was known; empty: it was not.
        named: when its owner was known, in seconds since the epoch.
        seen: when it was looked at last, by the past's clock.
        level: for how many seconds it has stood still, where that is long for what it has grown; else 0.
        rested: the height at which it did so last; ``None``: it did not, or has left it.
        pauses: how often it stood still for long and grew on.
        proven: it was confirmed.
        since: the first of the looks, by the past's clock, since which it has passed each; ``None``: not the last one.
    """

    finding: Finding
    state: State
    top: float
    began: float
    relapses: int = 0
    reason: str = ""
    told: str = ""
    was: str = ""
    named: float = 0.0
    seen: float = 0.0
    level: float = 0.0
    rested: float | None = None
    pauses: int = 0
    proven: bool = False
    since: float | None = None

    @property
    def bytes_per_hour(self) -> float:
        """Bytes that it takes an hour, from its beginning until now: what stands still has no pace to go on with."""
        growth = self.finding.growth
        if growth is None or growth.seconds <= 0:
            return 0.0
        return self.finding.gained / max(growth.seconds, self.seen - growth.times[0]) * 3600

    @property
    def name(self) -> str:
        """The name of the population that grows."""
        return self.finding.population.name

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.state != "over"

    @property
    def names(self) -> frozenset[str]:
        """All names of what grows, and the one under which it was reported."""
        return self.finding.population.names | ({self.told, self.was} - {""})

    def under(self, name: str, now: float) -> Life:
        """The same, reported under a name.

        Args:
            name: of the incident.
            now: seconds since the epoch.
        """
        if not self.told or name == self.told or self.told not in MEMORY:
            return dataclasses.replace(self, told=name)
        return dataclasses.replace(self, told=name, was=self.told, named=now)


def live(
    lives: Mapping[str, Life], findings: Sequence[Finding], present: Callable[[Finding], Present | None]
) -> dict[str, Life]:
    """Return the lives after another look.

    What was reported stays so until it is over: a test that is not passed for a while withdraws nothing. Memory whose
    owner was not known goes on as its owner, when that is found: the growth has not ended.

    Args:
        lives: what was reported so far.
        findings: what the tests say now.
        present: what there is of a population now; ``None`` if it cannot be seen.
    """
    found: dict[str, Life] = {}
    taken: set[int] = set()
    matches = _matches(lives, findings)
    for key, life in lives.items():
        index = matches.get(key)
        if index is None or not findings[index].passed:
            owner = _explained_by(life, findings, {*taken, *matches.values()})
            index = index if owner is None else owner
        finding = None if index is None else findings[index]
        if index is not None:
            taken.add(index)
        found[key] = _next(life, finding, present(life.finding))
    for index, finding in enumerate(findings):
        if index not in taken and finding.suspected and finding.growth is not None:
            now, start = present(finding), finding.growth.times[0]
            top = finding.growth.levels[-1] if now is None else now.values[-1]
            at = None if now is None else now.times[-1]
            found[_free_key(finding.population.name, found)] = Life(finding, "suspected", top, start, since=at)
    return _bounded(found)


def _free_key(name: str, lives: Mapping[str, Life]) -> str:
    """The name, unless an open life that began under it goes on as something else."""
    while name in lives and lives[name].is_open:
        name += "'"
    return name


def _matches(lives: Mapping[str, Life], findings: Sequence[Finding]) -> dict[str, int]:
    """For each life the finding on the same population: of one name, else of one that goes by its name."""
    found: dict[str, int] = {}
    for same in (_is_named_alike, _same):
        for key, life in lives.items():
            if key not in found:
                free = (i for i, one in enumerate(findings) if i not in found.values() and same(one, life))
                if (index := next(free, None)) is not None:
                    found[key] = index
    return found


def _explained_by(life: Life, findings: Sequence[Finding], taken: set[int]) -> int | None:
    """The population that explains memory which was unexplained when it was reported."""
    if not life.is_open or life.name not in MEMORY:
        return None
    candidates = (
        index
        for index, one in enumerate(findings)
        if index not in taken and one.suspected and one.weighed and one.gained >= _EXPLAINS * life.finding.gained
    )
    return next(candidates, None)


def _is_named_alike(finding: Finding, life: Life) -> bool:
    return finding.population.name == life.name


def _same(finding: Finding, life: Life) -> bool:
    ours, theirs = life.finding.population, finding.population
    if not ours.discrete and not theirs.discrete and (ours.names & theirs.names & MEMORY or _is_rest(ours, theirs)):
        return True  # the same memory, whichever type that grows in step leads it now
    return theirs.name in ours.names or ours.name in theirs.names


def _is_rest(*both: Population) -> bool:
    """Whether both are what the account leaves unexplained: there is one rest, of whichever allocator it is now."""
    return all(one.names & _REST for one in both)


def _next(life: Life, finding: Finding | None, now: Present | None) -> Life:
    if now is None or not now.values or now.times[0] > life.began:
        return life
    life = dataclasses.replace(life, seen=now.times[-1], proven=life.proven or life.state == "confirmed")
    floor = floor_of(now.values)
    begin = next((index for index, time in enumerate(now.times) if time >= life.began), 0)
    base, level = floor[min(begin, len(floor) - 1)], floor[-1]
    top = max(life.top, level)
    if not life.is_open:
        if level > life.top + _AGAIN * (life.top - base) and _counts_again(life, finding):
            last = life.finding if finding is None or not finding.passed else finding
            return dataclasses.replace(
                life, finding=last, state="confirmed", top=level, relapses=life.relapses + 1, reason=""
            )
        return life
    goes_on = life.rested is not None and level > life.rested + _AGAIN * (life.rested - base)
    if goes_on and _counts_again(life, finding):
        life = dataclasses.replace(life, state="confirmed", level=0.0, rested=None, pauses=life.pauses + 1)
    if finding is not None and finding.passed and finding.gained >= _PART * life.finding.gained:
        confirmed = life.state == "confirmed" or _holds(life, finding)
        if finding.population.name != life.name and finding.growth is not None:  # another series, another height
            top = finding.growth.levels[-1]
        finding = _as_before(finding, life)
        state: State = "confirmed" if confirmed else "suspected"
        since = life.seen if life.since is None else life.since
        return dataclasses.replace(life, finding=finding, state=state, top=top, level=0.0, since=since)
    life = dataclasses.replace(life, since=None)
    if life.relapses < _MOST_RELAPSES and (reason := ended(floor, now, begin, life.finding)):
        return dataclasses.replace(life, state="over", top=top, reason=reason)
    still = level_for(floor, now, begin, life.finding)
    return dataclasses.replace(life, top=top, level=still, rested=top if still else life.rested)


def _holds(life: Life, finding: Finding) -> bool:
    """Whether the tests were passed at each look for long enough, by how large it is."""
    if life.since is None or finding.growth is None or not finding.complete:
        return False
    if finding.share < CONFIRM and (finding.share < NEARLY or finding.stepped):
        return False  # of steps that double half is one that has not come
    held = _HELD if finding.share >= CONFIRM else _HELD_LONG
    return 0 < life.seen - life.since >= held * finding.growth.seconds


def _counts_again(life: Life, finding: Finding | None) -> bool:
    """Whether growth after a rest or an end is certain: that it goes on proves it, but not that it is large enough."""
    return life.proven or (finding is not None and finding.share >= CONFIRM)


def _as_before(finding: Finding, life: Life) -> Finding:
    """The finding, by the type that led the same memory before, if it is not seen to lead it this time.

    What was confirmed as memory of one allocator stays so if most of the rest is the other one's now.
    """
    now, before = finding.population, life.finding.population
    is_rest = life.state == "confirmed" and now.name in _REST and _is_rest(now, before)
    if now.discrete or before.discrete or now.name == before.name or not (now.name in before.names or is_rest):
        return finding
    kept = dataclasses.replace(now, name=before.name, kind=before.kind, also=before.also)
    return dataclasses.replace(finding, population=kept)


def _bounded(lives: dict[str, Life]) -> dict[str, Life]:
    """Forget the first of those that are over, if there are too many."""
    over = [key for key, life in lives.items() if not life.is_open]
    for key in over[: max(0, len(lives) - _MOST_LIVES)]:
        del lives[key]
    return lives
