"""The verdicts on what grows: each keeps the name under which it was reported, and has its route and its place."""

from __future__ import annotations

import dataclasses
import functools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.memory import memory_of
from memprof_middleware.config import Config
from memprof_middleware.leaks.feed import FAILED, REQUESTS, TIME
from memprof_middleware.leaks.grouping import (
    BUILTIN,
    LIBRARY,
    RUNNING,
    STANDARD,
    Scene,
    depth_in_package,
    root_of,
    telling_rank,
)
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.holders import Holders
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.leaks.measuring import Measuring
from memprof_middleware.leaks.room import Room
from memprof_middleware.leaks.verdicts import has_ended, heap_per_hour, shared_out, verdict_of
from memprof_middleware.leaks.whereabouts import Whereabouts
from memprof_middleware.model import FedBy, Leak
from memprof_middleware.probes.loading import load

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.leaks.life import Life
    from memprof_middleware.leaks.reported import Case

# A route is asked for again when what grows has grown by this factor, or by the smaller one if none was found.
_ASK_AGAIN, _ASK_SOONER = 2.0, 1.2

# What is counted, not measured in bytes.
_COUNTED = frozenset({"objects", "container"})

RouteOf = Callable[[str, str], FedBy | None]


class Telling:
    """The verdicts of one process, and the routes that were found for them.

    Args:
        probes: the instruments.
        config: the limits.
        measuring: the past, and what was measured of it.
        holders: the holders that were found.
        whereabouts: looks up places in the source.
    """

    def __init__(
        self, probes: Instruments, config: Config, measuring: Measuring, holders: Holders, whereabouts: Whereabouts
    ) -> None:
        self._probes, self._config, self._measuring, self._past = probes, config, measuring, measuring.past
        self._holders, self._whereabouts = holders, whereabouts
        self._routes: dict[str, tuple[float, FedBy]] = {}

    def scene(self, room: Room | None = None) -> Scene:
        """What is known of names, holders and rhythm at this moment, and of the room of the process."""
        measuring, probes = self._measuring, self._probes
        return Scene(
            self._holders.paths,
            measuring.places,
            probes.rank,
            probes.module,
            self._in_step,
            measuring.exhaustive,
            self._holders.named,
            room,
        )

    def rank(self) -> Callable[[str], float]:
        """How much a name tells, the most first."""
        return functools.partial(telling_rank, scene=self.scene())

    def _in_step(self, a: str, b: str) -> bool:
        """Whether two series rise and fall together: of one look at every look, else in the long run."""
        populations = load("leaks.populations")
        series = [self._past.series(name) for name in (a, b)]
        says_nothing = BUILTIN in {self._probes.rank(a), self._probes.rank(b)}
        alike = self._past.is_type(a) == self._past.is_type(b) and not says_nothing
        return bool((populations.twins if alike else populations.lockstep)(series[0], series[1]))

    def reported(
        self,
        found: Iterable[Case],
        lives: Mapping[str, Life],
        own: Mapping[str, Leak],
        history: History,
        route_of: RouteOf,
    ) -> tuple[dict[str, Leak], dict[str, Life]]:
        """The verdicts on all that was reported and is not over: the same names, whatever becomes known.

        Args:
            found: what was reported, or is for the first time.
            lives: all of that, by key.
            own: the last verdicts, by name.
            history: the last snapshots.
            route_of: the route that makes something of a kind grow.

        Returns:
            The verdicts by name, and the lives that have them.
        """
        leaks: dict[str, Leak] = {}
        named: dict[str, Life] = {}
        rank, cases = self.rank(), load("leaks.reported")
        for given in found:
            case: Case = cases.named_anew(given)
            incident: Incident | None = cases.led(case, self._past, history, rank)
            if incident is None:
                continue
            if not case.told:
                # What was only watched beside it lends no name to what has passed the tests.
                names = {*case.life.finding.population.names, incident.leader.name} - {given.told}
                others = {name: leak for name, leak in own.items() if name != given.told}
                passed = {name: leak for name, leak in others.items() if leak.state == "confirmed" or name in names}
                incident = self._renamed(incident, passed)
            before = own.get(given.told) or own.get(incident.leader.name)
            at = history.series("timestamp")[-1]
            named |= {key: lives[key].under(incident.leader.name, at) for key in case.keys}
            leak = self._verdict(incident, before, case.life.under(incident.leader.name, at), route_of)
            leaks.setdefault(leak.name, leak)
        return leaks, named

    def watched(
        self,
        incidents: Sequence[Incident],
        found: dict[str, Leak],
        own: Mapping[str, Leak],
        over: set[str],
        history: History,
        route_of: RouteOf,
    ) -> None:
        """Add the verdicts on what only grows, or was confirmed by a setting, to those that were reported.

        Args:
            incidents: what grows.
            found: the verdicts on what was reported, by name; the others are added to them.
            own: the last verdicts, by name.
            over: the names of what has just ended.
            history: the last snapshots.
            route_of: the route that makes something of a kind grow.
        """
        reported = {name for leak in found.values() for name in (leak.name, *leak.also)}
        own = {
            name: dataclasses.replace(leak, state="suspected") if name in over else leak for name, leak in own.items()
        }
        for incident in incidents:
            if not incident.names & reported:
                renamed = self._renamed(incident, own)
                before = first_told(renamed, own)
                found.setdefault(renamed.leader.name, self._verdict(renamed, before, None, route_of))
        # By the incidents too: of a large one a verdict lists some names only.
        members = (incident.names for incident in incidents)
        claimed = over.union(*((leak.name, *leak.also) for leak in found.values()), *members)
        left = {name: leak for name, leak in own.items() if name not in claimed}
        found |= {name: leak for name, leak in left.items() if not _has_ended(leak, history)}

    def shared(self, found: Mapping[str, Leak], told: frozenset[str], history: History) -> dict[str, Leak]:
        """The verdicts with the part of the heap's growth that is theirs.

        Args:
            found: all verdicts, by name.
            told: the names of what was reported.
            history: the last snapshots.
        """
        return shared_out(found, told, self._weight, functools.partial(heap_per_hour, history))

    def _weight(self, leak: Leak) -> float | None:
        """Bytes of one entry of the container that a leak is of, by its sample."""
        places = self._measuring.places
        place = places.get(leak.name) or places.get(root_of(leak.path)) if leak.kind in _COUNTED else None
        return None if place is None else place.entry_bytes

    def _renamed(self, incident: Incident, own: Mapping[str, Leak]) -> Incident:
        """The incident under the name that it had, unless it has a better one now."""
        before = first_told(incident, own)
        if (
            before is None
            or before.name == incident.leader.name
            or is_better(incident.leader, before, self._probes.rank)
        ):
            return incident
        return incident.led_by(before.name)

    def _verdict(
        self,
        incident: Incident,
        before: Leak | None,
        life: Life | None,
        route_of: RouteOf,
    ) -> Leak:
        route = self._route(incident.leader, route_of)
        if route == FedBy() and life is not None and life.finding.feed not in {REQUESTS, FAILED, TIME}:
            route = FedBy(life.finding.feed)
        leak = verdict_of(incident, self._config, before, route, life)
        return self._whereabouts.filled(leak, incident.root, self._holders, before)

    def _route(self, growth: Growth, route_of: RouteOf) -> FedBy:
        """The route is asked for once, and again when what grows has doubled: it takes a fit over all windows."""
        at, route = self._routes.get(growth.name, (0.0, FedBy()))
        if growth.last >= _ASK_AGAIN * at or (not route.route and growth.last >= _ASK_SOONER * at):
            found = route_of(growth.kind, growth.name)
            if found is not None:
                route = route if found == FedBy() else found
                self._routes[growth.name] = growth.last, route
        return route


