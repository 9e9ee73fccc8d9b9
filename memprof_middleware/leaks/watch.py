"""The leaks of one process: readings are judged, and each verdict keeps its state and name until its end."""

from __future__ import annotations

import dataclasses
import functools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.memory import memory_of
from memprof_middleware.config import Config
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.candidates import Turns
from memprof_middleware.leaks.collecting import Collecting
from memprof_middleware.leaks.detector import still_open
from memprof_middleware.leaks.ended import resolved
from memprof_middleware.leaks.feed import REQUESTS, TIME
from memprof_middleware.leaks.grouping import BUILTIN, Scene, telling_rank
from memprof_middleware.leaks.growth import Growth, find_growths
from memprof_middleware.leaks.holders import Holders
from memprof_middleware.leaks.incidents import Incident, find_incidents, to_search
from memprof_middleware.leaks.measuring import Measuring
from memprof_middleware.leaks.pausing import pausing
from memprof_middleware.leaks.reported import (
    Case,
    accuses_mapped,
    cases,
    first_told,
    is_better,
    led,
    named_anew,
    unseen,
)
from memprof_middleware.leaks.room import LEAST_TOLD, Room, has_taken, room_of
from memprof_middleware.leaks.verdicts import has_ended, has_laboratory, heap_per_hour, timed, verdict_of
from memprof_middleware.leaks.whereabouts import Whereabouts
from memprof_middleware.model import SEVERITIES, FedBy, Forecast, Leak, MemorySnapshot, Resolved
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.urgency import fill_urgency
from memprof_middleware.probes.loading import loading

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.leaks.account import Account, Books
    from memprof_middleware.leaks.finding import Finding
    from memprof_middleware.leaks.life import Life

# All memory has grown for this long before that is an alert, so it need not be judged with every snapshot.
_GROWTH_SECONDS, _GROWTH_JUDGED_SECONDS = 7200.0, 30.0
# A route is asked for again when what grows has grown by this factor, or by the smaller one if none was found.
_ASK_AGAIN, _ASK_SOONER = 2.0, 1.2

RouteOf = Callable[[str, str], FedBy | None]


