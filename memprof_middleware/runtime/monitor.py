"""The monitor of one process: it lets the probes measure, the features judge and the outputs tell."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

from memprof_middleware.analysis.baseline import drift
from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.evidence.trigger import EvidenceWatch
from memprof_middleware.failures import Failures
from memprof_middleware.flame.recorder import FlameRecorder, tightness
from memprof_middleware.leaks.triage import FILE_NAME, Triage
from memprof_middleware.leaks.watch import LeakWatch
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot, RouteGrowth
from memprof_middleware.model.urgency import URGENCIES, Urgency
from memprof_middleware.purse import Purse
from memprof_middleware.routes.growth import group_growth
from memprof_middleware.routes.watch import RouteWatch, most_growth
from memprof_middleware.runtime.alerts import AlertManager
from memprof_middleware.runtime.baseline_file import read_baseline
from memprof_middleware.runtime.beat import Beat, Conditions, Observer
from memprof_middleware.runtime.budget import Governor
from memprof_middleware.runtime.given import Given
from memprof_middleware.runtime.notices import Notices
from memprof_middleware.runtime.observers import Features, Observers, leak_condition
from memprof_middleware.runtime.pulse import Pulse
from memprof_middleware.runtime.report import figures_of
from memprof_middleware.runtime.reporting import Reporter, borrow_server_log
from memprof_middleware.runtime.sampler import Sampler
from memprof_middleware.runtime.snapshotter import Camera
from memprof_middleware.sinks.group import Sinks
from memprof_middleware.text.headline import subject
from memprof_middleware.weakly import weakly
from memprof_middleware.workers.group import WorkerGroup
from memprof_middleware.workers.pasts import Pasts
from memprof_middleware.workers.reported import Reported

# How long a server may take from starting the application to listening.
_BIND_SECONDS = 60.0
_STOP_SECONDS = 1.0


class ProcessMonitor:
    """All of a profiler that belongs to one process. Made anew in a new one, never reset.

    Making one starts nothing and reads nothing; :meth:`enter` comes before its first use.

    Args:
        given: what outlives the process.

    Attributes:
        pid: the process.
        failures: the profiler's own failures, by kind.
        history: the last snapshots.
        snapshot: the last one.
        published: what the other workers see; a scrape answered here shows the same.
    """

    def __init__(self, given: Given) -> None:
        self.given, self.config, self.traffic = given, given.config, given.traffic
        self.pid = os.getpid()
        self.start_time = given.clock()
        self.failures = Failures(given.logger)
        self._lock, self._publishing, self._entrance = threading.Lock(), threading.Lock(), threading.Lock()
        self._entered = self.stopped = self.stepping = False
        self.history = History(self.config.history_size, self.config.top_types)
        self.snapshot: MemorySnapshot | None = None
        self.heap_start_mb: float | None = None
        self._own_baseline: MemorySnapshot | None = None
        self.published: MemoryMetrics | None = None
        self.stepped_at = time.monotonic()
        self._pulse = Pulse(self.config.interval, time.monotonic())
        self._notices = Notices(self.pid, self.failures)
        # Where time is simulated, what is earned in it pays for the work that is done in it.
        clock = time.monotonic if given.clock is time.time else given.clock
        self.purse = Purse(self.config.cpu_budget, clock)
        self.governor = Governor(self.config, self.purse, self._notices.counted_rarely)
        self.group = WorkerGroup(given.probes.listener, self.config.run_dir, self.failures)
        self._wire_features(given)
        self._wire_outlets(given)
        self._wire_thread()

    def _wire_features(self, given: Given) -> None:
        probes, config, failures = given.probes, self.config, self.failures
        self.camera = Camera(probes, config, given.clock, failures, self.traffic, given.trace)
        self.leak_watch = LeakWatch(probes, config, failures, weakly(self._is_halted), self.purse)
        self.route_watch = RouteWatch(self.traffic, probes, given.clock, config.warmup_snapshots, failures, self.purse)
        self.capacity = Capacity(failures)
        self.tuner = given.tuner(config, failures)
        self.triage = Triage(
            config.ignore,
            functools.partial(_triage_path, config, self.group),
            weakly(self._urgency_of),
            given.clock,
            failures,
        )
        self.leak_watch.is_ignored = self.triage.is_ignored
        parts = (self.leak_watch, self.route_watch, self.capacity, self.tuner, self.triage)
        self._observers = Observers(Features(*parts, config, self.group))
        self.evidence_watch = EvidenceWatch(probes, config, failures, functools.partial(_run_name, self.group))
        self.recycler = given.recycler(self, probes, callbacks=given.remedies)

    def _wire_outlets(self, given: Given) -> None:
        self.pasts = Pasts(self.group, self.history, self.failures)
        self.sinks = Sinks(given.sinks, self)
        self._reported = Reported(functools.partial(_shared, self.group), self.failures)
        page = self.config.page_path if self.config.token is not None else None
        callbacks = given.alert_callbacks, given.leak_callbacks
        self._reporter = Reporter(
            given.logger, self.failures, self._reported, self.triage, f"{page}/" if page else "", *callbacks
        )
        self._reporter.outlets.append(self.sinks.event)
        self.alert_manager = AlertManager(self._reporter)
        # What a thread of ours holds must not lead back here: who drops the profiler wants it, and all it holds, freed.
        group, traffic = self.group, self.traffic
        self.flames = FlameRecorder(
            folder=lambda: None if group.slot is None else group.slot.folder,
            worker=lambda: group.worker,
            requests=lambda: traffic.total,
            tight=weakly(self._tightness),
            clock=given.clock,
            failures=self.failures,
        )

    def _wire_thread(self) -> None:
        self._let_go = functools.partial(_let_go, self.sinks, self.flames, self.camera, self.group)
        self.sampler = Sampler(
            weakly(self.beat),
            self.config.interval,
            background=self.config.background and self.config.enabled,
            on_start=weakly(self._on_start),
            unsettled=weakly(self.between_steps),
            on_abandoned=self._let_go,
        )
        # The thread holds the sampler; where there is none, all goes together.
        weakref.finalize(self, self.sampler.abandon).atexit = False

    # -- life ----------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Read what was learned and saved before; once, and whoever else comes waits until it is done."""
        if not self._entered:
            with self._entrance:
                if not self._entered:
                    try:
                        self._read_files()
                    finally:
                        self._entered = True

    def _read_files(self) -> None:
        with self.failures.caught("start"):
            self.tuner.open()
        if self.config.baseline_file is not None and self.given.baseline is None:
            with self.failures.caught("baseline_file"):
                self.given.baseline = read_baseline(self.config.baseline_file)

    def open_probes(self) -> None:
        """Begin to watch at once, and not with the first snapshot."""
        with self._lock:
            self.camera.open()

    def start(self) -> None:
        """Start to work, also after :meth:`stop`.

        Raises:
            RuntimeError: the process may not start threads.
        """
        self.stopped = False
        self.group.open()
        self.sinks.open()
        self.sampler.start()

    def stop(self) -> None:
        """Stop, and leave the process as it was found; within a second."""
        deadline = time.monotonic() + _STOP_SECONDS
        self.stopped = True
        self.sampler.stop()
        self._let_go(deadline)

    def _on_start(self) -> None:
        # The probes open with the first snapshot: behind an adapter, who takes none has nothing of ours in the process.
        if not self.config.enabled:
            return
        with self.failures.caught("log"):
            borrow_server_log(self.logger)
        if self.config.background:
            self._notices.started(self.config.interval, self.given.faces)
        with self.failures.caught("publish"):
            self.publish()  # the other workers' scrapes show this one from now on, not from its first snapshot on

    # -- beat ----------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """A step in the thread."""
        if self._pulse.beat(time.monotonic()):
            self._notices.thread_runs()
        self.step()
        self._pulse.beat(time.monotonic())

    def step(self) -> None:
        """Measure, judge and tell. Never raises."""
        self.stepped_at = time.monotonic()
        self.stepping = True
        try:
            with self.purse.paying("judging"):
                self._step()
        finally:  # a handler of a signal may raise in here, in a scrape
            self.stepping = False

    def _step(self) -> None:
        with self.failures.caught("step"):
            stride = self.governor.stride()
            self.take_snapshot(stride)
            with self._publishing:  # what a predecessor has reported is known before anything is judged
                self._join()
            beat = self.look(counted=stride is not None)
            found = self._observe(beat, self._observers.all())
            self.publish()
            self._keep_evidence(beat)
            self._report(found, beat.now)
            self.purse.charge("shown", self.flames.take_cost())
        with self.failures.caught("timeline"), self._publishing:  # a step by hand may run beside the thread's
            self.pasts.keep(self.published)
        self.sinks.publish(self.published)
        with self.failures.caught("recycle"):
            self.recycler.step(self.snapshot)

    def step_if_overdue(self) -> None:
        """Take the place of a thread that does not run, once an interval."""
        if not self.sampler.background or self.stopped or self.stepping:
            return
        now = time.monotonic()
        if self._pulse.is_missing(now, alive=self.sampler.running or self.sampler.starting):
            self._notices.no_thread()
            if self.snapshot is None or now - self.stepped_at >= self.config.interval:
                self.step()

    def between_steps(self) -> bool:
        """What cannot wait for the next snapshot, once a second; whether there is something of that kind."""
        waits = self._waits_for_server()
        if self.config.token is None:  # nobody can ask for a flame graph
            return waits
        self.flames.beat()
        return True

    def _waits_for_server(self) -> bool:
        """Some servers bind only after they have started the application: look again until it is known where."""
        if self.group.settled or self.now() - self.start_time > _BIND_SECONDS:
            return False
        self.publish()
        return not self.group.settled

    # -- measure and judge ---------------------------------------------------------------------------------------

    def take_snapshot(self, stride: int | None = 1, *, by_hand: bool = False) -> MemorySnapshot:
        """Look at this process now and keep the result in the history.

        Args:
            stride: count every how-many-th object; ``None``: none.
            by_hand: somebody asked for it, whatever the budget.
        """
        with self._lock:
            with self.purse.paying("judging"):
                allocator = self.route_watch.read(self.history.seen + 1)  # before the census, which allocates
            max_age = 0.0 if by_hand else self.config.interval / 2
            snapshot, census, cpu_seconds = self.camera.take(stride, allocator, max_age=max_age)
            self.purse.charge("judging", cpu_seconds)
            if census is not None:
                if not census.age_seconds:  # else another one has paid
                    self.purse.charge("count", census.cpu_seconds)  # measured in there: under gevent by another thread
                self.governor.counted(census)
            self.history.append(snapshot, census.counts if census else None)
            counts, requests = None if census is None else census.counts, self.traffic.read()[0]
            self.leak_watch.measure(self.history, counts, requests, by_hand=by_hand)
            if self._own_baseline is None and self.history.seen > self.config.warmup_snapshots:
                self._own_baseline = snapshot
            self.snapshot = snapshot
            if self.heap_start_mb is None:
                self.heap_start_mb = snapshot.heap_used_mb
        return snapshot

    def look(self, *, counted: bool = True, by_hand: bool = False) -> Beat:
        """Return what is judged now; the siblings are read once for all observers."""
        siblings = tuple(self.group.siblings(self.pid))
        self._reported.live = [sibling.pid for sibling in siblings]
        self.triage.read()
        return Beat(self.last_time, self.snapshot, self.history, self.worker, siblings, counted, by_hand)

    def _observe(self, beat: Beat, observers: Iterable[Observer]) -> list[Conditions]:
        """Have each observer look, and pay for it; one that fails harms no other."""
        found = []
        for observer in observers:
            lock = contextlib.nullcontext() if observer.waits else self._lock
            with self.failures.caught(observer.kind), lock, self.purse.paying("judging"):
                found.append(observer.observe(beat))
        return found

    def _report(self, found: Iterable[Conditions], now: float) -> None:
        for conditions in found:
            with self.failures.caught("alerts"):
                self.alert_manager.update(conditions, now)

    def _ask(self, *observers: Observer) -> None:
        """Have observers look now, for somebody who waits for the answer."""
        beat = self.look(by_hand=True)
        self._report(self._observe(beat, observers), beat.now)

    def detect_leaks(self) -> list[Leak]:
        """Judge the history; the open leaks, the worst first."""
        self._ask(self._observers.leaks)
        return list(self.leaks)

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """The open leaks that are not ignored, the worst first."""
        return self.triage.reported(self.leak_watch.leaks)

    def check_thresholds(self) -> list[Alert]:
        """Judge the last snapshot against the thresholds; the conditions that are met, leaks included."""
        self._ask(*self._observers.thresholds)
        return self.alerts

    def judge_routes(self) -> list[RouteGrowth]:
        """What a request keeps, by route, over all workers of the server; the routes that keep most first."""
        self._ask(self._observers.routes)
        return self.route_growth()

    def route_growth(self) -> list[RouteGrowth]:
        """What was found out last by :meth:`judge_routes`, in this worker or in the one that does it for all."""
        return list(self.route_watch.growth) or list(group_growth(self.workers()))

    def route_of(self, type_name: str) -> RouteGrowth | None:
        """The route whose requests make a type grow in this worker; ``None`` if none is found."""
        with self._lock:
            windows = self.route_watch.windows_of("objects", type_name, self.history)
        return most_growth(type_name, windows)

    def evidence(self, cause: str) -> Path | None:
        """Write an evidence file now; where it is, ``None`` if there is none. Never raises."""
        return self._write_evidence(cause, ())

    def _write_evidence(self, cause: str, about: tuple[str, ...]) -> Path | None:
        return self.evidence_watch.write(
            cause, about, self.metrics(), self.history, self.route_growth(), self.logger, self.last_time
        )

    def _keep_evidence(self, beat: Beat) -> None:
        """Write an evidence file if something has come up that asks for one; the leak's own line will name it."""
        self._reporter.evidence = {}
        if self.config.background and self.config.evidence and self.published is not None:
            self._reporter.evidence = self.evidence_watch.consider(
                list(beat.siblings), self.published, beat.now, self._write_evidence
            )

    # -- what others see -----------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Let a scrape, whichever worker answers it, see the state as it is now."""
        with self._publishing:  # figures that were taken later must not be overwritten by older ones
            self._join()  # in here: a scrape must not see the slot taken and what comes with it not yet inherited
            self.published = self.metrics()
            self.group.publish(self.published, self.route_watch.published)

    def settle(self) -> None:
        """Be seen, before a scrape: a young worker takes its place, and one without a thread publishes each time."""
        if self.published is None or not self.group.settled or not self.sampler.background:
            self.publish()

    @property
    def live_workers(self) -> int:
        """How many workers the server has, this one included."""
        return 1 + len(self.group.siblings(self.pid))

    def workers(self) -> list[MemoryMetrics]:
        """What each live worker of the server tells the outside, this one included; measures and publishes nothing."""
        with self._publishing:  # not between the others' seeing new figures and our own
            published = self.published
        return self.group.workers(published or self.metrics())

    def metrics(self) -> MemoryMetrics:
        """Everything this process tells the outside, as of the last snapshot; measures nothing."""
        return figures_of(self)

    def _join(self) -> None:
        if self.config.enabled:
            predecessor = self.group.join()
            # Who joins late, because there was no folder for it before, has a past of its own.
            if predecessor is not None and self.now() - self.start_time <= _BIND_SECONDS:
                self.inherit(predecessor)

    def inherit(self, predecessor: MemoryMetrics) -> None:
        """Go on where the slot's last worker ended: its baseline, and its open leaks until they are seen to be over."""
        with self._lock:
            if predecessor.baseline is not None:
                self._own_baseline = predecessor.baseline
            self.leak_watch.inherit(predecessor.leaks)
        confirmed = [leak for leak in predecessor.leaks if leak.state == "confirmed"]
        self.alert_manager.adopt([leak_condition(leak, self.config) for leak in confirmed], self.last_time)
        self.alert_manager.adopt(self.capacity.inherit(predecessor), self.last_time)

    @property
    def baseline(self) -> MemorySnapshot | None:
        """What drift is measured against; ``None`` until one is set, loaded or taken after warm-up."""
        if self.given.baseline is not None:
            return self.given.baseline
        return self._own_baseline if self.config.auto_baseline else None

    @property
    def drift(self) -> DriftReport | None:
        """How far the last snapshot is from the baseline; ``None`` while one of them is missing."""
        baseline = self.baseline
        return None if baseline is None or self.snapshot is None else drift(baseline, self.snapshot)

    @property
    def alerts(self) -> list[Alert]:
        """The conditions that are met, as they were reported last."""
        return self.alert_manager.active

    @property
    def worker(self) -> str:
        """The label that tells this process from its siblings: the number of its slot."""
        return self.group.worker

    @property
    def logger(self) -> logging.Logger:
        """Where alerts and failures go."""
        return self.given.logger

    def use_logger(self) -> None:
        """Tell the logger that is given now."""
        self._reporter.logger = self.failures.logger = self.given.logger

    def now(self) -> float:
        """The time by the profiler's clock, in seconds since the epoch."""
        return self.given.clock()

    @property
    def last_time(self) -> float:
        """When the last snapshot was taken; before the first, now."""
        return self.now() if self.snapshot is None else self.snapshot.timestamp

    def _urgency_of(self, incident: str) -> Urgency:
        """The urgency of an incident now, in the worker that has it worst."""
        leaks = (leak for worker in self.workers() for leak in worker.leaks)
        named = (leak.urgency for leak in leaks if incident in {subject(leak), leak.name})
        return max(named, key=URGENCIES.index, default="none")

    def _is_halted(self) -> bool:
        """Whether a step under way is no longer wanted."""
        return self.stopped and self.stepping

    def _tightness(self) -> str | None:
        return tightness(self.snapshot, self.given.probes, self.config)


def _let_go(
    sinks: Sinks, flames: FlameRecorder, camera: Camera, group: WorkerGroup, deadline: float | None = None
) -> None:
    """Give back what the process was asked for, up to a moment of the monotonic clock."""
    sinks.close(deadline)
    flames.stop()
    camera.close()
    group.leave()


def _shared(group: WorkerGroup) -> Path | None:
    """The folder of what the workers share; ``None`` while alone."""
    return None if group.slot is None else group.slot.shared


def _triage_path(config: Config, group: WorkerGroup) -> Path | None:
    """Where decisions about incidents are kept: beside what was learned, else as long as the server runs."""
    folder = config.state_folder or _shared(group)
    return folder and folder / FILE_NAME


def _run_name(group: WorkerGroup) -> str:
    """Names this run of the server; of a process that is alone, that process."""
    return str(os.getpid()) if group.slot is None else group.slot.run
