"""The incident of what was reported: its name is the first one, until its growth is over. Loaded with the judge."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.memory import MAPPED, MEMORY, NATIVE, RETAINED, UNTRACKED, memory_of
from memprof_middleware.leaks.alike import lockstep
from memprof_middleware.leaks.feed import FAILED, TIME
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.leaks.life import Life
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.series import at
from memprof_middleware.model import LeakKind
from memprof_middleware.model.value import valueclass

_KINDS: Mapping[str, LeakKind] = {
    UNTRACKED: "untracked",
    NATIVE: "native",
    MAPPED: "mapped",
    RETAINED: "fragmentation",
}


@valueclass(frozen=True, slots=True)
class Case:
    """An incident that was reported, with the lives that belong to it.

    Attributes:
        told: the name under which it was first reported; empty: it is reported now for the first time.
        life: the one that tells most: confirmed, and of the largest share.
        keys: of all lives that belong to it.
        incident: what grows; ``None``: the search for growth does not see it now.
    """

    told: str
    life: Life
    keys: tuple[str, ...]
    incident: Incident | None


def accuses_mapped(lives: Mapping[str, Life], findings: Sequence[Finding]) -> bool:
    """Whether mapped memory is about to be suspected or confirmed: what Python's allocator keeps free looks like it.

    Args:
        lives: what was reported so far.
        findings: what the tests say now.
    """
    told = {life.state for life in lives.values() if life.is_open and MAPPED in life.names}
    mapped = [one for one in findings if one.population.kind == "mapped"]
    if any(one.confirmed for one in mapped):
        return "confirmed" not in told
    return not told and any(one.suspected for one in mapped)


def cases(lives: Mapping[str, Life], incidents: Sequence[Incident], rank: Callable[[str], float]) -> list[Case]:
    """Put the open lives to the incidents that they belong to; lives of one incident, or of one name, are one case.

    Args:
        lives: what was reported, or is for the first time.
        incidents: what grows.
        rank: of a name, the most telling first.
    """
    homes = _homes(lives, incidents, rank)
    members: dict[str, list[str]] = {}
    owner: dict[int, str] = {}
    for key in sorted(lives, key=lambda key: not lives[key].told):  # who was reported before has the incident
        told, home = lives[key].told, homes.get(key)
        name = told or (owner.get(home, "") if home is not None else "") or f"?{key}"
        members.setdefault(name, []).append(key)
        if home is not None:
            owner.setdefault(home, name)
    found = []
    for name, keys in members.items():
        leading = max((lives[key] for key in keys), key=lambda life: (life.state == "confirmed", life.finding.share))
        own = next((home for home, other in owner.items() if other == name), None)
        told = "" if name.startswith("?") else name
        found.append(Case(told, leading, tuple(keys), None if own is None else incidents[own]))
    return found


def _homes(lives: Mapping[str, Life], incidents: Sequence[Incident], rank: Callable[[str], float]) -> dict[str, int]:
    """For each life the incident that has its name, else one that shares a name with it.

    Memory grows in step with all that is kept for one reason: as long as no name of theirs was reported, it belongs to
    what tells most.
    """
    homes: dict[str, int] = {}
    for key, life in lives.items():
        own = [index for index, incident in enumerate(incidents) if {life.told, life.name} & incident.names]
        kin = [index for index, incident in enumerate(incidents) if life.names & incident.names]
        if (own or kin) and life.told in {"", *MEMORY} and not life.finding.population.discrete:
            named = [index for index in kin if incidents[index].leader.name not in MEMORY]
            homes[key] = min(named, key=lambda index: _tells(incidents[index], life, rank), default=(own or kin)[0])
        elif own or kin:
            homes[key] = (own or kin)[0]
    return homes


def _tells(incident: Incident, life: Life, rank: Callable[[str], float]) -> tuple[float, int]:
    """How much an incident tells of memory, the most first: by its leader, then by how much of it is in step."""
    return rank(incident.leader.name), -len(incident.names & life.names)


def named_anew(case: Case) -> Case:
    """The case, to be named anew if it was reported as memory and it is known what the memory is of.

    A type or a container says where to look, and memory does not; a suspicion has that name when it is confirmed.
    """
    known = case.life.state == "confirmed" and case.life.name not in MEMORY
    return dataclasses.replace(case, told="") if known and case.told in MEMORY else case


def led(case: Case, past: Past, history: History, rank: Callable[[str], float]) -> Incident | None:
    """Return the incident of a case, led by what it is reported by; made of the past if nothing else shows it.

    Where a type stands for memory, the memory belongs to the incident.

    Args:
        case: what was reported, or is for the first time.
        past: the past of the process.
        history: the last snapshots.
        rank: of a name, the most telling first.
    """
    incident = _led(case, past, history, rank)
    if incident is None or case.life.finding.population.discrete or incident.leader.name in MEMORY:
        return incident
    memory = growth_of(case.life, past, history)
    if memory is None or memory.name in incident.names:
        return incident
    return dataclasses.replace(incident, others=(*incident.others, memory))


def _led(case: Case, past: Past, history: History, rank: Callable[[str], float]) -> Incident | None:
    incident, life = case.incident, case.life
    if incident is not None:
        if not case.told:
            return _led_by_member(incident, life, past, rank)
        if case.told in incident.names:
            return incident.led_by(case.told)
    growth = growth_of(life, past, history)
    if growth is None:
        return incident
    growth = _by_name(growth, life, case.told, past, history)
    if incident is None:
        return Incident(growth, ())
    others = tuple(one for one in (incident.leader, *incident.others) if one.name != growth.name)
    return incident.under(growth, others)


def _by_name(growth: Growth, life: Life, told: str, past: Past, history: History) -> Growth:
    """The growth by the figures of what it was reported as: a type's objects, not bytes or entries of a holder.

    What was reported as memory before its owner was known keeps the figures of memory.
    """
    if not told or told == growth.name:
        return growth
    line = life.finding.growth
    if line is None:
        return dataclasses.replace(growth, name=told)
    kind, values = _KINDS.get(told), past.series(told)
    if kind is not None:
        first, last = _measured(told, past.now() - line.times[0], history) or (growth.first, growth.last)
    elif values:
        kind = "objects" if past.is_type(told) else "container"
        first, last = at(past.column("times"), values, line.times[0]), values[-1]
    else:
        return dataclasses.replace(growth, name=told)
    gained, hours = last - first, line.seconds / 3600
    return dataclasses.replace(
        growth,
        name=told,
        kind=kind,
        first=first,
        last=last,
        per_request=gained / growth.served if growth.served else None,
        per_hour=gained / hours if hours > 0 else 0.0,
    )


def _led_by_member(incident: Incident, life: Life, past: Past, rank: Callable[[str], float]) -> Incident:
    """The incident, led by a member of what has passed the tests, unless its leader says more, or as much in step."""
    population = life.finding.population
    passed = [name for name in (population.name, *population.also) if name in incident.names]
    leader = incident.leader.name
    if not passed or leader in passed or rank(leader) < min(map(rank, passed)):
        return incident
    if rank(leader) == min(map(rank, passed)) and lockstep(past.series(passed[0]), past.series(leader)):
        return incident
    return incident.led_by(passed[0])


def unseen(lives: Iterable[Life], growths: Sequence[Growth], past: Past, history: History) -> list[Growth]:
    """Growth that was reported and that the search for growth does not see: steps, and growth beside a tide."""
    known = {growth.name for growth in growths}
    return [made for life in lives if life.name not in known and (made := growth_of(life, past, history))]


def growth_of(life: Life, past: Past, history: History) -> Growth | None:
    """Return what is known of a life, as growth.

    Memory has the figures that were measured of it: what a test weighs is what nothing else explains, and that is
    another series, at another height.
    """
    growth = life.finding.growth
    if growth is None:
        return None
    population = life.finding.population
    name, kind = population.name, population.kind
    first, last = growth.levels[0], growth.levels[-1]
    seconds = past.now() - growth.times[0]  # what stands still has no pace to go on with
    if not population.discrete:  # under the name of memory, or of a type that grows in step with it
        name = next((one for one in population.names if one in MEMORY), name)
        first, last = _measured(name, seconds, history) or (first, last)
    served = growth.fed if life.finding.feed not in {FAILED, TIME} else 0.0
    hours = seconds / 3600
    return Growth(
        name=name,
        kind=kind,
        first=max(0.0, first),
        last=max(0.0, last),
        since=history.series("timestamp")[-1] - seconds,
        snapshots=len(growth.levels),
        served=served,
        per_request=(last - first) / served if served else None,
        per_hour=(last - first) / hours if hours > 0 else 0.0,
        steadiness=0.8,
        pace=1.0,
        collections=0,
    )


def _measured(name: str, seconds: float, history: History) -> tuple[float, float] | None:
    """Memory as it was some seconds ago and as it is now; ``None``: it was not measured, or has not grown by itself."""
    times, values = history.series("timestamp"), memory_of(name, history) if name in MEMORY else ()
    known = [(time, value) for time, value in zip(times, values, strict=False) if not math.isnan(value)]
    first = next((value for time, value in known if time >= times[-1] - seconds), math.inf)
    return (first, known[-1][1]) if known and known[-1][1] > first else None