class LeakWatch:
    """The leaks of one process.

    Args:
        probes: the instruments.
        config: the limits.
        failures: where a failure is counted.
        halted: whether the profiler stops, which ends a walk or a search in its next pause.
        budget: what pays for walks and searches.
    """

    def __init__(
        self, probes: Instruments, config: Config, failures: Failures, halted: Callable[[], object], budget: CpuBudget
    ) -> None:
        self._probes, self._config, self._failures = probes, config, failures
        self.leaks: tuple[Leak, ...] = ()
        self._resolved: tuple[Resolved, ...] = ()
        self.detections: Counter[str] = Counter()  # by severity; a leak counts under each that it reaches
        self.others: Sequence[MemorySnapshot] = ()  # the last snapshots of the server's other workers
        self.forecast: Forecast | None = None  # when the limits are reached
        self.reasons: dict[str, str] = {}  # why verdicts are over, by name
        self.is_ignored: Callable[[Leak], bool] = lambda _leak: False  # what is ignored is judged and not counted
        self._inherited: tuple[Leak, ...] = ()  # open when the slot's last worker ended
        self._reached: set[tuple[str, str]] = set()
        pause = pausing(halted)
        self.measuring = Measuring(probes, config, failures, pause, budget)
        self._past = self.measuring.past
        self._holders = Holders(probes, failures, pause, budget)
        self._whereabouts = Whereabouts(probes, config, failures, pause, budget)
        self._collecting = Collecting(probes, self._past, failures)
        self._books: Books | None = None
        self._routes: dict[str, tuple[float, FedBy]] = {}
        self._lives: dict[str, Life] = {}
        self._turns = Turns()
        self._whole: dict[str, Life] = {}  # the same of all memory together
        self._whole_at = -math.inf  # when that was judged last

    def inherit(self, leaks: Sequence[Leak]) -> None:
        """Take over the open leaks of the slot's last worker, until they end."""
        self._inherited = self.leaks = tuple(leaks)
        # They were counted under each severity up to the one they have.
        worst = {leak.name: SEVERITIES.index(leak.severity) for leak in leaks}
        self._reached = {(name, severity) for name, top in worst.items() for severity in SEVERITIES[: top + 1]}

    def measure(
        self, history: History, counts: Mapping[str, int] | None, requests: Mapping[str, int], *, by_hand: bool
    ) -> None:
        """Measure containers and keep a reading.

        Args:
            history: where lengths are kept, beside the last snapshot.
            counts: the live objects by type; ``None``: not counted this time.
            requests: answered so far, by route.
            by_hand: somebody asked for it, whatever the budget.
        """
        suspicious, sparing = bool(self.leaks), self._is_sparing()
        self.measuring.measure(history, counts, requests, by_hand=by_hand, suspicious=suspicious, sparing=sparing)

    def judge(self, history: History, route_of: RouteOf, *, by_hand: bool) -> None:
        """Judge the past; the result is in ``leaks``, the worst first, and in ``reasons``.

        Args:
            history: the past, the last snapshot included.
            route_of: the route that makes something of a kind grow; ``None`` while it is sought.
            by_hand: look for holders, whatever the budget.
        """
        before, was_open = self.leaks, self._open()
        inherited = {leak.name for leak in self._inherited}
        own = {leak.name: leak for leak in before if leak.name not in inherited}
        self._look(history)
        lives = self._open()
        gone = {key: self._lives[key] for key in was_open if key not in lives and key in self._lives}
        growths = find_growths(history, self._config, own, None if by_hand else self._turns)
        self._turns.growing = frozenset(growth.name for growth in growths if growth.kind == "objects")
        growths += unseen(lives.values(), growths, self._past, history)
        if by_hand or (self._holders.is_due and not self._is_sparing()):
            self._holders.search(history, to_search(growths, self._probes.rank))
        names = frozenset[str]().union(*(life.names for life in lives.values()))
        incidents = find_incidents(growths, self._scene(), names)
        rank = functools.partial(telling_rank, scene=self._scene())
        found = self._reported(cases(lives, incidents, rank), own, history, route_of)
        self._watched(incidents, found, own, {life.told for life in gone.values()}, history, route_of)
        still = still_open(self._inherited, history, self._config)
        self._inherited = tuple(leak for leak in still if leak.name not in found)
        self.leaks = (*sorted(found.values(), key=_worst_first), *self._inherited)
        self.tell_time(history)
        self._count()
        self._release()
        now = {leak.name: leak for leak in self.leaks}
        now |= {life.was: now[life.told] for life in self._open().values() if life.was and life.told in now}
        ended = [leak for leak in before if leak.name not in now or (leak.notable and not now[leak.name].notable)]
        self.reasons = {life.told: life.reason for life in gone.values()}
        reported = {leak.name for leak in self.leaks if leak.notable}
        at = 0.0 if history.latest is None else history.latest.timestamp
        self._resolved = resolved(self._resolved, ended, self.reasons, reported, at)

    def resolved(self) -> tuple[Resolved, ...]:
        """The confirmed leaks that were over within the last hour and are not ignored."""
        return tuple(one for one in self._resolved if not self.is_ignored(one.leak))

    def is_pressing(self) -> bool:
        """Whether so much of the room is taken, or reported, that each snapshot is judged."""
        room = self._room()
        return room is not None and (bool(self._lives) or has_taken(self._past, room))

    def _is_sparing(self) -> bool:
        """Whether to leave alone what is shared with a parent: a look would copy it, and little has grown since.

        Less than a leak must have taken before the tests that report it begin.
        """
        if not self._probes.copies or has_laboratory(self._config) or any(leak.notable for leak in self.leaks):
            return False
        room = self._room()
        return self.measuring.first is None or (room is not None and not has_taken(self._past, room, LEAST_TOLD))

    def is_growing(self, history: History) -> bool:
        """Whether all memory grows as a leak does, though nothing may be known of it: the tests, on the whole."""
        now = 0.0 if history.latest is None else history.latest.timestamp
        if not 0 <= now - self._whole_at < _GROWTH_JUDGED_SECONDS:  # a clock may jump
            self._whole_at = now
            self._judge_whole()
        self._release()
        return any(life.state == "confirmed" for life in self._whole.values())

    def _judge_whole(self) -> None:
        room = self._room()
        if room is None or not (self._whole or has_taken(self._past, room, LEAST_TOLD)):
            return
        with loading("leaks.judge"):
            from memprof_middleware.leaks.judge import whole
        found = whole(self._past, room)
        old = found is not None and found.growth is not None and found.growth.seconds >= _GROWTH_SECONDS
        grown = [found] if found is not None and old and found.confirmed else []
        self._whole = self._lived(self._whole, grown)

    def _release(self) -> None:
        """Let go of what was worked out for one beat."""
        self._past.release()
        if self._books is not None:
            self._books.release()

    def tell_time(self, history: History) -> None:
        """Bring the time to the limit of each leak up to date, with each snapshot, whether or not it was judged."""
        config, percent = self._config, None if history.latest is None else history.latest.heap_percent
        fill = fill_urgency(percent, config.heap_warning_percent, config.heap_critical_percent)
        self.leaks = tuple(timed(self.leaks, fill, self.ahead(history)))

    def ahead(self, history: History) -> Ahead:
        """The limit that is reached first: the process's own, or its part of what all share."""
        snapshot = history.latest
        room = None if snapshot is None else room_of(snapshot, self.others, len(self.others) + 1)
        if room is None:
            return Ahead()
        told = self.forecast
        outlook = None if told is None else told.shared if room.shared else told.worker
        return Ahead(room.left, room.shared, outlook)

    def ends_before(self, left: float, seconds: float) -> bool:
        """Whether the growth of a period ends, by the word of what grows, before so many bytes are used."""
        if all(seen.bound is None for seen in self._past.containers.values()):
            return False
        with loading("leaks.ceiling"):
            from memprof_middleware.leaks.ceiling import ends_before
        return ends_before(self._past, left, seconds, self._account)

    # -- what was reported ---------------------------------------------------------------------------------------

    def _open(self) -> dict[str, Life]:
        return {key: life for key, life in self._lives.items() if life.is_open}

    def _look(self, history: History) -> None:
        """Judge the past; containers are measured again before a first report. What judges comes once it is needed."""
        room = self._room()
        if room is None or not (self._lives or has_taken(self._past, room)):
            return
        found = self._looked(room, history)
        known = frozenset[str]().union(*(life.names for life in self._lives.values()))
        new = any(one.suspected and not one.population.names & known for one in found)
        if new and self.measuring.renew(history):
            found = self._looked(room, history)
        if accuses_mapped(self._lives, found) and self.measuring.see_arenas():
            found = self._looked(room, history)
        self._lives = self._lived(self._lives, found)
        self._collecting.consider(found, history)

    def _looked(self, room: Room, history: History) -> list[Finding]:
        with loading("leaks.judge"):
            from memprof_middleware.leaks.judge import look
        asked, cheap = self._collecting.asked, self._collecting.is_cheap(history)
        told, root = bool(self._lives), self._holders.share_root
        return look(self._past, room, root, asked, collectable=cheap, told=told, made=self._account)

    def _account(self) -> Account:
        if self._books is None:
            with loading("leaks.account"):
                from memprof_middleware.leaks.account import Books
            self._books = Books(self._past, self._holders.share_root)
        return self._books.account()

    def _lived(self, lives: Mapping[str, Life], found: Sequence[Finding]) -> dict[str, Life]:
        with loading("leaks.life"):
            from memprof_middleware.leaks.life import live
            from memprof_middleware.leaks.present import present
        return live(lives, found, lambda finding: present(self._past, finding))

    def _room(self) -> Room | None:
        first = self.measuring.first
        return None if first is None else room_of(first, self.others, len(self.others) + 1)

    def _reported(
        self, found: Iterable[Case], own: Mapping[str, Leak], history: History, route_of: RouteOf
    ) -> dict[str, Leak]:
        """The verdicts on all that was reported and is not over: the same names, whatever becomes known."""
        leaks: dict[str, Leak] = {}
        rank = functools.partial(telling_rank, scene=self._scene())
        for given in found:
            case = named_anew(given)
            incident = led(case, self._past, history, rank)
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
            for key in case.keys:
                self._lives[key] = self._lives[key].under(incident.leader.name, at)
            leak = self._verdict(incident, before, case.life.under(incident.leader.name, at), history, route_of)
            leaks.setdefault(leak.name, leak)
        return leaks

    def _watched(
        self,
        incidents: Sequence[Incident],
        found: dict[str, Leak],
        own: Mapping[str, Leak],
        over: set[str],
        history: History,
        route_of: RouteOf,
    ) -> None:
        """Add the verdicts on what only grows, or was confirmed by a setting, to those that were reported."""
        reported = {name for leak in found.values() for name in (leak.name, *leak.also)}
        own = {
            name: dataclasses.replace(leak, state="suspected") if name in over else leak for name, leak in own.items()
        }
        for incident in incidents:
            if not incident.names & reported:
                renamed = self._renamed(incident, own)
                before = first_told(renamed, own)
                found.setdefault(renamed.leader.name, self._verdict(renamed, before, None, history, route_of))
        # By the incidents too: of a large one a verdict lists some names only.
        members = (incident.names for incident in incidents)
        claimed = over.union(*((leak.name, *leak.also) for leak in found.values()), *members)
        left = {name: leak for name, leak in own.items() if name not in claimed}
        found |= {name: leak for name, leak in left.items() if not self._has_ended(leak, history)}

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
        history: History,
        route_of: RouteOf,
    ) -> Leak:
        route = self._route(incident.leader, route_of)
        if route == FedBy() and life is not None and life.finding.feed not in {REQUESTS, TIME}:
            route = FedBy(life.finding.feed)
        heap = functools.partial(heap_per_hour, history, incident.leader.since)
        leak = verdict_of(incident, self._config, before, route, life, heap)
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

    # -- what is only watched ------------------------------------------------------------------------------------

    def _scene(self) -> Scene:
        measuring, probes = self.measuring, self._probes
        return Scene(
            self._holders.paths,
            measuring.places,
            probes.rank,
            probes.module,
            self._in_step,
            measuring.exhaustive,
            self._holders.named,
        )

    def _in_step(self, a: str, b: str) -> bool:
        """Whether two series rise and fall together: of one look at every look, else in the long run."""
        with loading("leaks.populations"):
            from memprof_middleware.leaks.populations import lockstep, twins
        series = [self._past.series(name) for name in (a, b)]
        says_nothing = BUILTIN in {self._probes.rank(a), self._probes.rank(b)}
        alike = self._past.is_type(a) == self._past.is_type(b) and not says_nothing
        return (twins if alike else lockstep)(series[0], series[1])

    def _has_ended(self, leak: Leak, history: History) -> bool:
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

    def _count(self) -> None:
        names = {leak.name for leak in self.leaks}
        was = {life.was: life.told for life in self._lives.values() if life.was}  # counted under that name before
        self._reached |= {(was[name], severity) for name, severity in self._reached if name in was}
        reached = {(leak.name, leak.severity) for leak in self.leaks if leak.notable and not self.is_ignored(leak)}
        self.detections.update(severity for _, severity in reached - self._reached)
        self._reached = {pair for pair in self._reached | reached if pair[0] in names}


def _worst_first(leak: Leak) -> tuple[bool, bool, float]:
    return leak.state != "confirmed", not leak.notable, -leak.growth_percent
