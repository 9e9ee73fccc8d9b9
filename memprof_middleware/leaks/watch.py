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
from memprof_middleware.analysis.retention import Load
from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.heap.instruments import Instruments
from memprof_middleware.leaks.detector import still_open
from memprof_middleware.leaks.grouping import Place, Scene
from memprof_middleware.leaks.growth import FRAGMENTATION, NATIVE, UNTRACKED, Growth, find_growths
from memprof_middleware.leaks.incidents import Incident, find_incidents, to_search
from memprof_middleware.leaks.verdicts import has_ended, verdict_of
from memprof_middleware.model import MB, SEVERITIES, Leak
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
_COLUMNS = {UNTRACKED: ("allocated_blocks", 1.0), NATIVE: ("native_in_use_mb", MB), FRAGMENTATION: ("heap_used_mb", MB)}


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

    def __init__(self, probes: Instruments, config: Config, failures: Failures, halted: Callable[[], bool]) -> None:
        self._probes, self._config, self._failures, self._halted = probes, config, failures, halted
        self.forget()

    def _pause(self, seconds: float) -> None:
        if self._halted():
            raise _Halted
        real_sleep(seconds)

    def forget(self) -> None:
        """Begin anew: what was seen before a fork belongs to the parent."""
        self.leaks: tuple[Leak, ...] = ()
        self.detections: Counter[str] = Counter()  # by severity; a leak counts under each that it reaches
        self._inherited: tuple[Leak, ...] = ()  # open when the slot's last worker ended
        self._reached: set[tuple[str, str]] = set()
        self._places: dict[str, Place] = {}
        self._holders: dict[str, tuple[int, Sequence[tuple[str, float]]]] = {}
        self._routes: dict[str, tuple[float, str]] = {}
        self._calm_steps = 0
        self._walk_due = self._search_due = -math.inf  # by the monotonic clock

    def inherit(self, leaks: Sequence[Leak]) -> None:
        """Go on with the open leaks of the slot's last worker until they are seen to be over."""
        self._inherited = self.leaks = tuple(leaks)
        # They were counted under each severity up to the one they have.
        worst = {leak.name: SEVERITIES.index(leak.severity) for leak in leaks}
        self._reached = {(name, severity) for name, top in worst.items() for severity in SEVERITIES[: top + 1]}

    def measure(self, history: History, *, by_hand: bool) -> float:
        """Measure containers and other populations; the processor time that it took, in seconds.

        Dearer than a census, so it is left out during warm-up, in which the host has enough to do, while the budget has
        not got it, and nine times of ten while nothing is suspected; unless somebody asked for this snapshot.

        Args:
            history: where they are kept, beside the last snapshot.
            by_hand: somebody did.
        """
        now = time.monotonic()
        self._calm_steps -= 1
        warm = history.seen > self._config.warmup_snapshots
        calm = self._calm_steps > 0 and not self.leaks
        if not by_hand and (not warm or calm or now < self._walk_due):
            return 0.0
        self._calm_steps = _CALM_STEPS
        seconds = 0.0
        with self._failures.caught("probe_containers"), contextlib.suppress(_Halted):
            budget = _WALK_SPAN * self._config.cpu_budget / 100
            seconds = min(_LONGEST_WALK, max(_SHORTEST_WALK, budget))
            walk = self._probes.containers(most_seconds=seconds, pause=self._pause)
            places = {
                found.path: Place(found.path, None if found.unbounded else found.bound, found.holds)
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
            seconds = walk.cpu_seconds
            self._walk_due = now + self._rest_after(seconds)
        return seconds

    def _rest_after(self, seconds: float) -> float:
        """How long work of so many processor seconds is left alone afterwards."""
        return seconds / (_CPU_SHARE * self._config.cpu_budget / 100)

    def judge(
        self, history: History, route_of: Callable[[str], str | None], *, by_hand: bool
    ) -> tuple[list[Leak], list[Leak]]:
        """The open leaks, the worst first, and those that have ended since the last verdict.

        Args:
            history: the past, the last snapshot included.
            route_of: the route that makes a type grow, in words; empty if none is found, ``None`` while it is sought.
            by_hand: look for holders, whatever the budget.
        """
        before = self.leaks
        own = {leak.name: leak for leak in before if leak not in self._inherited}
        growths = find_growths(history, self._config, own)
        if by_hand or time.monotonic() >= self._search_due:
            self._search(history, to_search(growths, self._probes.rank))
        holders = {name: paths for name, (_, paths) in self._holders.items()}
        scene = Scene(holders, self._places, self._probes.rank, self._probes.module)
        found: dict[str, Leak] = {}
        for incident in find_incidents(growths, scene):
            leak = self._verdict(incident, own, route_of)
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
        return list(self.leaks), ended

    def _verdict(self, incident: Incident, own: Mapping[str, Leak], route_of: Callable[[str], str | None]) -> Leak:
        """The verdict, under the name that the incident was told by, if it was told before."""
        told = [own[name] for name in incident.names if name in own]
        before = max(told, key=lambda leak: (leak.state == "confirmed", -leak.detected_at), default=None)
        renamed = before is not None and before.name != incident.leader.name
        if before is not None and renamed and not self._is_better(incident.leader, before):
            members = {growth.name: growth for growth in (incident.leader, *incident.others)}
            others = tuple(growth for name, growth in members.items() if name != before.name)
            incident = dataclasses.replace(incident, leader=members[before.name], others=others)
        return verdict_of(incident, self._config, before, self._route(incident.leader, route_of))

    def _is_better(self, growth: Growth, before: Leak) -> bool:
        """Whether a suspicion had better be told under another name: the application's type came up after a builtin."""
        if before.state == "confirmed":
            return False
        if before.kind not in {"objects", "container"}:
            return growth.kind in {"objects", "container"}
        if growth.kind != "objects":
            return False
        return self._probes.rank(growth.name) < (self._probes.rank(before.name) if before.kind == "objects" else 2)

    def _route(self, growth: Growth, route_of: Callable[[str], str | None]) -> str:
        """Asked for once, and again when what grows has doubled: it takes a fit over all windows."""
        if growth.kind != "objects":
            return ""
        at, route = self._routes.get(growth.name, (0.0, ""))
        if growth.last >= _LOOK_AGAIN * at or (not route and growth.last >= 1.2 * at):
            found = route_of(growth.name)
            if found is not None:
                route = found or route
                self._routes[growth.name] = growth.last, route
        return route

    def _has_ended(self, leak: Leak, history: History) -> bool:
        begin = max(history.comparable_from, bisect_left(history.series("timestamp"), leak.since))
        indices: Sequence[int] = range(begin, len(history))
        if leak.kind == "objects":
            indices, series = history.counted(begin), history.counts(leak.name)
        elif leak.kind == "container":
            indices, series = history.measured(begin), history.lengths(leak.name)
        else:
            column, scale = _COLUMNS[leak.name]
            series = [round(scale * value) for value in history.series(column)]
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


def _worst_first(leak: Leak) -> tuple[bool, float]:
    return leak.state != "confirmed", -leak.growth_percent
