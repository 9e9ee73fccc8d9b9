"""The monitor of one process: its parts, one step of all of them, start and stop."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import weakref
from pathlib import Path

from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.flame.recorder import FlameRecorder, tightness
from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.model.urgency import Urgency
from memprof_middleware.runtime.count_policy import CountPolicy
from memprof_middleware.runtime.evaluator import Evaluator
from memprof_middleware.runtime.evidence import EvidenceWriter
from memprof_middleware.runtime.features import features
from memprof_middleware.runtime.notices import Notices
from memprof_middleware.runtime.publisher import Publisher
from memprof_middleware.runtime.report import figures_of
from memprof_middleware.runtime.reporting import borrow_server_log
from memprof_middleware.runtime.schedule import Schedule
from memprof_middleware.runtime.setup import Setup
from memprof_middleware.runtime.snapshots import Snapshots
from memprof_middleware.runtime.snapshotter import Snapshotter
from memprof_middleware.sinks.group import Sinks
from memprof_middleware.weakly import weakly
from memprof_middleware.workers.atomic_file import can_be_written
from memprof_middleware.workers.group import WorkerGroup
from memprof_middleware.workers.timelines import Timelines

_STOP_SECONDS = 1.0


class ProcessMonitor:
    """All of a profiler that belongs to one process. Made anew in a new one, never reset.

    Making one starts nothing and reads nothing; :meth:`enter` comes before its first use.

    Args:
        setup: the settings and callbacks.

    Attributes:
        pid: the process.
        failures: the profiler's own failures, by kind.
        budget: the CPU budget.
        probes: the instruments.
        group: the workers of the server.
        features: the features that observe each beat.
        snapshots: the snapshots of this process.
        evaluator: has the features observe a beat, and reports their conditions.
        publisher: shares figures with the other workers.
        schedule: the thread, and when a step is taken.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, self.config, self.traffic = setup, setup.config, setup.traffic
        self.pid, self.start_time = os.getpid(), setup.clock()
        self.failures = Failures(setup.logger)
        self._entrance = threading.Lock()
        self._entered = False
        self._notices = Notices(self.pid, self.failures)
        # Where time is simulated, what is earned in it pays for the work that is done in it.
        self.budget = CpuBudget(self.config.cpu_budget, time.monotonic if setup.clock is time.time else setup.clock)
        self.count_policy = CountPolicy(self.config, self.budget, self._notices.counted_rarely)
        self.probes = setup.probes()
        self.group = WorkerGroup(self.probes.listener, self.config.run_dir, self.failures)
        self.features = features(
            setup,
            self.probes,
            self.group,
            self.failures,
            self.budget,
            is_halted=weakly(self._is_halted),
            urgency_of=weakly(self._urgency_of),
        )
        self.snapshots = Snapshots(setup, self.probes, self.failures, self.budget, self.count_policy, self.features)
        self._wire_outlets(setup)
        self._wire_threads(setup)

    def _wire_outlets(self, setup: Setup) -> None:
        group, clock, start = self.group, setup.clock, self.start_time
        self.timelines = Timelines(group, self.snapshots.history, self.failures)
        inherit = weakly(self._inherit) if self.config.enabled else None
        self.publisher = Publisher(
            self.features, self.timelines, lambda: clock() - start, weakly(self.metrics), inherit
        )
        self.sinks = Sinks(setup.sinks, self)
        self.evaluator = Evaluator(setup, self.features, self.snapshots, self.publisher, self.budget, self.failures)
        self.evaluator.reporter.outlets.append(self.sinks.event)
        self.evidence_writer = EvidenceWriter(
            setup, self.probes, group, self.snapshots, self.evaluator, weakly(self.metrics), self.failures
        )
        self.recycler = setup.recycler(self, self.probes, callbacks=setup.remedies)

    def _wire_threads(self, setup: Setup) -> None:
        # What a thread of ours holds must not lead back here: who drops the profiler wants it, and all it holds, freed.
        group, traffic, snapshots = self.group, self.traffic, self.snapshots
        self.flames = FlameRecorder(
            folder=lambda: group.folder,
            worker=lambda: group.worker,
            requests=lambda: traffic.total,
            tight=weakly(self._tightness),
            clock=setup.clock,
            failures=self.failures,
            charge=functools.partial(self.budget.charge, "display"),
        )
        self._release = functools.partial(_release, self.sinks, self.flames, snapshots.snapshotter, group)
        self.schedule = Schedule(
            self.config,
            self._notices,
            self.failures,
            step=weakly(self._step),
            has_begun=lambda: snapshots.last is not None,
            on_start=weakly(self._on_start),
            between_steps=weakly(self.between_steps),
            on_abandoned=self._release,
        )
        # The thread holds the sampler; where there is none, all goes together.
        weakref.finalize(self, self.schedule.sampler.abandon).atexit = False

    # -- life ----------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Read learned thresholds and the saved baseline, once; other threads wait until it is done."""
        if not self._entered:
            with self._entrance:
                if not self._entered:
                    try:
                        self._read_files()
                    finally:
                        self._entered = True

    def _read_files(self) -> None:
        with self.failures.caught("start"):
            self.features.tuner.open()
        self.snapshots.read_baseline()

    def start(self) -> None:
        """Start to work, also after :meth:`stop`.

        Raises:
            RuntimeError: the process may not start threads.
        """
        self.group.open()
        self.sinks.open()
        self.schedule.start()

    def stop(self) -> None:
        """Stop within a second, and leave nothing of the profiler in the process."""
        deadline = time.monotonic() + _STOP_SECONDS
        self.schedule.stop()
        self._release(deadline)

    def _on_start(self) -> None:
        # The probes open with the first snapshot: behind an adapter, who takes none has nothing of ours in the process.
        if not self.config.enabled:
            return
        with self.failures.caught("log"):
            borrow_server_log(self.logger)
        if self.config.background:
            self._notices.started(self.config.interval, self.setup.faces)
            if self.config.state_dir is not None and not can_be_written(Path(self.config.state_dir)):
                self._notices.not_kept(self.config.state_dir)
        with self.failures.caught("publish"):
            self.publisher.publish()  # the others' scrapes show this worker from now on, not from its first snapshot on

    def _inherit(self, predecessor: MemoryMetrics) -> None:
        self.evaluator.inherit(predecessor)

    # -- beat ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Take a snapshot, evaluate it, and report and publish the results. Never raises."""
        self.schedule.step()

    def _step(self) -> None:
        with self.budget.charging("evaluation"):
            with self.failures.caught("log"):
                borrow_server_log(self.logger)  # what waits for the server's handlers is older than this snapshot
            with self.failures.caught("step"):
                stride = self.count_policy.stride()
                self.snapshots.take(stride)
                self.publisher.join()  # what a predecessor has reported is known before anything is judged
                beat = self.evaluator.beat(counted=stride is not None)
                found = self.evaluator.observe(beat)
                self.publisher.publish()
                self.evaluator.reporter.evidence = self.evidence_writer.consider(beat, self.publisher.published)
                self.evaluator.report(found, beat.now)
            with self.failures.caught("timeline"):
                self.publisher.append_timeline()
            self.sinks.publish(self.publisher.published)
            with self.failures.caught("recycle"):
                self.recycler.step(self.snapshots.last, self.evaluator.workers)

    def between_steps(self) -> bool:
        """Do what cannot wait for the next snapshot. Returns whether to call again in a second."""
        waits = self.publisher.wait_for_server()
        if self.config.token is None:  # without a page there are no orders for flame graphs
            return waits
        self.flames.beat()
        return True

    # -- read by others -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Publish before a scrape: a young worker joins the group, and one without a thread publishes each time."""
        if self.publisher.published is None or not self.group.settled or not self.schedule.sampler.background:
            self.publisher.publish()

    @property
    def live_workers(self) -> int:
        """The number of workers of the server, this one included, counted now."""
        return self.publisher.live_workers

    def metrics(self) -> MemoryMetrics:
        """The figures of this process as of the last snapshot; measures nothing."""
        return figures_of(self)

    def evidence(self, cause: str) -> Path | None:
        """Write an evidence file now. Returns its path, or ``None`` if there is none. Never raises."""
        return self.evidence_writer.write(cause)

    @property
    def alerts(self) -> list[Alert]:
        """The conditions that are met, as they were reported last."""
        return self.evaluator.alerts

    @property
    def worker(self) -> str:
        """The label of this worker: its number."""
        return self.group.worker

    @property
    def logger(self) -> logging.Logger:
        """The logger of alerts and failures."""
        return self.setup.logger

    def use_logger(self) -> None:
        """Use the logger of the setup from now on."""
        self.evaluator.reporter.logger = self.failures.logger = self.setup.logger

    def now(self) -> float:
        """The time by the profiler's clock, in seconds since the epoch."""
        return self.setup.clock()

    def _urgency_of(self, incident: str) -> Urgency:
        return self.publisher.urgency_of(incident)

    def _is_halted(self) -> bool:
        return self.schedule.is_halted

    def _tightness(self) -> str | None:
        return tightness(self.snapshots.last, self.probes, self.config)


def _release(
    sinks: Sinks, flames: FlameRecorder, snapshotter: Snapshotter, group: WorkerGroup, deadline: float | None = None
) -> None:
    """Stop threads and release probes and worker number, up to a moment of the monotonic clock."""
    sinks.close(deadline)
    flames.stop()
    snapshotter.close()
    group.leave()