def _has_ended(leak: Leak, history: History) -> bool:
    """Whether what no incident claims any more has stopped."""
    begin = max(history.comparable_from, bisect_left(history.series("timestamp"), leak.since))
    indices: Sequence[int] = range(begin, len(history))
    series: Sequence[float]
    if leak.kind == "objects":
        indices, series = history.counted(begin), history.counts(leak.name)
    elif leak.kind == "container":
        indices, series = history.measured(begin), history.lengths(leak.name)
    elif leak.state == "confirmed":
        series = memory_of(leak.name, history)
    else:
        return True  # memory that was only watched: it is explained, or grows no more
    return has_ended(leak, [series[index] for index in indices], Load.of(history, indices))


def first_told(incident: Incident, own: Mapping[str, Leak]) -> Leak | None:
    """The last verdict on an incident: a confirmed one, of these one with a known holder, else the oldest."""
    told = [own[name] for name in sorted(incident.names) if name in own]
    return max(told, key=lambda leak: (leak.state == "confirmed", bool(leak.path), -leak.detected_at), default=None)


def is_better(growth: Growth, before: Leak, rank: Callable[[str], int]) -> bool:
    """Whether what is not confirmed has a better name now: the application's type came up after a builtin.

    Of many types of a library each has its turn, and the object that has the others as its parts may come last. A
    suspicion that was reported keeps its name, unless that is only the containers inside another one.
    """
    is_inside = before.kind == "container" and "[*]" in before.name
    if before.state == "confirmed" or (before.notable and not is_inside):
        return False
    if growth.name.startswith(RUNNING) and before.kind == "objects":  # by what they run, not by what they are made of
        return rank(before.name) >= STANDARD
    if before.kind not in {"objects", "container"}:
        return growth.kind in {"objects", "container"}
    if growth.kind != "objects":
        return False
    new, old = rank(growth.name), rank(before.name) if before.kind == "objects" else STANDARD
    if new == old == LIBRARY:
        return depth_in_package(growth.name) < depth_in_package(before.name)
    return new < old
