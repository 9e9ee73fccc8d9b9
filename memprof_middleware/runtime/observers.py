"""The features as observers: each evaluates a beat and returns conditions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.limits.capacity import CONDITION as EXHAUSTION
from memprof_middleware.limits.thresholds import CONDITIONS, heap_growth, measured
from memprof_middleware.model import Condition, FedBy, Leak, MemorySnapshot, RouteGrowth
from memprof_middleware.model.leak import routed
from memprof_middleware.model.urgency import URGENCIES, Urgency
from memprof_middleware.routes.growth import route_condition, route_leaks, untold
from memprof_middleware.runtime.beat import Beat, Conditions, Observer
from memprof_middleware.runtime.features import Features
from memprof_middleware.text.conditions import leak_message, restart
from memprof_middleware.text.headline import holder

LEAK, ROUTE_LEAK = "leak", "route_leak"


class Observers:
    """The observers of one process, in the order in which they look.

    Args:
        features: what observes.
    """

    def __init__(self, features: Features) -> None:
        self._features, self._config = features, features.config
        self._growing = False  # all memory grows as a leak does
        self._has_judged = False  # which route leaks, since this worker does it for all
        # Before the others: what they say of a limit is told by the forecast.
        self.capacity = Observer("capacity", self._capacity)
        self.leaks = Observer("leaks", self._leaks)
        self.thresholds = (
            self.capacity,
            Observer("thresholds", self._thresholds),
            Observer("learn", self._habits),
        )
        self.routes = Observer("route_growth", self._routes, waits=True)

    def all(self) -> tuple[Observer, ...]:
        """All observers of a step, in their order."""
        capacity, *others = self.thresholds
        return (capacity, self.leaks, *others, self.routes)

    def _leaks(self, beat: Beat) -> Conditions:
        """The leaks: confirmed ones, and suspicions that matter."""
        watch, triage = self._features.leaks, self._features.triage
        self._inform(beat)
        # Without a new count nothing is learned of types; of memory, if it grows, there may be.
        if beat.counted or beat.by_hand or watch.is_pressing():
            watch.judge(beat.history, lambda kind, name: self._fed_by(kind, name, beat), by_hand=beat.by_hand)
        elif watch.leaks:
            watch.tell_time(beat.history)
        else:
            return Conditions()
        growths = self._features.routes.growth
        known = [routed(leak, growths) for leak in triage.reported(watch.leaks)]
        reported = [leak for leak in known if leak.notable or leak.state == "confirmed"]
        reasons = {name: reason.removeprefix("it ") for name, reason in watch.reasons.items()}
        ignored = {leak.name for leak in watch.leaks if triage.is_ignored(leak)}
        how = functools.partial(self._restart, beat)
        found = [leak_condition(leak, self._config, beat.snapshot, how) for leak in reported]
        return Conditions((LEAK,), found, reasons, ignored)

    def _restart(self, beat: Beat, pid: int, *, planned: bool = False) -> str:
        """What to do about a process for which there is no time: a signal, where its server replaces it."""
        from memprof_middleware.recycling.detection import is_replaced, surroundings  # with the first that is urgent

        replaced = is_replaced(surroundings(), supervised=self._config.recycle_supervised)
        return restart(pid, replaced=replaced, alone=not beat.siblings, planned=planned)

    def _inform(self, beat: Beat) -> None:
        """Tell the leaks of the other workers, with which they share a limit, and of the forecast."""
        self._features.leaks.others, self._features.leaks.forecast = beat.others, self._features.capacity.forecast

    def _notable(self) -> list[Leak]:
        """The leaks and suspicions that somebody is told of."""
        return [leak for leak in self._features.triage.reported(self._features.leaks.leaks) if leak.notable]

    def _fed_by(self, kind: str, name: str, beat: Beat) -> FedBy | None:
        """The route that makes something grow; ``None`` while that is sought: ask again with the next step."""
        known, found = self._features.routes.ask(kind, name, beat.history, by_hand=beat.by_hand)
        if not known:
            return None
        return FedBy.of(found) if found else FedBy()

    def _thresholds(self, beat: Beat) -> Conditions:
        """The thresholds: each figure that is compared with one."""
        watch, levels = self._features.leaks, self._features.tuner.levels
        self._inform(beat)
        self._growing = watch.is_growing(beat.history)
        ahead = watch.ahead(beat.history)
        leaks = self._notable()
        found = measured(
            beat.history,
            self._config,
            beat.others,
            levels,
            growing=self._growing,
            ahead=ahead,
            leaks=leaks,
            how_to_restart=functools.partial(self._restart, beat),
        )
        return Conditions(CONDITIONS, found)

    def _capacity(self, beat: Beat) -> Conditions:
        """The forecast: each limit that will be reached within a day."""
        if beat.snapshot is None:
            return Conditions()
        capacity = self._features.capacity
        how = functools.partial(self._restart, beat)
        found = capacity.see(beat.snapshot, beat.siblings, beat.worker, self._notable(), how)
        return Conditions((EXHAUSTION,), found, capacity.over())

    def _habits(self, beat: Beat) -> Conditions:
        """The usual figures of the application: learned for the thresholds, and no condition."""
        tuner = self._features.tuner
        if beat.snapshot is not None and tuner.active:
            shared = shared_memory([beat.snapshot, *beat.others])
            growth = heap_growth(beat.history, self._config.warmup_snapshots)
            tuner.see(
                beat.snapshot,
                None if shared is None else shared.percent,
                None if growth is None else growth.percent,
                first=beat.first,
            )
        return Conditions()

    def _routes(self, beat: Beat) -> Conditions:
        """The routes that leak, over all workers; judged by the worker with the lowest number.

        A route that keeps memory is a leak only beside the evidence that something leaks, in any worker: a young
        process keeps much with each request. Who begins to judge goes on with what the others say is reported.
        """
        routes, leaks, triage = self._features.routes, self._features.leaks, self._features.triage
        siblings = [sibling.worker for sibling in beat.siblings]
        growing = self._growing or any(leak.state == "confirmed" for leak in triage.reported(leaks.leaks))
        pressing = growing or any(leak.notable for leak in leaks.leaks)
        windows_of = self._features.group.windows
        routes.judge(beat.worker, siblings, windows_of, pressing=pressing, by_hand=beat.by_hand)
        self._has_judged = routes.judges and (self._has_judged or routes.judged)
        if not self._has_judged:
            return self._routes_of_others(beat)
        if not routes.judged:
            return Conditions()
        known = [
            growth
            for growth in routes.growth
            if not all(map(triage.ignores_route, (growth.route, *growth.together_with)))
        ]
        found = [one for one in self._leaking(known, beat) if not triage.ignores_route(one.route)]
        growing = growing or any(sibling.confirmed for sibling in beat.siblings)
        return Conditions((ROUTE_LEAK,), found, cause=growing)

    def _leaking(self, growths: Sequence[RouteGrowth], beat: Beat) -> list[Condition]:
        """The routes that leak as conditions, as urgent as the confirmed leaks of this process."""
        reported = self._features.triage.reported(self._features.leaks.leaks)
        confirmed = [leak for leak in reported if leak.state == "confirmed"]
        urgent: Urgency = max((leak.urgency for leak in confirmed), key=URGENCIES.index, default="plan")
        hours = min((leak.hours_left for leak in confirmed if leak.hours_left is not None), default=None)
        seconds = None if hours is None else 3600 * hours
        heap_mb = None if beat.snapshot is None else beat.snapshot.heap_size_mb
        routes = {route for leak in confirmed for route in routed(leak, growths).routes}
        pids = {sibling.worker: sibling.pid for sibling in beat.siblings}
        pids |= {} if beat.snapshot is None else {beat.worker: beat.snapshot.pid}
        return [
            route_condition(
                leak,
                self._config,
                heap_mb,
                urgent,
                seconds,
                pids.get(leak.growth.worker),
                said=routes.issuperset(leak.routes),
            )
            for leak in route_leaks(untold(growths, reported), self._config)
        ]

    def _routes_of_others(self, beat: Beat) -> Conditions:
        """The routes that leak, as another worker has reported them; nothing is known while none of them has judged."""
        told = [one.route_leaks for one in sorted(beat.siblings, key=lambda sibling: int(sibling.worker))]
        known = next((leaks for leaks in told if leaks is not None), None)
        if known is None:
            return Conditions()
        return Conditions((ROUTE_LEAK,), [route_condition(leak, self._config) for leak in known], elsewhere=True)


def leak_condition(
    leak: Leak, config: Config, snapshot: MemorySnapshot | None = None, how_to_restart: Callable[..., str] = restart
) -> Condition:
    """A leak as a condition.

    Args:
        leak: the leak.
        config: the limits.
        snapshot: the last one, of the process that it is in.
        how_to_restart: returns what to do about a process: now, or ``planned``.
    """
    advice = ""
    room = "" if snapshot is None or leak.urgency not in {"now", "today"} else _room(leak, snapshot)
    if snapshot is not None and leak.urgency in {"now", "today"}:
        advice = how_to_restart(snapshot.pid, planned=leak.urgency == "today")
    return Condition(
        LEAK,
        leak.severity,
        leak.growth_percent,
        config.leak_growth_percent,
        leak_message(leak, room),
        subject=leak.name,
        urgency=leak.urgency,
        limit_seconds=None if leak.hours_left is None else 3600 * leak.hours_left,
        advice=advice,
        holder=holder(leak),
        route=leak.route,
        per_hour=leak.bytes_per_hour or None,
        leak=leak,
        also=leak.also,
    )


def _room(leak: Leak, snapshot: MemorySnapshot) -> str:
    """What is used of the limit that the leak reaches, and by which process."""
    used, size, who = snapshot.heap_used_mb, snapshot.heap_size_mb, ""
    if leak.shared_limit:
        used, size, who = snapshot.container_used_mb, snapshot.container_size_mb, "container "
    figures = "" if used is None or size is None else f"{who}{used:.0f} of {size:.0f} MiB, "
    return f"{figures}process {snapshot.pid}"
