"""Watches for the moments at which evidence is worth keeping: a leak is confirmed, memory is running out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.model import MemoryMetrics, RouteGrowth
from memprof_middleware.outputs.evidence import bundle, write_bundle
from memprof_middleware.outputs.failures import Failures
from memprof_middleware.probes import Probes

# Percent of the limit at which a bundle is written, and below which the next breach is a new one.
_BREACH, _OVER = 85.0, 80.0


class EvidenceWatch:
    """Writes the evidence bundles of one process.

    Args:
        probes: name the allocator and count what else grows.
        config: whether, and where.
        failures: where a failure is counted.
    """

    def __init__(self, probes: Probes, config: Config, failures: Failures) -> None:
        self._probes, self._config, self._failures = probes, config, failures
        self.forget()

    def forget(self) -> None:
        """Begin anew: what a parent has told is not told by its child."""
        self._told: set[str] = set()  # confirmed leaks, and the limits that are near

    def consider(self, workers: list[MemoryMetrics], own: MemoryMetrics, write: Callable[[str], Path | None]) -> None:
        """Write a bundle if something has come up that asks for one.

        Args:
            workers: the figures of all workers of the server, which share a limit.
            own: those of this one.
            write: writes it, with the cause.
        """
        now = dict(self._causes(workers, own))
        new = [cause for key, cause in now.items() if key not in self._told]
        self._told = set(now)
        if new:
            write("; ".join(new))

    def write(
        self,
        cause: str,
        metrics: MemoryMetrics,
        history: History,
        routes: list[RouteGrowth],
        logger: logging.Logger,
        now: float,
    ) -> Path | None:
        """Write a bundle now; where it is, or ``None`` if it could not be written or two were within the hour."""
        path: Path | None = None
        with self._failures.caught("evidence"):
            populations = self._probes.populations()
            data = bundle(cause, metrics, history, self._config, routes, self._probes.allocator().name, populations)
            path = write_bundle(data, self._config.evidence_dir, now)
            if path is not None:
                logger.warning(
                    "memprof: evidence written because %s: memprof explain %s",
                    cause,
                    path,
                    extra={"memprof_evidence": str(path)},
                )
        return path

    def _causes(self, workers: list[MemoryMetrics], own: MemoryMetrics) -> Iterator[tuple[str, str]]:
        for leak in own.leaks:
            if leak.state == "confirmed":
                yield leak.name, f"the leak {leak.name} is confirmed"
        heap = own.snapshot.heap_percent if own.snapshot else None
        shared = shared_memory([worker.snapshot for worker in workers if worker.snapshot])
        for key, percent, what in (
            ("heap", heap, "this worker is at {:.0f} % of its limit"),
            ("shared", shared.percent if shared else None, "all workers together are at {:.0f} % of their limit"),
        ):
            if percent is not None and percent >= (_OVER if f" {key}" in self._told else _BREACH):
                yield f" {key}", what.format(percent)
