"""The profiler as users hold it: a thin handle that lives across forks; the monitor of the process does the work."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.errors import BaselineError, ConfigError
from memprof_middleware.failures import Failures
from memprof_middleware.flame.recorder import FlameRecorder
from memprof_middleware.forks import entering, renew_in_child
from memprof_middleware.leaks.triage import Triage
from memprof_middleware.limits.levels import FixedTuner, tuner_class
from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot, RouteGrowth
from memprof_middleware.recycling.off import recycler_class
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.runtime.baseline_file import read_baseline, write_baseline
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.runtime.monitor import ProcessMonitor
from memprof_middleware.runtime.report import statistics_of
from memprof_middleware.runtime.setup import Setup
from memprof_middleware.runtime.shared_census import shares
from memprof_middleware.runtime.snapshotter import Trace
from memprof_middleware.sinks.choice import chosen
from memprof_middleware.weakly import weakly
from memprof_middleware.workers.group import load_slots
from memprof_middleware.workers.timelines import Timelines

if TYPE_CHECKING:
    from memprof_middleware.runtime.readings import ProcessInstruments
    from memprof_middleware.sinks.sink import Sink

_Callback = TypeVar("_Callback", bound=Callable[..., object])
_Remedy = TypeVar("_Remedy", bound=Callable[[], object])


class MemoryProfiler:
    """The memory profiler of the process that it runs in.

    Making one starts nothing. :meth:`ensure_running`, called by an adapter at the first event in each process, starts
    the background thread; with ``Config(background=False)`` the caller steps the profiler instead.

    It lives as long as it is referenced, by an adapter for example; its thread stops it once it is not, and nothing
    that it watched stays in memory. One that its caller steps has no thread: :meth:`stop` it.

    Args:
        config: the settings; by default those of the environment.
        clock: returns the time, in seconds since the epoch; a test replays hours with a clock of its own.
        logger: where alerts go; by default the logger ``memprof``.
        probes: the instruments; a test passes recorded ones.
        sinks: other monitoring systems that receive figures and alerts, beside those that the settings name.

    Raises:
        ConfigError: a setting in the environment is not valid, or two sinks have one name.

    Attributes:
        config: the settings.
        traffic: the requests of this process by route; adapters count here.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Callable[[], float] = time.time,
        logger: logging.Logger | None = None,
        probes: ProcessInstruments | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.config = Config.from_env() if config is None else config
        self.traffic = Traffic(self.config.max_routes)
        self._logger_given = logger is not None
        if self.config.log_level is not None:
            logging.getLogger("memprof").setLevel(self.config.log_level.upper())
        self._setup = Setup(
            config=self.config,
            clock=clock,
            logger=logger or logging.getLogger("memprof"),
            probes=Probes if probes is None else lambda: probes,
            # Of the features that may be off, loaded now and not by a request.
            sinks=chosen(self.config.sinks, sinks),
            tuner=tuner_class(self.config),
            recycler=recycler_class(self.config),
            trace=Trace(wanted=self.config.tracemalloc),
            traffic=self.traffic,
        )
        if self.config.enabled:
            load_slots()
        self._made: ProcessMonitor | None = None
        self._started_in: int | None = None
        renew_in_child(self._leave_parent)
        shares(self)

    # -- the process ---------------------------------------------------------------------------------------------

    def _leave_parent(self) -> None:
        """Drop, in a child, what is the parent's."""
        self._made = self._started_in = None
        self.traffic.forget()

    @property
    def _monitor(self) -> ProcessMonitor:
        """The monitor of this process; in a new one it is made anew."""
        made = self._made
        return made if made is not None and made.pid == os.getpid() else self._make()

    def _make(self) -> ProcessMonitor:
        with entering():
            if self._made is None:
                self._made = ProcessMonitor(self._setup)
            return self._made

    @property
    def _entered(self) -> ProcessMonitor:
        """The same, once it knows what was saved before."""
        monitor = self._monitor
        monitor.enter()
        return monitor

    # -- life ----------------------------------------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start in this process unless that was done before; never raises. One pid comparison when it was."""
        if self._started_in != os.getpid():
            self.resume()

    def start(self) -> None:
        """Start to watch, also after :meth:`stop`: the probes at once, and the background thread if there is to be one.

        Raises:
            RuntimeError: the process may not start threads.
        """
        if self.config.enabled:
            self._entered.snapshots.open()
        self._start()

    def stop(self) -> None:
        """Stop watching and leave the process as it was found. May be called again; returns within a second."""
        self._entered.stop()

    def resume(self) -> None:
        """:meth:`start` for hosts that begin anew after :meth:`stop`; never raises."""
        with self.failures.caught("start"):
            self._start()

    def _start(self) -> None:
        monitor = self._entered
        # First, so that a process that may not start threads logs this once and not with every request.
        self._started_in = monitor.pid
        monitor.schedule.sampler.on_killed = weakly(self._begin_anew)
        monitor.start()

    def _begin_anew(self) -> None:
        """Start again with the next request."""
        self._started_in = None

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
        return self._monitor.schedule.sampler.running

    def charge_shown(self, seconds: float) -> None:
        """Charge the CPU budget for processor time that displaying results took; a part of ours calls it."""
        self._monitor.budget.charge("display", seconds)

    # -- measure, judge, report ----------------------------------------------------------------------------------

    def step(self) -> None:
        """One beat of the background thread: snapshot, leaks, thresholds. Never raises."""
        self._entered.step()

    def step_if_overdue(self) -> None:
        """Do a step with a scrape, once an interval, if the thread does not run (uWSGI without threads)."""
        self._entered.schedule.step_if_overdue()

    def take_snapshot(self) -> MemorySnapshot:
        """Take a snapshot of this process now and keep it in the history.

        What cannot be measured is ``None`` in the snapshot, counted and logged once; nothing is raised. Objects are
        counted exactly: who asks for a snapshot gets one, whatever the budget.
        """
        return self._entered.snapshots.take(by_hand=True)

    def detect_leaks(self) -> list[Leak]:
        """Judge the history and return the open leaks, confirmed ones first, then the fastest-grown.

        A leak begins as a suspicion: once it is notable, it is logged, counted and passed to the leak callbacks. When
        it is confirmed, it is an alert, and so is its end.
        """
        return self._entered.evaluator.detect_leaks()

    def check_thresholds(self) -> list[Alert]:
        """Judge the last snapshot against the thresholds and return the conditions that hold, leaks included.

        A condition is logged and passed to the callbacks once when it begins and once when it ends.
        """
        return self._entered.evaluator.check_thresholds()

    def judge_routes(self) -> list[RouteGrowth]:
        """Judge the memory kept per request, by route, over all workers of the server; the largest first.

        One worker judges for all. A route that begins to leak is logged and passed to the alert
        callbacks, once; and so is its end.
        """
        return self._entered.evaluator.judge_routes()

    def evidence(self, cause: str = "it was asked for") -> Path | None:
        """Write an evidence bundle now, to be read with ``memprof explain``; never raises.

        Args:
            cause: why, in words.

        Returns:
            Where it is; ``None`` if it could not be written, or two of its kind were written within the hour.
        """
        return self._entered.evidence(cause)

    def route_growth(self) -> list[RouteGrowth]:
        """The last result of :meth:`judge_routes`, in this worker or in the one that judges for all."""
        return self._entered.evaluator.route_growth()

    def route_of(self, type_name: str) -> RouteGrowth | None:
        """The route whose requests make a type grow in this worker, with its share of the growth and its interval.

        ``together_with`` names the routes that cannot be distinguished from it; ``None`` if no route is found.

        Args:
            type_name: the type, as :class:`Leak` names it.
        """
        return self._entered.evaluator.route_of(type_name)

    @property
    def triage(self) -> Triage:
        """The decisions of people about incidents: acknowledge one, ignore something, watch it again."""
        return self._entered.features.triage

    def serves(self, *faces: str) -> None:
        """Note the places where a host shows results, for the first log line."""
        self._setup.faces = faces

    def register_leak_callback(self, callback: _Callback) -> _Callback:
        """Call a function with each :class:`Leak` when it is first found; may be used as a decorator.

        It runs in the profiler's thread. One that raises is counted and logged once, and stops nothing.

        Raises:
            ConfigError: not callable.
        """
        self._setup.leak_callbacks.append(_callable(callback))
        return callback

    def register_alert_callback(self, callback: _Callback) -> _Callback:
        """Call a function with each :class:`Alert`, when it begins and when it ends; else as for leaks.

        Raises:
            ConfigError: not callable.
        """
        self._setup.alert_callbacks.append(_callable(callback))
        return callback

    def register_remedy(self, callback: _Remedy) -> _Remedy:
        """Call a function when memory is high and ``remedies`` names ``callbacks``, to drop what can be made again.

        It runs in a thread of its own, at most ``remedies_per_hour`` times an hour, and its effect is measured and
        logged. One that raises or takes longer than a minute is counted and logged once, and stops nothing. May be used
        as a decorator.

        Raises:
            ConfigError: not callable.
        """
        self._setup.remedies.append(_callable(callback, "no argument"))
        if "callbacks" not in self.config.remedies:
            self.logger.info('memprof: register_remedy() has no effect: add "callbacks" to the setting remedies')
        return callback

    # -- baseline ------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> MemorySnapshot | None:
        """The snapshot that drift is measured from; ``None`` until one is set, loaded or taken after warm-up."""
        return self._monitor.snapshots.baseline

    def set_baseline(self, snapshot: MemorySnapshot | None = None) -> MemorySnapshot:
        """Measure drift from this snapshot on; by default from the last one, or from one taken now."""
        monitor = self._entered
        if snapshot is None:
            snapshot = monitor.snapshots.last or self.take_snapshot()
        self._setup.baseline = snapshot
        return snapshot

    def compare_to_baseline(self) -> DriftReport | None:
        """The difference of the last snapshot from the baseline; ``None`` while one of them is missing."""
        return self._monitor.snapshots.drift

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
        self._setup.baseline = found = read_baseline(path)
        return found

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
        return self._monitor.alerts

    def now(self) -> float:
        """The time by the profiler's clock, in seconds since the epoch."""
        return self._setup.clock()

    @property
    def history(self) -> History:
        """The last snapshots, oldest first."""
        return self._monitor.snapshots.history

    @property
    def logger(self) -> logging.Logger:
        """The logger of alerts and failures."""
        return self._setup.logger

    def use_logger(self, logger: logging.Logger) -> None:
        """Pass alerts and failures into the host's logging; a logger given to the constructor stays."""
        if not self._logger_given:
            self._setup.logger = logger
            self._monitor.use_logger()

    @property
    def worker(self) -> str:
        """The label of this process among the workers of its server: the number of its slot."""
        return self._monitor.worker

    def workers(self) -> list[MemoryMetrics]:
        """The figures of each live worker of the server, this one included; measures nothing.

        Of this worker too it is what was published last: otherwise a counter would run ahead when its own worker
        answers a scrape and fall back when another one does. One that was not published yet shows what there is.
        """
        return self._entered.publisher.workers()

    def settle(self) -> None:
        """Publish before a scrape: a young worker joins the group, and one without a thread publishes each time."""
        self._entered.settle()

    def publish(self) -> None:
        """Publish the figures of now, which a scrape of any worker shows."""
        self._entered.publisher.publish()

    def metrics(self) -> MemoryMetrics:
        """The figures of this process as of the last snapshot; measures nothing."""
        return self._entered.metrics()

    def statistics(self) -> dict[str, Any]:
        """The profiler's own state, as JSON-ready types: does it run, since when, at what cost, what failed."""
        return statistics_of(self._entered)

    @property
    def failures(self) -> Failures:
        """The profiler's own failures, by kind."""
        return self._monitor.failures

    @property
    def tuner(self) -> FixedTuner:
        """The thresholds in force, each with its reason, and what this release changed."""
        return self._monitor.features.tuner

    @property
    def flames(self) -> FlameRecorder:
        """The recorder of flame graphs of this process."""
        return self._monitor.flames

    @property
    def pasts(self) -> Timelines:
        """The timelines of the workers of the server: their figures of the last hours."""
        return self._monitor.timelines


def _callable(callback: _Callback, arguments: str = "one argument") -> _Callback:
    if not callable(callback):
        raise ConfigError(f"callback is of type {type(callback).__name__}: pass a function with {arguments}")
    return callback
