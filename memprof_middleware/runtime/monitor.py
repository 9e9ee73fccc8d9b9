"""The monitor of one process: it lets the probes measure, the features judge and the outputs tell."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from memprof_middleware.analysis.baseline import drift
from memprof_middleware.analysis.history import History
from memprof_middleware.evidence.trigger import EvidenceWatch
from memprof_middleware.failures import Failures
from memprof_middleware.flame.recorder import FlameRecorder, tightness
from memprof_middleware.leaks.watch import LeakWatch
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot, RouteGrowth
from memprof_middleware.routes.growth import group_growth
from memprof_middleware.routes.watch import RouteWatch, most_growth
from memprof_middleware.runtime.alerts import AlertBook, borrow_server_log, leak_breach, tell_suspicions
from memprof_middleware.runtime.baseline_file import read_baseline
from memprof_middleware.runtime.beat import Beat
from memprof_middleware.runtime.budget import Governor
from memprof_middleware.runtime.given import Given
from memprof_middleware.runtime.observers import (
    Conditions,
    observe_capacity,
    observe_habits,
    observe_leaks,
    observe_routes,
    observe_thresholds,
)
from memprof_middleware.runtime.pulse import Pulse
from memprof_middleware.runtime.report import figures_of
from memprof_middleware.runtime.sampler import Sampler
from memprof_middleware.runtime.snapshotter import Camera
from memprof_middleware.sinks.group import Sinks
from memprof_middleware.weakly import weakly
from memprof_middleware.workers.group import WorkerGroup
from memprof_middleware.workers.pasts import Pasts

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
        self._growing = False  # all memory grows as a leak does
        self._own_baseline: MemorySnapshot | None = None
        self.published: MemoryMetrics | None = None
        self.stepped_at = time.monotonic()
        self._pulse = Pulse(self.config.interval, time.monotonic())
        self._said: set[str] = set()
        self.governor = Governor(self.config, time.monotonic(), weakly(self._say_rarely))
        self.group = WorkerGroup(given.probes.listener, self.config.run_dir, self.failures)
        self._wire_features(given)
        self._wire_outlets(given)
        self._wire_thread()

    def _wire_features(self, given: Given) -> None:
        probes, config, failures = given.probes, self.config, self.failures
        self.camera = Camera(probes, config, given.clock, failures, self.traffic, given.trace)
        self.leak_watch = LeakWatch(probes, config, failures, weakly(self._is_halted))
        self.route_watch = RouteWatch(self.traffic, probes, given.clock, config.warmup_snapshots, failures)
        self.capacity = Capacity(failures)
        self.tuner = given.tuner(config, failures)
        self.evidence_watch = EvidenceWatch(probes, config, failures, functools.partial(_run_name, self.group))
        self.recycler = given.recycler(self, probes, callbacks=given.remedies)

    def _wire_outlets(self, given: Given) -> None:
        self.pasts = Pasts(self.group, self.history, self.failures)
        self.sinks = Sinks(given.sinks, self)
        self.alert_book = AlertBook(given.logger, self.failures, given.alert_callbacks)
        self.alert_book.callbacks.append(self.sinks.event)
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
                self.logger.info(
                    "memprof: watching process %d, a snapshot every %g s",
                    self.pid,
                    self.config.interval,
                    extra={"memprof_pid": self.pid},
                )
        with self.failures.caught("publish"):
            self.publish()  # the other workers' scrapes show this one from now on, not from its first snapshot on

    # -- beat ----------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """A step in the thread."""
        if self._pulse.beat(time.monotonic()):
            self._say_once(
                "runs", "the background thread runs in process %d after all: scrapes leave the work to it again"
            )
        self.step()
        self._pulse.beat(time.monotonic())

    def step(self) -> None:
        """Measure, judge and tell. Never raises."""
        self.stepped_at = time.monotonic()
        self.stepping = True
        try:
            with self.governor.paying_rest():
                self._step()
        finally:  # a handler of a signal may raise in here, in a scrape
            self.stepping = False

    def _step(self) -> None:
        with self.failures.caught("step"):
            stride = self.governor.stride(time.monotonic())
            self.take_snapshot(stride)
            beat = self.look()
            # Without a new count nothing is learned of types; of memory, if it grows, there may be.
            if stride is not None or self.leak_watch.is_pressing():
                self.detect_leaks(beat)
            self.check_thresholds(beat)
            self._judge_routes(beat)
            self.publish()
            if self.config.background and self.config.evidence and self.published is not None:
                self.evidence_watch.consider(list(beat.siblings), self.published, beat.now, self._write_evidence)
            self.governor.spent(self.flames.take_cost(), time.monotonic())
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
            self._say_once(
                "missing",
                "the background thread does not run in process %d, so each scrape takes the snapshot instead; "
                + _remedy(),
            )
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

    def _say_once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            with self.failures.caught("log"):
                self.logger.warning(f"memprof: {text}", self.pid, extra={"memprof_pid": self.pid})

    def _say_rarely(self, text: str) -> None:
        """Objects are counted less often than the interval says: once at INFO, then for who looks closely."""
        level = logging.DEBUG if "rarely" in self._said else logging.INFO
        self._said.add("rarely")
        with self.failures.caught("log"):
            self.logger.log(level, "memprof: %s", text, extra={"memprof_pid": self.pid})

    # -- measure and judge ---------------------------------------------------------------------------------------

    def take_snapshot(self, stride: int | None = 1, *, by_hand: bool = False) -> MemorySnapshot:
        """Look at this process now and keep the result in the history.

        Args:
            stride: count every how-many-th object; ``None``: none.
            by_hand: somebody asked for it, whatever the budget.
        """
        with self._lock:
            with self.governor.paying():
                allocator = self.route_watch.read(self.history.seen + 1)  # before the census, which allocates
            max_age = 0.0 if by_hand else self.config.interval / 2
            snapshot, census, cpu_seconds = self.camera.take(stride, allocator, max_age=max_age)
            self.governor.spent(cpu_seconds, time.monotonic())
            if census is not None:
                self.governor.counted(census, time.monotonic())
            self.history.append(snapshot, census.counts if census else None)
            counts, requests = None if census is None else census.counts, self.traffic.read()[0]
            spent = self.leak_watch.measure(self.history, counts, requests, by_hand=by_hand)
            self.governor.spent(spent, time.monotonic())
            if self._own_baseline is None and self.history.seen > self.config.warmup_snapshots:
                self._own_baseline = snapshot
            self.snapshot = snapshot
            if self.heap_start_mb is None:
                self.heap_start_mb = snapshot.heap_used_mb
        return snapshot

    def look(self) -> Beat:
        """What there is to be judged now; the siblings are read once for all who judge."""
        return Beat(self.last_time, self.snapshot, self.history, self.worker, tuple(self.group.siblings(self.pid)))

    def _ask(
        self, kind: str, observe: Callable[[], Conditions], now: float, lock: threading.Lock | None = None
    ) -> Conditions:
        """Have an observer look, pay for it, and tell what begins and ends; one that fails harms no other."""
        found = Conditions()
        with self.failures.caught(kind):
            with lock or contextlib.nullcontext(), self.governor.paying():
                found = observe()
            self.alert_book.update(found.breaches, found.judged, now, found.reasons)
        return found

    def detect_leaks(self, beat: Beat | None = None, *, by_hand: bool = False) -> list[Leak]:
        """Judge the history; the open leaks, the worst first."""
        beat, leaks = beat or self.look(), self.leak_watch
        observe = functools.partial(observe_leaks, beat, leaks, self.route_watch, self.config, by_hand=by_hand)
        found = self._ask("leaks", observe, beat.now, self._lock)
        with self.failures.caught("log"):
            tell_suspicions(self.logger, found.new, found.over, leaks.reasons)
        for leak in found.new:
            for callback in list(self.given.leak_callbacks):
                with self.failures.caught("leak_callback"):
                    callback(leak)
        return list(leaks.leaks)

    def check_thresholds(self, beat: Beat | None = None) -> list[Alert]:
        """Judge the last snapshot against the thresholds; the conditions that hold, leaks included."""
        beat = beat or self.look()
        self.leak_watch.others = beat.others
        self._ask("thresholds", functools.partial(self._observe_thresholds, beat), beat.now, self._lock)
        self._ask("capacity", functools.partial(observe_capacity, beat, self.capacity), beat.now, self._lock)
        self._ask("learn", functools.partial(observe_habits, beat, self.tuner, self.config), beat.now, self._lock)
        return self.alerts

    def _observe_thresholds(self, beat: Beat) -> Conditions:
        self._growing = self.leak_watch.is_growing()
        return observe_thresholds(beat, self.tuner, self.config, self.alert_book.names(), growing=self._growing)

    def judge_routes(self) -> list[RouteGrowth]:
        """What a request keeps, by route, over all workers of the server; the routes that keep most first."""
        self._judge_routes(self.look(), by_hand=True)
        return self.route_growth()

    def _judge_routes(self, beat: Beat, *, by_hand: bool = False) -> None:
        observe = functools.partial(
            observe_routes,
            beat,
            self.route_watch,
            self.leak_watch,
            self.config,
            self.group.windows,
            growing=self._growing,
            by_hand=by_hand,
        )
        self._ask("route_growth", observe, beat.now)  # without the lock: a fit takes long, and scrapes would wait

    def route_growth(self) -> list[RouteGrowth]:
        """What was found out last by :meth:`judge_routes`, in this worker or in the one that does it for all."""
        return list(self.route_watch.growth) or list(group_growth(self.workers()))

    def route_of(self, type_name: str) -> RouteGrowth | None:
        """The route whose requests make a type grow in this worker; ``None`` if none is found."""
        with self._lock:
            windows = self.route_watch.windows_of("objects", type_name, self.history)
        return most_growth(type_name, windows)

    def evidence(self, cause: str) -> Path | None:
        """Write an evidence bundle now; where it is, ``None`` if there is none. Never raises."""
        return self._write_evidence(cause, ())

    def _write_evidence(self, cause: str, about: tuple[str, ...]) -> Path | None:
        return self.evidence_watch.write(
            cause, about, self.metrics(), self.history, self.route_growth(), self.logger, self.last_time
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
        self.alert_book.adopt([leak_breach(leak, self.config) for leak in confirmed], self.last_time)
        self.alert_book.adopt(self.capacity.inherit(predecessor), self.last_time)

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
        """The conditions that hold, as they were when they began."""
        return self.alert_book.active

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
        self.alert_book.logger = self.failures.logger = self.given.logger

    def now(self) -> float:
        """The time by the profiler's clock, in seconds since the epoch."""
        return self.given.clock()

    @property
    def last_time(self) -> float:
        """When the last snapshot was taken; before the first, now."""
        return self.now() if self.snapshot is None else self.snapshot.timestamp

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


def _run_name(group: WorkerGroup) -> str:
    """Names this run of the server; of a process that is alone, that process."""
    return str(os.getpid()) if group.slot is None else group.slot.run


def _remedy() -> str:
    if "uwsgi" in sys.modules:
        return "set enable-threads = true for uWSGI"
    return "the server or the machine may not let this process start threads"
