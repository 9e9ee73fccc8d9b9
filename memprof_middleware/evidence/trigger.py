"""The trigger of evidence files: a confirmed leak, or memory that is nearly full."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.model import MemoryMetrics, RouteGrowth, WorkerSummary
from memprof_middleware.text.headline import headline, plain

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# So many snapshots have seen memory change: what a process was at its start, its file would only say again.
_SEEN = 2
# Percent of the limit at which a bundle is written, and below which the next breach is a new one.
_BREACH, _OVER = 85.0, 80.0


_LEAK = "leak "


def command(path: Path) -> str:
    """The command that prints an evidence file."""
    return f"memprof explain {path}"


class _Cause(NamedTuple):
    """A cause for an evidence file: subject, text, and the time since when a file about it is of the same incident."""

    subject: str
    text: str
    since: float
    leak: str = ""


class EvidenceWatch:
    """Writes the evidence bundles of one process.

    Args:
        probes: name the allocator and count what else grows.
        config: whether, and where.
        failures: where a failure is counted.
        run: names this run of the server, in which each cause gets one file.

    Attributes:
        refused: how many files were not written because two were within the hour.
    """

    def __init__(self, probes: Instruments, config: Config, failures: Failures, run: Callable[[], str]) -> None:
        self._probes, self._config, self._failures, self._run = probes, config, failures, run
        self._last_causes: set[str] = set()  # the subjects of the causes at the last step
        self.refused = 0

    def consider(
        self,
        others: Sequence[WorkerSummary],
        own: MemoryMetrics,
        now: float,
        write: Callable[[str, tuple[str, ...]], Path | None],
    ) -> dict[str, str]:
        """Write an evidence file if there is a new cause, and no other worker has written one for it.

        Args:
            others: the summaries of the other workers of the server, which share a limit with this one.
            own: the figures of this one.
            now: seconds since the epoch.
            write: writes it, with the cause and its subjects.

        Returns:
            The command that prints it, by each leak that it is about.
        """
        causes = {cause.subject: cause for cause in self._causes(others, own, now)}
        new = {subject: cause for subject, cause in causes.items() if subject not in self._last_causes}
        self._last_causes = set(causes)
        if new:
            with self._failures.caught("evidence"):
                from memprof_middleware.evidence.bundle import subjects_of

                for written in subjects_of(self._config.evidence_dir, self._run()):
                    new = {s: cause for s, cause in new.items() if s not in written.about or written.time < cause.since}
        path = write("; ".join(cause.text for cause in new.values()), tuple(new)) if new else None
        return {} if path is None else {cause.leak: command(path) for cause in new.values() if cause.leak}

    def write(
        self,
        cause: str,
        about: tuple[str, ...],
        metrics: MemoryMetrics,
        history: History,
        routes: list[RouteGrowth],
        logger: logging.Logger,
        now: float,
    ) -> Path | None:
        """Write a bundle now; where it is, or ``None`` if it could not be written or two were within the hour."""
        path: Path | None = None
        with self._failures.caught("evidence"):
            from memprof_middleware.evidence.bundle import bundle, write_bundle  # with the first one, if one ever comes

            populations = self._probes.populations()
            data = bundle(cause, metrics, history, self._config, routes, self._probes.allocator().name, populations)
            data |= {"about": list(about), "run": self._run()}
            path = write_bundle(data, self._config.evidence_dir, now)
            self.refused += path is None
            if path is not None and not all(subject.startswith(_LEAK) for subject in about or ("",)):
                extra = {"memprof_evidence": str(path)}
                logger.info("memprof: evidence written: %s (%s)", command(path), cause, extra=extra)
        return path

    def _causes(self, others: Sequence[WorkerSummary], own: MemoryMetrics, now: float) -> Iterator[_Cause]:
        hour_ago = now - 3600
        began: dict[str, float] = {}
        workers = (WorkerSummary.of(own), *others)
        for worker in workers:
            for name, detected_at in worker.leaks.items():
                began[name] = min(detected_at, began.get(name, hour_ago))
        # A predecessor's leaks are confirmed at once: the file waits until this process can have seen them grow.
        has_seen = own.snapshots_taken >= self._config.warmup_snapshots + self._config.leak_min_snapshots
        for leak in own.leaks:
            if leak.state == "confirmed" and has_seen:
                yield _Cause(
                    f"{_LEAK}{leak.name}", f"leak confirmed: {plain(headline(leak))}", began[leak.name], leak.name
                )
        heap = own.snapshot.heap_percent if own.snapshot else None
        shared = shared_memory([worker.snapshot for worker in workers if worker.snapshot])
        for subject, percent, what in (
            (f"limit of worker {own.worker}", heap, f"process {own.pid} uses {{:.0f}} % of its memory limit"),
            (
                "limit of all",
                shared.percent if shared else None,
                "all workers together use {:.0f} % of their memory limit",
            ),
        ):
            if (
                own.snapshots_taken >= _SEEN
                and percent is not None
                and percent >= (_OVER if subject in self._last_causes else _BREACH)
            ):
                yield _Cause(subject, what.format(percent), hour_ago)
