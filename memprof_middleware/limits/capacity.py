"""Watches what is left of the limits: keeps a day of memory, of this worker and of all workers, and has it judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from memprof_middleware.analysis.buckets import Buckets
from memprof_middleware.analysis.sharing import SharedMemory, shared_memory
from memprof_middleware.failures import Failures
from memprof_middleware.limits.forecast import outlook
from memprof_middleware.model import Breach, Forecast, MemoryMetrics, MemorySnapshot, Outlook, WorkerSummary

CONDITION = "exhaustion"
_HORIZON_SECONDS = 86400.0
_SOON_SECONDS = 3600.0


class Capacity:
    """The past of one process, and of what all workers have together: that one outlives the process.

    Args:
        failures: where a failure is counted; its logger hears of a clock that jumps and of a limit that cannot be.

    Attributes:
        forecast: what is left, as of the last snapshot; ``None`` before the first.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.forecast: Forecast | None = None
        self._worker, self._all = _Figure(), _Figure()
        self._seen: float | None = None  # the last snapshot's time
        self._warned_clock = False
        self._asked_others = False

    def inherit(self, predecessor: MemoryMetrics) -> list[Breach]:
        """Go on with the shared past where the slot's last worker ended.

        Returns:
            What that worker has told already.
        """
        told = predecessor.forecast
        if told is None or told.shared is None:
            return []
        self._adopt(told)
        return _breaches([("shared", "the workers together", told.shared)])

    def see(self, snapshot: MemorySnapshot, others: Sequence[WorkerSummary], own: str) -> list[Breach]:
        """Count a snapshot in and judge anew; the same one again changes nothing.

        Args:
            snapshot: the last one of this process.
            others: what the server's other workers tell.
            own: the label of this worker.

        Returns:
            The limits that will be reached within a day.
        """
        shared = shared_memory([snapshot, *(other.snapshot for other in others if other.snapshot)])
        if snapshot.timestamp != self._seen:
            self._count(snapshot, shared, others)
        first = all(int(own) < int(other.worker) for other in others)
        self.forecast = Forecast(
            worker=self._worker.outlook,
            shared=self._all.outlook,
            # One of them tells it for all: a day is 7 kB.
            shared_past=self._all.past.pack() if first and self._all.outlook is not None else "",
        )
        subjects = [("worker", "this process", self._worker.outlook)]
        if shared is not None and (shared.contained or others):  # alone, the worker's own limit says it all
            who = "the container" if shared.contained else f"{len(others) + 1} workers together"
            subjects.append(("shared", who, self._all.outlook))
        return _breaches(subjects)

    def _count(self, snapshot: MemorySnapshot, shared: SharedMemory | None, others: Sequence[WorkerSummary]) -> None:
        if self._seen is None:
            self._warn_of_limit(snapshot)
        self._seen = snapshot.timestamp
        if not self._asked_others:
            self._asked_others = bool(others)
            for told in [other.forecast for other in others if other.forecast and other.forecast.shared_past]:
                self._adopt(told)
        went_back = False
        if snapshot.heap_used_mb is not None:
            went_back = self._worker.see(snapshot.timestamp, snapshot.heap_used_mb, snapshot.heap_size_mb)
        if shared is not None:
            went_back |= self._all.see(snapshot.timestamp, shared.used_mb, shared.size_mb)
        if went_back and not self._warned_clock:
            self._warned_clock = True
            self._failures.logger.warning(
                "memprof: the clock went back; what was measured at later times is left out of the forecast"
            )

    def _adopt(self, told: Forecast) -> None:
        with self._failures.caught("capacity"):
            past = Buckets.unpack(told.shared_past)
            if len(past) > len(self._all.past):
                self._all = _Figure(past, told.shared)

    def _warn_of_limit(self, snapshot: MemorySnapshot) -> None:
        used, limit = snapshot.heap_used_mb, snapshot.heap_size_mb
        if used is not None and limit is not None and used >= limit:
            self._failures.logger.warning(
                "memprof: this process used %.0f MB when it was first looked at, and its limit is %.0f MB (from %s): "
                "there is nothing to forecast; raise the limit%s",
                used,
                limit,
                snapshot.heap_size_source or "nowhere",
                ", or correct heap_size_mb" if snapshot.heap_size_source == "setting" else "",
            )


class _Figure:
    """One series and what is made of it."""

    def __init__(self, past: Buckets | None = None, told: Outlook | None = None) -> None:
        self.past = past or Buckets()
        self.outlook: Outlook | None = told
        self._judged: tuple[int, float | None] | None = None  # the open bucket and the limit at the last judgement

    def see(self, timestamp: float, used_mb: float, limit_mb: float | None) -> bool:
        """Count in, and judge again if a bucket was closed; true if the clock went back."""
        went_back = self.past.add(timestamp, used_mb)
        now = self.past.newest, limit_mb
        before = self.outlook
        if before is None or went_back or now != self._judged or (limit_mb is not None and used_mb >= limit_mb):
            told = before is not None and before.low_seconds is not None
            self.outlook, self._judged = outlook(self.past, used_mb, limit_mb, told=told), now
        else:
            self.outlook = dataclasses.replace(before, used_mb=used_mb)
        return went_back


def _breaches(subjects: Sequence[tuple[str, str, Outlook | None]]) -> list[Breach]:
    return [
        Breach(
            CONDITION,
            "critical" if seen.low_seconds < _SOON_SECONDS else "high",
            seen.low_seconds,
            _HORIZON_SECONDS,
            f"{who} will be at the limit in {seen.span} if it goes on like this: {seen.used_mb:.0f} of "
            f"{seen.limit_mb:.0f} MB, growing by {seen.mb_per_hour:.1f} MB per hour, seen over {seen.seen_hours:.0f} h",
            subject,
        )
        for subject, who, seen in subjects
        if seen is not None and seen.low_seconds is not None and seen.low_seconds < _HORIZON_SECONDS
    ]
