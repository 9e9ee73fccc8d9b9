"""The snapshots of one process: taken, kept, and compared with the baseline."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from memprof_middleware.analysis.baseline import drift
from memprof_middleware.analysis.history import History
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.model import DriftReport, MemorySnapshot
from memprof_middleware.runtime.baseline_file import read_baseline
from memprof_middleware.runtime.count_policy import CountPolicy
from memprof_middleware.runtime.features import Features
from memprof_middleware.runtime.setup import Setup
from memprof_middleware.runtime.snapshotter import Snapshotter

if TYPE_CHECKING:
    from memprof_middleware.runtime.readings import ProcessInstruments


class Snapshots:
    """Take, keep and compare the snapshots of one process.

    Args:
        setup: the settings, and the baseline that was set or loaded.
        probes: the instruments.
        failures: where the failure of a probe is counted.
        budget: the CPU budget.
        count_policy: learns the cost of a count of objects.
        features: leaks and routes take measurements at each snapshot.

    Attributes:
        lock: held while a snapshot is taken and while the history is judged.
        snapshotter: takes one snapshot.
        history: the last snapshots.
        last: the last one; ``None`` before the first.
        heap_start_mb: the memory in use at the first one.
    """

    def __init__(
        self,
        setup: Setup,
        probes: ProcessInstruments,
        failures: Failures,
        budget: CpuBudget,
        count_policy: CountPolicy,
        features: Features,
    ) -> None:
        self._setup, self._config, self._budget, self._count_policy = setup, setup.config, budget, count_policy
        self._failures, self._features = failures, features
        self.lock = threading.Lock()
        self.snapshotter = Snapshotter(probes, setup.config, setup.clock, failures, setup.traffic, setup.trace)
        self.history = History(self._config.history_size, self._config.top_types)
        self.last: MemorySnapshot | None = None
        self.heap_start_mb: float | None = None
        self._own_baseline: MemorySnapshot | None = None

    def open(self) -> None:
        """Open the probes at once, and not with the first snapshot."""
        with self.lock:
            self.snapshotter.open()

    def take(self, stride: int | None = 1, *, by_hand: bool = False) -> MemorySnapshot:
        """Take a snapshot now and keep it in the history.

        Args:
            stride: 1 counts all objects, ``n`` every n-th; ``None``: none.
            by_hand: a caller requests it, whatever the budget.
        """
        with self.lock:
            with self._budget.charging("evaluation"):
                allocator = self._features.routes.read(self.history.seen + 1)  # before the count, which allocates
            max_age = 0.0 if by_hand else self._config.interval / 2
            snapshot, census, cpu_seconds = self.snapshotter.take(stride, allocator, max_age=max_age)
            self._budget.charge("evaluation", cpu_seconds)
            if census is not None:
                if not census.age_seconds:  # else another profiler has charged it
                    self._budget.charge("count", census.cpu_seconds)  # measured in there: under gevent another thread
                self._count_policy.counted(census)
            counts = census.counts if census else None
            self.history.append(snapshot, counts)
            traffic = self._setup.traffic
            self._features.leaks.measure(self.history, counts, traffic.read()[0], traffic.failed, by_hand=by_hand)
            self._keep(snapshot)
        return snapshot

    def _keep(self, snapshot: MemorySnapshot) -> None:
        if self._own_baseline is None and self.history.seen > self._config.warmup_snapshots:
            self._own_baseline = snapshot
        if self.heap_start_mb is None:
            self.heap_start_mb = snapshot.heap_used_mb
        self.last = snapshot

    @property
    def last_time(self) -> float:
        """The time of the last snapshot; before the first, now."""
        return self._setup.clock() if self.last is None else self.last.timestamp

    # -- baseline ------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> MemorySnapshot | None:
        """The snapshot that drift is measured from; ``None`` until one is set, loaded or taken after warm-up."""
        if self._setup.baseline is not None:
            return self._setup.baseline
        return self._own_baseline if self._config.auto_baseline else None

    @property
    def drift(self) -> DriftReport | None:
        """The difference of the last snapshot from the baseline; ``None`` while one of them is missing."""
        baseline = self.baseline
        return None if baseline is None or self.last is None else drift(baseline, self.last)

    def inherit_baseline(self, baseline: MemorySnapshot | None) -> None:
        """Take over the baseline of the predecessor. The caller holds the lock."""
        if baseline is not None:
            self._own_baseline = baseline

    def read_baseline(self) -> None:
        """Load the baseline that the settings name, unless one is set."""
        if self._config.baseline_file is not None and self._setup.baseline is None:
            with self._failures.caught("baseline_file"):
                self._setup.baseline = read_baseline(self._config.baseline_file)
