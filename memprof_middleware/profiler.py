"""The profiler conducts: it lets the probes measure, the analysis judge and the outputs tell."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from memprof_middleware.analysis.baseline import drift
from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.errors import BaselineError, ConfigError
from memprof_middleware.evidence.trigger import EvidenceWatch
from memprof_middleware.failures import Failures
from memprof_middleware.flame.recorder import FlameRecorder, tightness
from memprof_middleware.forks import renew_in_child
from memprof_middleware.leaks.watch import LeakWatch
from memprof_middleware.limits.capacity import CONDITION as EXHAUSTION
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.limits.thresholds import CONDITIONS, breaches, heap_growth
from memprof_middleware.limits.tuner import Tuner
from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot, RouteGrowth, WorkerSummary
from memprof_middleware.recycling.recycler import Recycler
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.routes.growth import group_growth
from memprof_middleware.routes.watch import RouteWatch, most_growth
from memprof_middleware.runtime.alerts import AlertBook, borrow_server_log, leak_breach, tell_suspicions
from memprof_middleware.runtime.baseline_file import read_baseline, write_baseline
from memprof_middleware.runtime.budget import Governor
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.runtime.pulse import Pulse
from memprof_middleware.runtime.sampler import Sampler
from memprof_middleware.runtime.snapshotter import Camera
from memprof_middleware.sinks import Sink, Sinks
from memprof_middleware.weakly import weakly
from memprof_middleware.workers.group import WorkerGroup
from memprof_middleware.workers.pasts import Pasts

# How long a server may take from starting the application to listening.
_BIND_SECONDS = 60.0
_STOP_SECONDS = 1.0
_Callback = TypeVar("_Callback", bound=Callable[..., object])
_Remedy = TypeVar("_Remedy", bound=Callable[[], object])


class MemoryProfiler:
    """Watches the memory of the process it runs in.

    Making one starts nothing. :meth:`ensure_running`, called by an adapter at the first event in each process, starts
    the background thread; with ``Config(background=False)`` the caller steps the profiler instead.

    It lives as long as somebody holds it, an adapter for example: one that is dropped is stopped by its thread, and
    what it watched can be freed. One that its caller steps has no thread: :meth:`stop` it.

    Args:
        config: the settings; by default those of the environment.
        clock: tells the time, in seconds since the epoch; a test replays hours with a clock of its own.
        logger: where alerts go; by default the logger ``memprof``.
        probes: the instruments; a test passes recorded ones.
        sinks: other monitoring systems that hear of figures and alerts, beside those that the settings name.

    Raises:
        ConfigError: a setting in the environment is not valid, or two sinks have one name.

    Attributes:
        config: the settings.
        traffic: the requests of this process by route; adapters count here.
        failures: the profiler's own failures, by kind.
        tuner: the thresholds in force, each with its reason, and what this release changed.
        flames: makes the flame graphs of this process.
        pasts: the last hours of every worker of the server.
    """

    # What belongs to one process and is void after a fork.
    _lock: threading.Lock
    _publishing: threading.Lock
    _stopped: bool
    _stepping: bool
    _history: History
    _snapshot: MemorySnapshot | None
    _baseline: MemorySnapshot | None  # taken by itself; one that was set or loaded survives a fork
    _start_time: float
    _stepped_at: float  # by the monotonic clock
    _pulse: Pulse
    _said: set[str]
    _governor: Governor
    _heap_start_mb: float | None
    _published: MemoryMetrics | None  # what the other workers see; a scrape answered here shows the same

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Callable[[], float] = time.time,
        logger: logging.Logger | None = None,
        probes: Probes | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.config = Config.from_env() if config is None else config
        self._clock = clock
        self.traffic = Traffic(self.config.max_routes)
        self._logger_given = logger is not None
        logger = logger or logging.getLogger("memprof")
        if self.config.log_level is not None:
            logging.getLogger("memprof").setLevel(self.config.log_level.upper())
        self.failures = Failures(logger)
        self._alerts = AlertBook(logger, self.failures)
        self._leak_callbacks: list[Callable[[Leak], object]] = []
        probes = self._probes = probes or Probes()
        self._leaks = LeakWatch(probes, self.config, self.failures, lambda: self._stopped and self._stepping)
        self._evidence = EvidenceWatch(probes, self.config, self.failures, self._run)
        self._routes = RouteWatch(self.traffic, probes, clock, self.config.warmup_snapshots, self.failures)
        self._camera = Camera(probes, self.config, clock, self.failures, self.traffic)
        self._group = WorkerGroup(probes.listener, self.config.run_dir, self.failures)
        self._capacity = Capacity(self.failures)
        self.tuner = Tuner(self.config, self.failures)
        self._sinks = Sinks(self.config.sinks, sinks, self)
        self._alerts.callbacks.append(self._sinks.event)
        self._recycler = Recycler(self, probes)
        # What a thread of ours holds must not lead back here: who drops the profiler wants it, and all it holds, freed.
        group, traffic = self._group, self.traffic
        self.flames = FlameRecorder(
            folder=lambda: None if group.slot is None else group.slot.folder,
            worker=lambda: group.worker,
            requests=lambda: traffic.total,
            tight=weakly(self._tightness),
            clock=clock,
            failures=self.failures,
        )
        self.pasts = Pasts(self._group, lambda: self._history, self.failures)
        self._baseline_given: MemorySnapshot | None = None
        self._forget()
        renew_in_child(self._forget)
        self._let_go = functools.partial(_let_go, self._sinks, self.flames, self._camera, self._group)
        self._sampler = Sampler(
            weakly(self._beat),
            self.config.interval,
            background=self.config.background and self.config.enabled,
            on_process=weakly(self._enter_process),
            on_start=weakly(self._on_start),
            unsettled=weakly(self._between_steps),
            on_abandoned=self._let_go,
        )
        # The thread holds the sampler; where there is none, all goes together.
        weakref.finalize(self, weakly(self._sampler.abandon)).atexit = False

    # -- life ----------------------------------------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start in this process unless that was done before; never raises. One pid comparison when it was."""
        if self._sampler.pid != os.getpid():
            self.resume()

    def start(self) -> None:
        """Start to watch, also after :meth:`stop`: the probes at once, and the background thread if there is to be one.

        Raises:
            RuntimeError: the process may not start threads.
        """
        self._sampler.enter_process()
        if self.config.enabled:
            with self._lock:
                self._camera.open()
        self._start()

    def stop(self) -> None:
        """Stop watching and leave the process as it was found. May be called again; returns within a second."""
        self._sampler.enter_process()
        deadline = time.monotonic() + _STOP_SECONDS
        self._stopped = True
        self._sampler.stop()
        self._let_go(deadline)

    def resume(self) -> None:
        """:meth:`start` for hosts that begin anew after :meth:`stop`; never raises."""
        with self.failures.caught("start"):
            self._start()

    def _start(self) -> None:
        self._sampler.enter_process()  # first: a lock that is the parent's may be held for ever
        self._stopped = False
        self._group.open()
        self._sinks.open()
        self._sampler.start()

    async def start_memory_profiler(self) -> None:
        """:meth:`start` for asyncio hosts."""
        self.start()

    async def stop_memory_profiler(self) -> None:
        """:meth:`stop` for asyncio hosts: the event loop goes on while the thread ends."""
        import asyncio  # loaded there already; elsewhere it would weigh 3 MB

        await asyncio.to_thread(self.stop)

    @property
    def running(self) -> bool:
        """Whether the background thread runs in this process."""
        return self._sampler.running

    # -- measure, judge, tell ------------------------------------------------------------------------------------

    def step(self) -> None:
        """One beat of the background thread: snapshot, leaks, thresholds. Never raises."""
        self._stepped_at = time.monotonic()
        self._stepping = True
        try:
            with self._governor.paying_rest():
                self._step()
        finally:  # a handler of a signal may raise in here, in a scrape
            self._stepping = False

    def _beat(self) -> None:
        """A step in the thread."""
        if self._pulse.beat(time.monotonic()):
            self._say_once(
                "runs", "the background thread runs in process %d after all: scrapes leave the work to it again"
            )
        self.step()
        self._pulse.beat(time.monotonic())

    def _step(self) -> None:
        with self.failures.caught("step"):
            self._sampler.enter_process()
            stride = self._governor.stride(time.monotonic())
            self._take_snapshot(stride)
            if stride is not None:
                self._detect_leaks(by_hand=False)
            siblings = self._group.siblings(os.getpid())  # once a step
            self._check_thresholds(siblings)
            self._judge_routes(siblings)
            self.publish()
            if self.config.background and self.config.evidence and self._published is not None:
                self._evidence.consider(siblings, self._published, self._last_time(), self._write_evidence)
            self._governor.spent(self.flames.take_cost(), time.monotonic())
        with self.failures.caught("timeline"):
            self.pasts.keep(self._published)
        self._sinks.publish(self._published)
        with self.failures.caught("recycle"):
            self._recycler.step(self._snapshot)

    def step_if_overdue(self) -> None:
        """Where the thread does not run (uWSGI without threads), a scrape takes its place, once an interval."""
        self._sampler.enter_process()
        if not self._sampler.background or self._stopped or self._stepping:
            return
        now = time.monotonic()
        if self._pulse.is_missing(now, alive=self._sampler.running or self._sampler.starting):
            self._say_once(
                "missing",
                "the background thread does not run in process %d, so each scrape takes the snapshot instead; "
                + _remedy(),
            )
            if self._snapshot is None or now - self._stepped_at >= self.config.interval:
                self.step()

    def _say_once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            with self.failures.caught("log"):
                self.logger.warning(f"memprof: {text}", os.getpid(), extra={"memprof_pid": os.getpid()})

    def take_snapshot(self) -> MemorySnapshot:
        """Look at this process now and keep the result in the history.

        What cannot be measured is ``None`` in the snapshot, counted and logged once; nothing is raised. Objects are
        counted exactly: who asks for a snapshot gets one, whatever the budget.
        """
        self._sampler.enter_process()
        return self._take_snapshot(1, by_hand=True)

    def _take_snapshot(self, stride: int | None, *, by_hand: bool = False) -> MemorySnapshot:
        with self._lock:
            with self._governor.paying():
                allocator = self._routes.read(self._history.seen + 1)  # before the census, which allocates
            snapshot, census, cpu_seconds = self._camera.take(stride, allocator)
            self._governor.spent(cpu_seconds, time.monotonic())
            if census is not None:
                self._governor.counted(census, time.monotonic())
            self._history.append(snapshot, census.counts if census else None)
            self._governor.spent(self._leaks.measure(self._history, by_hand=by_hand), time.monotonic())
            if self._baseline is None and self._history.seen > self.config.warmup_snapshots:
                self._baseline = snapshot
            self._snapshot = snapshot
            if self._heap_start_mb is None:
                self._heap_start_mb = snapshot.heap_used_mb
        return snapshot

    def detect_leaks(self) -> list[Leak]:
        """Judge the history and return the open leaks, confirmed ones first, then the fastest-grown.

        A leak begins as a suspicion: once it is notable, it is logged, counted and passed to the leak callbacks. When
        it is confirmed, it is an alert, and so is its end.
        """
        return self._detect_leaks(by_hand=True)

    def _detect_leaks(self, *, by_hand: bool) -> list[Leak]:
        self._sampler.enter_process()
        with self._lock, self._governor.paying():
            told = {leak.name for leak in self._leaks.leaks if leak.notable}
            found, ended = self._leaks.judge(self._history, self._route_text, by_hand=by_hand)
            now = self._last_time()
        confirmed = [leak for leak in found if leak.state == "confirmed"]
        self._alerts.update([leak_breach(leak, self.config) for leak in confirmed], ("leak",), now)
        new = [leak for leak in found if leak.notable and leak.name not in told]
        with self.failures.caught("log"):
            tell_suspicions(self.logger, new, [leak for leak in ended if leak.notable])
        for leak in new:
            for callback in list(self._leak_callbacks):
                with self.failures.caught("leak_callback"):
                    callback(leak)
        return found

    def check_thresholds(self) -> list[Alert]:
        """Judge the last snapshot against the thresholds and return the conditions that hold, leaks included.

        A condition is logged and passed to the callbacks once when it begins and once when it ends.
        """
        self._sampler.enter_process()
        self._check_thresholds(self._group.siblings(os.getpid()))
        return self._alerts.active

    def _check_thresholds(self, siblings: list[WorkerSummary]) -> None:
        others = [other.snapshot for other in siblings if other.snapshot]
        with self._lock, self._governor.paying():
            found = breaches(self._history, self.config, self._alerts.names(), others, self.tuner.levels)
            now = self._last_time()
        self._alerts.update(found, CONDITIONS, now)
        self._judge_capacity(siblings)
        self._learn(siblings, others)

    def _judge_capacity(self, siblings: list[WorkerSummary]) -> None:
        if self._snapshot is not None:
            with self.failures.caught("capacity"):
                with self._lock, self._governor.paying():
                    coming = self._capacity.see(self._snapshot, siblings, self.worker)
                self._alerts.update(coming, (EXHAUSTION,), self._last_time())

    def _learn(self, siblings: list[WorkerSummary], others: list[MemorySnapshot]) -> None:
        if self._snapshot is not None and self.tuner.active:
            with self.failures.caught("learn"), self._lock, self._governor.paying():
                shared = shared_memory([self._snapshot, *others])
                growth = heap_growth(self._history, self.config.warmup_snapshots)
                self.tuner.see(
                    self._snapshot,
                    None if shared is None else shared.percent,
                    None if growth is None else growth.percent,
                    first=all(int(self.worker) < int(sibling.worker) for sibling in siblings),
                )

    def judge_routes(self) -> list[RouteGrowth]:
        """What a request keeps, by route, over all workers of the server; the routes that keep most first.

        One worker finds it out and tells the others. A route that begins to leak is logged and passed to the alert
        callbacks, once; and so is its end.
        """
        self._sampler.enter_process()
        self._judge_routes(self._group.siblings(os.getpid()), by_hand=True)
        return self.route_growth()

    def _judge_routes(self, siblings: list[WorkerSummary], *, by_hand: bool = False) -> None:
        with self._governor.paying():
            others = [sibling.worker for sibling in siblings]
            self._routes.judge(self.worker, others, self.config, self._group.windows, by_hand=by_hand)
        heap_mb = None if self._snapshot is None else self._snapshot.heap_size_mb
        self._alerts.update(self._routes.leaking(self.config, heap_mb), ("route_leak",), self._last_time())

    def evidence(self, cause: str = "it was asked for") -> Path | None:
        """Write an evidence bundle now, to be read with ``memprof explain``; never raises.

        Args:
            cause: why, in words.

        Returns:
            Where it is; ``None`` if it could not be written, or two of its kind were written within the hour.
        """
        self._sampler.enter_process()
        return self._write_evidence(cause, ())

    def _write_evidence(self, cause: str, about: tuple[str, ...]) -> Path | None:
        return self._evidence.write(
            cause, about, self.metrics(), self._history, self.route_growth(), self.logger, self._last_time()
        )

    def route_growth(self) -> list[RouteGrowth]:
        """What was found out last by :meth:`judge_routes`, in this worker or in the one that does it for all."""
        return list(self._routes.growth) or list(group_growth(self.workers()))

    def _route_text(self, type_name: str) -> str | None:
        """The route that makes a type grow, with its share and interval, for people.

        Empty if none is found; ``None`` while that is being found out: ask again with the next step.
        """
        known, found = self._routes.ask(type_name, self._history)
        if not known:
            return None
        if found is None:
            return ""
        value, low, high = found.per_request.value, found.per_request.low, found.per_request.high
        names = " or ".join((found.route, *found.together_with))
        kept = f", {value:.3g} ({low:.3g} to {high:.3g}) per request" if high < 2 * value else ""
        return f"{names} ({100 * found.share:.0f} % of it{kept})"

    def route_of(self, type_name: str) -> RouteGrowth | None:
        """The route whose requests make a type grow in this worker, with its share of the growth and its interval.

        ``together_with`` names the routes that cannot be told from it; ``None`` if no route is found.

        Args:
            type_name: the type, as :class:`Leak` names it.
        """
        self._sampler.enter_process()
        with self._lock:
            windows = self._routes.type_windows(type_name, self._history)
        return most_growth(type_name, windows)

    def register_leak_callback(self, callback: _Callback) -> _Callback:
        """Call a function with each :class:`Leak` when it is first found; may be used as a decorator.

        It runs in the profiler's thread. One that raises is counted and logged once, and stops nothing.

        Raises:
            ConfigError: not callable.
        """
        self._leak_callbacks.append(_callable(callback))
        return callback

    def register_alert_callback(self, callback: _Callback) -> _Callback:
        """Call a function with each :class:`Alert`, when it begins and when it ends; else as for leaks.

        Raises:
            ConfigError: not callable.
        """
        self._alerts.callbacks.append(_callable(callback))
        return callback

    def register_remedy(self, callback: _Remedy) -> _Remedy:
        """Call a function when memory is high and ``remedies`` names ``callbacks``, to drop what can be made again.

        It runs in a thread of its own, at most ``remedies_per_hour`` times an hour, and its effect is measured and
        logged. One that raises or takes longer than a minute is counted and logged once, and stops nothing. May be used
        as a decorator.

        Raises:
            ConfigError: not callable.
        """
        self._recycler.remedies.callbacks.append(_callable(callback, "no argument"))
        if "callbacks" not in self.config.remedies:
            self.logger.info("memprof: a remedy is registered and never called, for remedies does not name callbacks")
        return callback

    # -- baseline ------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> MemorySnapshot | None:
        """What drift is measured against; ``None`` until one is set, loaded or taken after warm-up."""
        if self._baseline_given is not None:
            return self._baseline_given
        return self._baseline if self.config.auto_baseline else None

    def set_baseline(self, snapshot: MemorySnapshot | None = None) -> MemorySnapshot:
        """Measure drift from this snapshot on; by default from the last one, or from one taken now."""
        self._sampler.enter_process()
        if snapshot is None:
            snapshot = self.take_snapshot() if self._snapshot is None else self._snapshot
        self._baseline_given = snapshot
        return snapshot

    def compare_to_baseline(self) -> DriftReport | None:
        """How far the last snapshot is from the baseline; ``None`` while one of them is missing."""
        baseline = self.baseline
        if baseline is None or self._snapshot is None:
            return None
        return drift(baseline, self._snapshot)

    def save_baseline(self, path: str | os.PathLike[str]) -> None:
        """Write the baseline to a JSON file that only this user can read.

        Raises:
            BaselineError: there is no baseline, or the file cannot be written.
        """
        baseline = self.baseline
        if baseline is None:
            raise BaselineError("there is no baseline to save yet: call set_baseline() first")
        write_baseline(path, baseline)

    def load_baseline(self, path: str | os.PathLike[str]) -> MemorySnapshot:
        """Measure drift from a baseline that :meth:`save_baseline` wrote.

        Raises:
            BaselineError: the file cannot be read or holds no baseline; the present baseline stays.
        """
        self._baseline_given = read_baseline(path)
        return self._baseline_given

    # -- what others read ----------------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """Requests that this process has answered, scrapes left out."""
        return self.traffic.total

    @property
    def namespace(self) -> str:
        """First part of every metric name."""
        return self.config.namespace

    @property
    def alerts(self) -> list[Alert]:
        """The conditions that hold, as they were when they began."""
        return self._alerts.active

    def now(self) -> float:
        """The time by the profiler's clock, in seconds since the epoch."""
        return self._clock()

    @property
    def history(self) -> History:
        """The last snapshots, oldest first."""
        return self._history

    @property
    def logger(self) -> logging.Logger:
        """Where alerts and failures go."""
        return self._alerts.logger

    def use_logger(self, logger: logging.Logger) -> None:
        """Pass alerts and failures into the host's logging; a logger given to the constructor stays."""
        if not self._logger_given:
            self._alerts.logger = self.failures.logger = logger

    @property
    def worker(self) -> str:
        """The label that tells this process from its siblings: the number of its slot."""
        return self._group.worker

    def workers(self) -> list[MemoryMetrics]:
        """What each live worker of the server tells the outside, this one included; measures nothing.

        Of this worker too it is what was published last: otherwise a counter would run ahead when its own worker
        answers a scrape and fall back when another one does. One that was not published yet shows what there is.
        """
        self._sampler.enter_process()
        with self._publishing:  # not between the others' seeing new figures and our own
            published = self._published
        return self._group.workers(published or self.metrics())

    @property
    def live_workers(self) -> int:
        """How many workers the server has, this one included."""
        return 1 + len(self._group.siblings(os.getpid()))

    def settle(self) -> None:
        """Be seen, before a scrape: a young worker takes its place, and one without a thread publishes each time."""
        self._sampler.enter_process()
        if self._published is None or not self._group.settled or not self._sampler.background:
            self.publish()

    def publish(self) -> None:
        """Let a scrape, whichever worker answers it, see the state as it is now."""
        self._sampler.enter_process()
        with self._publishing:  # figures that were taken later must not be overwritten by older ones
            self._join()  # in here: a scrape must not see the slot taken and what comes with it not yet inherited
            self._published = self.metrics()
            self._group.publish(self._published, self._routes.published)

    def metrics(self) -> MemoryMetrics:
        """Everything this process tells the outside, as of the last snapshot; measures nothing."""
        self._sampler.enter_process()
        return MemoryMetrics(
            worker=self.worker,
            pid=os.getpid(),
            start_time=self._start_time,
            snapshot=self._snapshot,
            leaks=self._leaks.leaks,
            drift=self.compare_to_baseline(),
            leak_detections=dict(self._leaks.detections),
            snapshots_taken=self._history.seen,
            requests=self.requests,
            failures=dict(self.failures.counts),
            cpu_seconds=self._governor.cpu_seconds,
            census_skipped=dict(self._governor.skipped),
            history_bytes=self._history.nbytes,
            heap_start_mb=self._heap_start_mb,
            baseline=self.baseline,
            in_flight=self.traffic.in_flight,
            route_requests=self.traffic.read()[0],
            route_growth=self._routes.growth,
            forecast=self._capacity.forecast,
            sinks=self._sinks.health(),
            **self._recycler.told(),
        )

    def statistics(self) -> dict[str, Any]:
        """The profiler's own state, as JSON-ready types: does it run, since when, at what cost, what failed."""
        self._sampler.enter_process()
        durations = self._history.series("duration_seconds")
        return {
            "running": self.running,
            "pid": os.getpid(),
            "worker": self.worker,
            "interval_seconds": self.config.interval,
            "start_time": self._start_time,
            "snapshots_taken": self._history.seen,
            "snapshots_kept": len(self._history),
            "snapshot_seconds_mean": sum(durations) / len(durations) if durations else None,
            "snapshot_seconds_max": max(durations, default=None),
            "cpu_seconds": self._governor.cpu_seconds,
            "requests": self.requests,
            "active_leaks": sum(leak.notable for leak in self._leaks.leaks),
            "active_alerts": [alert.name for alert in self._alerts.active],
            "leak_detections": dict(self._leaks.detections),
            "failures": dict(self.failures.counts),
            **self.tuner.statistics(),
        }

    # -- inside --------------------------------------------------------------------------------------------------

    def _enter_process(self) -> None:
        """Begin in a process: what came over a fork belongs to the parent."""
        self._forget()
        self.tuner.open()
        if self.config.baseline_file is not None and self._baseline_given is None:
            with self.failures.caught("baseline_file"):
                self.load_baseline(self.config.baseline_file)

    def _on_start(self) -> None:
        # The probes open with the first snapshot: behind an adapter, who takes none has nothing of ours in the process.
        if not self.config.enabled:
            return
        with self.failures.caught("log"):
            borrow_server_log(self.logger)
            if self.config.background:
                self.logger.info(
                    "memprof: watching process %d, a snapshot every %g s",
                    os.getpid(),
                    self.config.interval,
                    extra={"memprof_pid": os.getpid()},
                )
        with self.failures.caught("publish"):
            self.publish()  # the other workers' scrapes show this one from now on, not from its first snapshot on

    def _join(self) -> None:
        if self.config.enabled:
            predecessor = self._group.join()
            # Who joins late, because there was no folder for it before, has a past of its own.
            if predecessor is not None and self._clock() - self._start_time <= _BIND_SECONDS:
                self._inherit(predecessor)

    def _waits_for_server(self) -> bool:
        """Some servers bind only after they have started the application: look again until it is known where."""
        if self._group.settled or self._clock() - self._start_time > _BIND_SECONDS:
            return False
        self.publish()
        return not self._group.settled

    def _between_steps(self) -> bool:
        """What cannot wait for the next snapshot, once a second; whether there is something of that kind."""
        waits = self._waits_for_server()
        if self.config.token is None:  # nobody can ask for a flame graph
            return waits
        self.flames.beat()
        return True

    def _inherit(self, predecessor: MemoryMetrics) -> None:
        """Go on where the slot's last worker ended: its baseline, and its open leaks until they are seen to be over."""
        with self._lock:
            if predecessor.baseline is not None:
                self._baseline = predecessor.baseline
            self._leaks.inherit(predecessor.leaks)
        confirmed = [leak for leak in predecessor.leaks if leak.state == "confirmed"]
        self._alerts.adopt([leak_breach(leak, self.config) for leak in confirmed], self._last_time())
        self._alerts.adopt(self._capacity.inherit(predecessor), self._last_time())

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._stopped = self._stepping = False
        self._history = History(self.config.history_size, self.config.top_types)
        self._snapshot = None
        self._baseline = None
        self._leaks.forget()
        self._evidence.forget()
        self._alerts.forget()
        self.failures.forget()
        self._start_time = self._clock()
        self._stepped_at = time.monotonic()
        self._pulse = Pulse(self.config.interval, time.monotonic())
        self._said = set()
        self._governor = Governor(self.config, time.monotonic())
        self._heap_start_mb = None
        self._published = None
        self._group.forget()
        self.flames.forget()
        self.traffic.forget()
        self._routes.forget()
        self._capacity.forget()
        self.tuner.forget()
        self._sinks.forget()
        self._recycler.forget()

    def _run(self) -> str:
        """Names this run of the server; of a process that is alone, that process."""
        return str(os.getpid()) if self._group.slot is None else self._group.slot.run

    def _tightness(self) -> str | None:
        return tightness(self._snapshot, self._probes, self.config)

    def _last_time(self) -> float:
        return self._clock() if self._snapshot is None else self._snapshot.timestamp


def _let_go(
    sinks: Sinks, flames: FlameRecorder, camera: Camera, group: WorkerGroup, deadline: float | None = None
) -> None:
    """Give back what the process was asked for, up to a moment of the monotonic clock."""
    sinks.close(deadline)
    flames.stop()
    camera.close()
    group.leave()


def _remedy() -> str:
    if "uwsgi" in sys.modules:
        return "set enable-threads = true for uWSGI"
    return "the server or the machine may not let this process start threads"


def _callable(callback: _Callback, arguments: str = "one argument") -> _Callback:
    if not callable(callback):
        raise ConfigError(f"callback is of type {type(callback).__name__}: pass a function with {arguments}")
    return callback
