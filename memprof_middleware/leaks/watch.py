"""Watches what leaks: has containers measured and holders looked for, and keeps the life of each verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.memory import MEMORY
from memprof_middleware.analysis.retention import Load
from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.heap.containers import Containers
from memprof_middleware.heap.instruments import Instruments
from memprof_middleware.leaks.detector import still_open
from memprof_middleware.leaks.feed import REQUESTS, TIME
from memprof_middleware.leaks.grouping import Place, Scene, root_of
from memprof_middleware.leaks.growth import Growth, find_growths
from memprof_middleware.leaks.incidents import Incident, find_incidents, to_search
from memprof_middleware.leaks.judge import COLLECTION, Finding, has_taken, look, present, whole
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.past import Past, Reading, Seen
from memprof_middleware.leaks.populations import lockstep
from memprof_middleware.leaks.room import CONFIRM, Room, room_of
from memprof_middleware.leaks.verdicts import has_ended, verdict_of
from memprof_middleware.model import MB, SEVERITIES, Leak, MemorySnapshot
from memprof_middleware.probes.real_thread import real_sleep

# While nothing is suspected, containers are measured with every so many snapshots.
_CALM_STEPS = 10
# Measuring them and looking for holders each may use this part of the processor time that the profiler may use.
_CPU_SHARE = 0.3
# A walk may take what the budget gives in so many seconds, 1 s at the default, within what is of any use.
_WALK_SPAN, _SHORTEST_WALK, _LONGEST_WALK = 200.0, 0.1, 5.0
_MOST_PLACES = 5_000
# Holders are looked for again when a type has grown by this factor since.
_LOOK_AGAIN = 2.0
# A full collection is asked for so many seconds apart at the least, and only where it takes no longer than this: it
# holds everybody up, once for each suspicion that nothing else is missing of. Seconds for each object.
# All memory has grown for so long before that is worth a word.
_GROWTH_SECONDS = 7200.0
_COLLECT_SECONDS, _COLLECT_LONGEST, _COLLECT_EACH = 1800.0, 0.25, 2e-7


class _Halted(Exception):  # noqa: N818 - no error: the work is no longer wanted
    """The profiler stops."""


class LeakWatch:
    """What one process knows of its leaks.

    Args:
        probes: the instruments.
        config: the limits.
        failures: where a failure is counted.
        halted: whether the profiler stops, which ends a walk or a search in its next pause.
    """

    def __init__(self, probes: Instruments, config: Config, failures: Failures, halted: Callable[[], object]) -> None:
        self._probes, self._config, self._failures, self._halted = probes, config, failures, halted
        self.leaks: tuple[Leak, ...] = ()
        self.detections: Counter[str] = Counter()  # by severity; a leak counts under each that it reaches
        self.others: Sequence[MemorySnapshot] = ()  # the last snapshots of the server's other workers
        self.reasons: dict[str, str] = {}  # why what was told is over, by name
        self._inherited: tuple[Leak, ...] = ()  # open when the slot's last worker ended
        self._reached: set[tuple[str, str]] = set()
        self._walk: Containers | None = None
        self._walked = -1  # the snapshot at which containers were measured last
        self._places: dict[str, Place] = {}
        self._holders: dict[str, tuple[int, Sequence[tuple[str, float]]]] = {}
        self._routes: dict[str, tuple[float, str]] = {}
        self._calm_steps = 0
        self._walk_due = self._search_due = -math.inf  # by the monotonic clock
        self._past = Past(self._config.interval)
        self._first: MemorySnapshot | None = None  # after warm-up
        self._comparable = 0  # number of the first snapshot whose counts are followed
        self._lives: dict[str, Life] = {}
        self._whole: dict[str, Life] = {}  # the same of all memory together
        self._collected: float | None = None  # when a full collection was asked for, by the past's clock

    def _pause(self, seconds: float) -> None:
        if self._halted():
            raise _Halted
        real_sleep(seconds)

    def inherit(self, leaks: Sequence[Leak]) -> None:
        """Go on with the open leaks of the slot's last worker until they are seen to be over."""
        self._inherited = self.leaks = tuple(leaks)
        # They were counted under each severity up to the one they have.
        worst = {leak.name: SEVERITIES.index(leak.severity) for leak in leaks}
        self._reached = {(name, severity) for name, top in worst.items() for severity in SEVERITIES[: top + 1]}

    def measure(
        self,
        history: History,
        counts: Mapping[str, int] | None,
        requests: Mapping[str, int],
        *,
        by_hand: bool,
    ) -> float:
        """Measure containers and other populations, and keep a reading; the processor time that it took, in seconds.

        Measuring containers is dearer than a census, so it is left out during warm-up, in which the host has enough to
        do, while the budget has not got it, and nine times of ten while nothing is suspected; unless somebody asked for
        this snapshot.

        Args:
            history: where they are kept, beside the last snapshot.
            counts: the live objects by type; ``None``: not counted this time.
            requests: answered so far, by route.
            by_hand: somebody did.
        """
        now = time.monotonic()
        self._calm_steps -= 1
        warm = history.seen > self._config.warmup_snapshots
        calm = self._calm_steps > 0 and not self.leaks
        if by_hand or (warm and not calm and now >= self._walk_due):
            self._measure_containers(history)
        seconds = 0.0 if self._walk is None or self._walked != history.seen else self._walk.cpu_seconds
        if warm and history.latest is not None:
            self._read(history, history.latest, counts, requests)
        return seconds

    def _measure_containers(self, history: History) -> None:
        self._calm_steps = _CALM_STEPS
        with self._failures.caught("probe_containers"), contextlib.suppress(_Halted):
            budget = _WALK_SPAN * self._config.cpu_budget / 100
            seconds = min(_LONGEST_WALK, max(_SHORTEST_WALK, budget))
            walk = self._probes.containers(most_seconds=seconds, pause=self._pause)
            self._walk, self._walked = walk, history.seen
            places = {
                found.path: Place(found.path, None if found.unbounded else found.bound, found.holds, found.entry_bytes)
                for found in walk.found
            }
            if not walk.complete:  # what was not looked at this time is where it was
                left = max(0, _MOST_PLACES - len(places))
                places |= itertools.islice(
                    ((path, place) for path, place in self._places.items() if path not in places), left
                )
            self._places = places
            lengths = {found.path: found.length for found in walk.found}
            lengths |= self._probes.populations()
            history.record_paths(lengths, complete=walk.complete)
            self._walk_due = time.monotonic() + self._rest_after(walk.cpu_seconds)

    def _read(
        self,
        history: History,
        snapshot: MemorySnapshot,
        counts: Mapping[str, int] | None,
        requests: Mapping[str, int],
    ) -> None:
        """Keep what the judge goes by."""
        self._first = self._first or snapshot
        comparable = history.seen - len(history) + history.comparable_from
        if comparable != self._comparable and history.comparable_from:
            self._past.forget_counts()
        self._comparable = comparable
        walk = self._walk if self._walked == history.seen else None
        self._past.add(
            Reading(
                time=snapshot.timestamp,
                requests=requests,
                in_flight=snapshot.in_flight,
                collections=snapshot.gc_collections[-1],
                heap=_bytes(snapshot.heap_used_mb),
                native=_bytes(snapshot.native_in_use_mb),
                retained=_bytes(snapshot.native_retained_mb),
                blocks=snapshot.allocated_blocks,
                counts=counts,
                containers=None if walk is None else _seen(walk),
                complete=walk is not None and walk.complete,
            )
        )

    def _rest_after(self, seconds: float) -> float:
        """How long work of so many processor seconds is left alone afterwards."""
        return seconds / (_CPU_SHARE * self._config.cpu_budget / 100)

    def judge(
        self, history: History, route_of: Callable[[str, str], str | None], *, by_hand: bool
    ) -> tuple[list[Leak], list[Leak]]:
        """The open leaks, the worst first, and those that have ended since the last verdict.

        Args:
            history: the past, the last snapshot included.
            route_of: the route that makes something of a kind grow, in words; empty if none is found, ``None``
                while it is sought.
            by_hand: look for holders, whatever the budget.
        """
        before = self.leaks
        own = {leak.name: leak for leak in before if leak not in self._inherited}
        self._look(history)
        open_lives = [life for life in self._lives.values() if life.state != "over"]
        growths = find_growths(history, self._config, own)
        growths += _missing(open_lives, growths, self._past, history)
        if by_hand or time.monotonic() >= self._search_due:
            self._search(history, to_search(growths, self._probes.rank))
        found: dict[str, Leak] = {}
        told = {life.name for life in open_lives}
        incidents = find_incidents(growths, self._scene(), told)
        homes = _homes(open_lives, incidents)
        for index, incident in enumerate(incidents):
            leak = self._verdict(incident, own, homes.get(index), history, route_of)
            found.setdefault(leak.name, leak)
        claimed = {name for leak in found.values() for name in (leak.name, *leak.also)}
        for leak in own.values():
            if leak.name not in claimed and not self._has_ended(leak, history):
                found[leak.name] = leak
        inherited = still_open(self._inherited, history, self._config)
        self._inherited = tuple(leak for leak in inherited if leak.name not in found)
        self.leaks = (*sorted(found.values(), key=_worst_first), *self._inherited)
        self._count()
        now = {leak.name for leak in self.leaks}
        ended = [dataclasses.replace(leak, state="resolved") for leak in before if leak.name not in now]
        self.reasons = {leak.name: reason for leak in ended if (reason := self._reason(leak))}
        return list(self.leaks), ended

    def _look(self, history: History) -> None:
        """Have the judge look at the past; what is to be told for the first time is measured anew before."""
        room = self._room()
        if room is None:
            return
        found = self._looked(room)
        new = any(one.suspected and not self._is_told(one) for one in found)
        if new and self._walked != history.seen:
            self._measure_containers(history)
            if self._walk is not None and self._walked == history.seen:
                self._past.correct(_seen(self._walk))
                found = self._looked(room)
        self._lives = live(
            self._lives,
            found,
            lambda finding: present(self._past, finding),
        )
        self._collect_if_needed(found, history)

    def is_pressing(self) -> bool:
        """Whether so much was taken of the room, or told, that it is looked at with each snapshot."""
        room = self._room()
        return room is not None and (bool(self._lives) or has_taken(self._past, room))

    def is_growing(self) -> bool:
        """Whether all memory grows as a leak does, though nothing may be known of it: the tests, on the whole."""
        room = self._room()
        found = None if room is None else whole(self._past, room)
        old = found is not None and found.growth is not None and found.growth.seconds >= _GROWTH_SECONDS
        grown = [found] if found is not None and old and found.confirmed else []
        self._whole = live(self._whole, grown, lambda finding: present(self._past, finding))
        return any(life.state == "confirmed" for life in self._whole.values())

    def _looked(self, room: Room) -> list[Finding]:
        return look(self._past, room, self._same_root, self._collected, told=bool(self._lives))

    def _is_told(self, finding: Finding) -> bool:
        return any(finding.population.names & life.finding.population.names for life in self._lives.values())

    def _room(self) -> Room | None:
        return None if self._first is None else room_of(self._first, self.others, len(self.others) + 1)

    def _same_root(self, a: str, b: str) -> bool:
        """Whether two types are held by one root, or are of one module."""
        roots = [{root_of(path) for path, _ in self._holders.get(name, (0, ()))[1]} for name in (a, b)]
        return bool(roots[0] & roots[1]) or self._probes.module(a) == self._probes.module(b)

    def _collect_if_needed(self, findings: Iterable[Finding], history: History) -> None:
        """Have the interpreter collect once, in a calm moment, where only that is missing and it is cheap."""
        waiting = any(one.waits == COLLECTION and one.share >= CONFIRM for one in findings)
        snapshot = history.latest
        if not waiting or snapshot is None:
            return
        rested = self._collected is None or self._past.now() - self._collected >= _COLLECT_SECONDS
        flights = sorted(history.series("in_flight"))
        calm = snapshot.in_flight <= flights[len(flights) // 2]
        cost = _COLLECT_EACH * (snapshot.total_objects or 0)
        if rested and calm and cost <= _COLLECT_LONGEST:
            with self._failures.caught("probe_collect"):
                self._probes.collect()
                self._collected = self._past.now()

    def _scene(self) -> Scene:
        holders = {name: paths for name, (_, paths) in self._holders.items()}
        complete = self._walk is not None and self._walk.complete
        return Scene(holders, self._places, self._probes.rank, self._probes.module, self._in_step, complete)

    def _in_step(self, a: str, b: str) -> bool:
        series = [self._past.series(name) for name in (a, b)]
        return lockstep(series[0], series[1])

    def _reason(self, leak: Leak) -> str:
        names = {leak.name, *leak.also}
        over = (life for life in self._lives.values() if life.state == "over" and life.reason)
        return next((life.reason for life in over if life.finding.population.names & names), "")

    def _verdict(
        self,
        incident: Incident,
        own: Mapping[str, Leak],
        life: Life | None,
        history: History,
        route_of: Callable[[str, str], str | None],
    ) -> Leak:
        """The verdict, under the name that the incident was told by, if it was told before."""
        if life is not None:
            incident = _led_by(incident, life)
        told = [own[name] for name in incident.names if name in own]
        before = max(told, key=lambda leak: (leak.state == "confirmed", -leak.detected_at), default=None)
        renamed = before is not None and before.name != incident.leader.name
        if before is not None and renamed and not self._is_better(incident.leader, before):
            incident = incident.led_by(before.name)
        route = self._route(incident.leader, route_of)
        if not route and life is not None and life.finding.feed not in {REQUESTS, TIME}:
            route = life.finding.feed
        return verdict_of(incident, self._config, before, route, life, self.left(history))

    def left(self, history: History) -> float | None:
        """Bytes until a limit is reached: the process's own, or its part of what all share."""
        snapshot = history.latest
        room = None if snapshot is None else room_of(snapshot, self.others, len(self.others) + 1)
        return None if room is None else room.left

    def _is_better(self, growth: Growth, before: Leak) -> bool:
        """Whether a suspicion had better be told under another name: the application's type came up after a builtin."""
        if before.state == "confirmed":
            return False
        if before.kind not in {"objects", "container"}:
            return growth.kind in {"objects", "container"}
        if growth.kind != "objects":
            return False
        return self._probes.rank(growth.name) < (self._probes.rank(before.name) if before.kind == "objects" else 2)

    def _route(self, growth: Growth, route_of: Callable[[str, str], str | None]) -> str:
        """Asked for once, and again when what grows has doubled: it takes a fit over all windows."""
        at, route = self._routes.get(growth.name, (0.0, ""))
        if growth.last >= _LOOK_AGAIN * at or (not route and growth.last >= 1.2 * at):
            found = route_of(growth.kind, growth.name)
            if found is not None:
                route = found or route
                self._routes[growth.name] = growth.last, route
        return route

    def _has_ended(self, leak: Leak, history: History) -> bool:
        """Whether what no incident claims any more is over: what was told, by its life; else by its series."""
        names = {leak.name, *leak.also}
        lives = [life for life in self._lives.values() if life.finding.population.names & names]
        if leak.notable and lives:
            return all(life.state == "over" for life in lives)
        begin = max(history.comparable_from, bisect_left(history.series("timestamp"), leak.since))
        indices: Sequence[int] = range(begin, len(history))
        if leak.kind == "objects":
            indices, series = history.counted(begin), history.counts(leak.name)
        elif leak.kind == "container":
            indices, series = history.measured(begin), history.lengths(leak.name)
        else:
            return True  # it is explained by what is known, or grows no more
        return has_ended(leak, [series[index] for index in indices], Load.of(history, indices))

    def _search(self, history: History, names: Iterable[str]) -> None:
        """Look for who holds the types that grow, once, and again when there are twice as many."""
        due = []
        for name in names:
            count = history.counts(name, len(history) - 1)[0]
            if count >= _LOOK_AGAIN * self._holders.get(name, (0,))[0]:
                due.append((name, count))
        if due:
            began = time.thread_time()
            with self._failures.caught("probe_holders"), contextlib.suppress(_Halted):
                found = self._probes.holders([name for name, _ in due], pause=self._pause)
                for name, count in due:
                    paths = found[name].paths if name in found else ()
                    if paths or name not in self._holders:
                        self._holders[name] = count, paths
            self._search_due = time.monotonic() + self._rest_after(time.thread_time() - began)

    def _count(self) -> None:
        names = {leak.name for leak in self.leaks}
        reached = {(leak.name, leak.severity) for leak in self.leaks if leak.notable}
        self.detections.update(severity for _, severity in reached - self._reached)
        self._reached = {pair for pair in self._reached | reached if pair[0] in names}


def _worst_first(leak: Leak) -> tuple[bool, bool, float]:
    return leak.state != "confirmed", not leak.notable, -leak.growth_percent


def _bytes(mb: float | None) -> float | None:
    return None if mb is None else mb * MB


def _seen(walk: Containers) -> dict[str, Seen]:
    return {
        found.path: Seen(
            found.length,
            None if found.unbounded else found.bound,
            found.entry_bytes,
            found.oldest,
            found.holds,
            found.lifetime,
        )
        for found in walk.found
    }


def _homes(lives: Iterable[Life], incidents: Sequence[Incident]) -> dict[int, Life]:
    """For each incident that was told its life: one incident for each, that which has its name."""
    homes: dict[int, Life] = {}
    for life in lives:
        names = life.finding.population.names
        own = [index for index, incident in enumerate(incidents) if life.name in incident.names]
        kin = [index for index, incident in enumerate(incidents) if names & incident.names]
        for index in [*own, *kin][:1]:
            homes.setdefault(index, life)
    return homes


def _led_by(incident: Incident, life: Life) -> Incident:
    """The incident, led by a member of what has passed the tests."""
    population = life.finding.population
    if incident.leader.name in population.names:
        return incident
    names = (population.name, *population.also)
    return next((incident.led_by(name) for name in names if name in incident.names), incident)


def _missing(lives: Iterable[Life], growths: Sequence[Growth], past: Past, history: History) -> list[Growth]:
    """Growth that was told of and that the search for growth does not see: steps, and what lies beside a tide."""
    known = {growth.name for growth in growths}
    return [made for life in lives if life.name not in known and (made := _made(life, past, history))]


def _made(life: Life, past: Past, history: History) -> Growth | None:
    """What is told of a life, as growth."""
    growth = life.finding.growth
    if growth is None:
        return None
    population = life.finding.population
    name, kind = population.name, population.kind
    first, last = growth.levels[0], growth.levels[-1]
    if not population.discrete:  # under the name of memory, or of a type that grows in step with it
        name = next((one for one in population.names if one in MEMORY), name)
    served = growth.fed if life.finding.feed != TIME else 0.0
    hours = growth.seconds / 3600
    return Growth(
        name=name,
        kind=kind,
        first=max(0.0, first),
        last=max(0.0, last),
        since=history.series("timestamp")[-1] - (past.now() - growth.times[0]),
        snapshots=len(growth.levels),
        served=served,
        per_request=(last - first) / served if served else None,
        per_hour=(last - first) / hours if hours > 0 else 0.0,
        steadiness=0.8,
        pace=1.0,
        collections=0,
    )
