"""The evaluation of one process: the features observe a beat, and changes of conditions are reported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.model import Alert, Leak, MemoryMetrics, RouteGrowth, RouteLeak
from memprof_middleware.routes.growth import group_growth, route_condition
from memprof_middleware.routes.watch import most_growth
from memprof_middleware.runtime.alerts import AlertManager
from memprof_middleware.runtime.beat import Beat, Conditions, Observer
from memprof_middleware.runtime.features import Features
from memprof_middleware.runtime.observers import ROUTE_LEAK, Observers, leak_condition
from memprof_middleware.runtime.publisher import Publisher
from memprof_middleware.runtime.reporting import Reporter
from memprof_middleware.runtime.setup import Setup
from memprof_middleware.runtime.snapshots import Snapshots
from memprof_middleware.workers.incident_claims import IncidentClaims


class Evaluator:
    """Have the observers evaluate a beat, and report the conditions that begin, rise and end.

    Args:
        setup: the settings and the callbacks.
        features: the features.
        snapshots: the snapshots of this process.
        publisher: reads the figures of the other workers.
        budget: the CPU budget.
        failures: where the failure of an observer is counted.

    Attributes:
        reporter: reports each change.
        workers: the number of workers of the server at the last beat, this one included.
    """

    def __init__(
        self,
        setup: Setup,
        features: Features,
        snapshots: Snapshots,
        publisher: Publisher,
        budget: CpuBudget,
        failures: Failures,
    ) -> None:
        self._features, self._snapshots, self._publisher = features, snapshots, publisher
        self._budget, self._failures, group = budget, failures, features.group
        self._claims = IncidentClaims(lambda: group.shared_folder, failures)
        page = f"{setup.config.page_path}/" if setup.config.page_path and setup.config.token is not None else ""
        callbacks = setup.alert_callbacks, setup.leak_callbacks
        self.reporter = Reporter(setup.logger, failures, self._claims, features.triage, page, *callbacks)
        self._alerts = AlertManager(self.reporter)
        self._observers = Observers(features)
        self.workers = 1

    def beat(self, *, counted: bool = True, by_hand: bool = False) -> Beat:
        """The beat of now; the siblings are read once for all observers."""
        siblings = tuple(self._features.group.siblings(os.getpid()))
        self._claims.live = [sibling.pid for sibling in siblings]
        self.workers = 1 + len(siblings)
        self._features.triage.read()
        taken, worker = self._snapshots, self._features.group.worker
        return Beat(taken.last_time, taken.last, taken.history, worker, siblings, counted, by_hand)

    def observe(self, beat: Beat, observers: Iterable[Observer] | None = None) -> list[Conditions]:
        """Have observers evaluate a beat, by default all of them, and charge the budget; a failure stops no other."""
        found = []
        for observer in self._observers.all() if observers is None else observers:
            lock = contextlib.nullcontext() if observer.waits else self._snapshots.lock
            with self._failures.caught(observer.kind), lock, self._budget.charging("evaluation"):
                found.append(observer.observe(beat))
        return found

    def report(self, found: Iterable[Conditions], now: float) -> None:
        """Report what has changed since the last beat."""
        for conditions in found:
            with self._failures.caught("alerts"):
                self._alerts.update(conditions, now)

    def _ask(self, *observers: Observer) -> None:
        """Run observers now, for a caller who waits for the result."""
        beat = self.beat(by_hand=True)
        self.report(self.observe(beat, observers), beat.now)

    def detect_leaks(self) -> list[Leak]:
        """Judge the history; the open leaks, the worst first."""
        self._ask(self._observers.leaks)
        return list(self.leaks)

    def check_thresholds(self) -> list[Alert]:
        """Judge the last snapshot against the thresholds; the conditions that are met, leaks included."""
        self._ask(*self._observers.thresholds)
        return self.alerts

    def judge_routes(self) -> list[RouteGrowth]:
        """Judge the memory that requests of each route leave behind, in all workers; the largest first."""
        self._ask(self._observers.routes)
        return self.route_growth()

    def route_growth(self) -> list[RouteGrowth]:
        """The last result of :meth:`judge_routes`, of this worker or of the one that judges for all."""
        return list(self._features.routes.growth) or list(group_growth(self._publisher.workers()))

    def route_of(self, type_name: str) -> RouteGrowth | None:
        """The route whose requests make a type grow in this worker; ``None`` if none is found."""
        with self._snapshots.lock:
            windows = self._features.routes.windows_of("objects", type_name, self._snapshots.history)
        return most_growth(type_name, windows)

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """The open leaks that are not ignored, the worst first."""
        return self._features.triage.reported(self._features.leaks.leaks)

    @property
    def route_leaks(self) -> tuple[RouteLeak, ...] | None:
        """The routes that are reported to leak, by this or another worker; ``None``: none of them has judged yet."""
        told = self._alerts.reported(ROUTE_LEAK)
        return None if told is None else tuple(one.kept for one in told if one.kept is not None)

    @property
    def alerts(self) -> list[Alert]:
        """The conditions that are met, as they were reported last."""
        return self._alerts.active

    def inherit(self, predecessor: MemoryMetrics) -> None:
        """Take over the baseline and the open leaks of the predecessor, the last worker with this number."""
        with self._snapshots.lock:
            self._snapshots.inherit_baseline(predecessor.baseline)
            self._features.leaks.inherit(predecessor.leaks)
        now, config = self._snapshots.last_time, self._features.config
        # Before the first beat: else what the other workers have reported would be nobody's.
        self._claims.live = [sibling.pid for sibling in self._features.group.siblings(os.getpid())]
        confirmed = [leak for leak in predecessor.leaks if leak.state == "confirmed"]
        self._alerts.adopt([leak_condition(leak, config) for leak in confirmed], now)
        self._alerts.adopt(self._features.capacity.inherit(predecessor), now)
        self._alerts.adopt([route_condition(leak, config) for leak in predecessor.route_leaks or ()], now)
