"""The evidence files of one process: written when a step finds a cause, or when a caller asks for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memprof_middleware.evidence.trigger import EvidenceWatch
from memprof_middleware.failures import Failures
from memprof_middleware.model import MemoryMetrics
from memprof_middleware.runtime.beat import Beat
from memprof_middleware.runtime.evaluator import Evaluator
from memprof_middleware.runtime.setup import Setup
from memprof_middleware.runtime.snapshots import Snapshots
from memprof_middleware.workers.group import WorkerGroup

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments


class EvidenceWriter:
    """Write the evidence files of one process.

    Args:
        setup: the settings and the logger.
        probes: the instruments.
        group: the workers of the server: one file each cause, whichever worker writes it.
        snapshots: the snapshots of this process.
        evaluator: has the growth by route.
        figures: builds the figures of now; ``None``: the profiler is gone.
        failures: where a failure is counted.

    Attributes:
        watch: decides when a file is written.
    """

    def __init__(
        self,
        setup: Setup,
        probes: Instruments,
        group: WorkerGroup,
        snapshots: Snapshots,
        evaluator: Evaluator,
        figures: Callable[[], MemoryMetrics | None],
        failures: Failures,
    ) -> None:
        self._setup, self._snapshots, self._evaluator, self._figures = setup, snapshots, evaluator, figures
        self.watch = EvidenceWatch(probes, setup.config, failures, lambda: group.run)

    def consider(self, beat: Beat, published: MemoryMetrics | None) -> dict[str, str]:
        """Write an evidence file if the last step has found a cause.

        Returns:
            The command that prints it, by each leak that it is about.
        """
        config = self._setup.config
        if not config.background or not config.evidence or published is None:
            return {}
        return self.watch.consider(list(beat.siblings), published, beat.now, self.write)

    def write(self, cause: str, about: tuple[str, ...] = ()) -> Path | None:
        """Write an evidence file now. Returns its path, or ``None`` if there is none. Never raises."""
        figures, snapshots = self._figures(), self._snapshots
        if figures is None:
            return None
        routes, logger = self._evaluator.route_growth(), self._setup.logger
        return self.watch.write(cause, about, figures, snapshots.history, routes, logger, snapshots.last_time)
