"""The headroom below the limits: a day of memory in use, of this worker and of all, with forecasts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from memprof_middleware.analysis.buckets import Buckets
from memprof_middleware.analysis.sharing import SharedMemory, shared_memory
from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.limits.fast import Recent
from memprof_middleware.limits.forecast import outlook, with_reach
from memprof_middleware.model import (
    MB,
    Condition,
    Forecast,
    Leak,
    MemoryMetrics,
    MemorySnapshot,
    Outlook,
    WorkerSummary,
)
from memprof_middleware.model.urgency import fill_urgency
from memprof_middleware.text.conditions import cause_of, exhaustion_message, exhaustion_over, raise_limit, restart

CONDITION = "exhaustion"
# A leak that takes so large a part of the growth is what fills a limit.
_MOST = 0.5
_HORIZON_SECONDS = 86400.0
_SOON_SECONDS = 3600.0
# Whether the growth of a period, in seconds, ends by itself before so many bytes are used.
EndsBefore = Callable[[float, float], bool]


class Capacity:
    """The past of one process, and of what all workers have together: that one outlives the process.

    Args:
        failures: where a failure is counted; its logger hears of a clock that jumps and of a limit that cannot be.
        config: the thresholds.
        ends_before: asked about the growth of this process before a forecast is made of it.

    Attributes:
        forecast: what is left, as of the last snapshot; ``None`` before the first.
    """

    def __init__(
        self, failures: Failures, config: Config, ends_before: EndsBefore = lambda _left, _seconds: False
    ) -> None:
        self._failures, self._config, self._ends_before = failures, config, ends_before
        self.forecast: Forecast | None = None
        self._worker, self._all = _Figure(), _Figure()
        self._seen: float | None = None  # the last snapshot's time
        self._warned_clock = False
        self._asked_others = False

    def inherit(self, predecessor: MemoryMetrics) -> list[Condition]:
        """Go on with the shared past where the slot's last worker ended.

        Returns:
            The conditions that the worker has reported already.
        """
        forecast = predecessor.forecast
        if forecast is None or forecast.shared is None:
            return []
        self._adopt(forecast)
        return self._ahead([("shared", "all workers together reach", forecast.shared)])

    def see(
        self,
        snapshot: MemorySnapshot,
        others: Sequence[WorkerSummary],
        own: str,
        leaks: Iterable[Leak] = (),
        how_to_restart: Callable[[int], str] = restart,
    ) -> list[Condition]:
        """Count a snapshot in and judge anew; the same one again changes nothing.

        Args:
            snapshot: the last one of this process.
            others: what the server's other workers tell.
            own: the label of this worker.
            leaks: what is reported of this process.
            how_to_restart: returns what to do about a process for which there is no time; asked only then.

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
        subjects = [("worker", f"process {snapshot.pid} reaches", self._worker.outlook)]
        if shared is not None and (shared.contained or others):  # alone, the worker's own limit says it all
            who = "the container reaches" if shared.contained else f"{len(others) + 1} workers together reach"
            subjects.append(("shared", who, self._all.outlook))
        most = max(leaks, key=lambda leak: leak.bytes_per_hour, default=None)
        return self._ahead(subjects, lambda: how_to_restart(snapshot.pid), most, snapshot.in_flight)

    def over(self) -> dict[str, str]:
        """Why limits are not near, by subject; asked where one has been."""
        seen = {} if self.forecast is None else {"worker": self.forecast.worker, "shared": self.forecast.shared}
        return {
            subject: exhaustion_over(one.used_mb, one.limit_mb)
            for subject, one in seen.items()
            if one is not None and one.limit_mb is not None and one.low_seconds is None
        }

    def _ahead(
        self,
        subjects: Sequence[tuple[str, str, Outlook | None]],
        advice: Callable[[], str] = str,
        most: Leak | None = None,
        in_flight: int = 0,
    ) -> list[Condition]:
        """The limits that will be reached within a day."""
        return [
            _condition(subject, who, seen, advice, self._config, most, in_flight)
            for subject, who, seen in subjects
            if seen is not None and seen.low_seconds is not None and seen.low_seconds < _HORIZON_SECONDS
        ]

    def _count(self, snapshot: MemorySnapshot, shared: SharedMemory | None, others: Sequence[WorkerSummary]) -> None:
        if self._seen is None:
            self._warn_of_limit(snapshot)
        self._seen = snapshot.timestamp
        if not self._asked_others:
            self._asked_others = bool(others)
            for forecast in [other.forecast for other in others if other.forecast and other.forecast.shared_past]:
                self._adopt(forecast)
        went_back = False
        if snapshot.heap_used_mb is not None:
            figures = snapshot.timestamp, snapshot.heap_used_mb, snapshot.heap_size_mb
            went_back = self._worker.see(*figures, self._ends_before)
        if shared is not None:
            went_back |= self._all.see(snapshot.timestamp, shared.used_mb, shared.size_mb)
        if went_back and not self._warned_clock:
            self._warned_clock = True
            self._failures.logger.warning("memprof: the system clock was set back; the forecast starts again")

    def _adopt(self, forecast: Forecast) -> None:
        with self._failures.caught("capacity"):
            past = Buckets.unpack(forecast.shared_past)
            if len(past) > len(self._all.past):
                self._all = _Figure(past, forecast.shared)

    def _warn_of_limit(self, snapshot: MemorySnapshot) -> None:
        used, limit = snapshot.heap_used_mb, snapshot.heap_size_mb
        if used is not None and limit is not None and used >= limit:
            self._failures.logger.warning(
                "memprof: memory in use (%.0f MiB) is above the limit (%.0f MiB, from %s) at the first snapshot: %s. "
                "No forecast until then.",
                used,
                limit,
                snapshot.heap_size_source or "nowhere",
                raise_limit(snapshot.heap_size_source),
            )


class _Figure:
    """One series with its outlook."""

    def __init__(self, past: Buckets | None = None, outlook: Outlook | None = None) -> None:
        self.past, self._recent = past or Buckets(), Recent()
        self.outlook: Outlook | None = outlook
        self._slow: Outlook | None = outlook  # by hours
        self._judged: tuple[int, float | None] | None = None  # the open bucket and the limit at the last judgement

    def see(
        self, timestamp: float, used_mb: float, limit_mb: float | None, ends_before: EndsBefore | None = None
    ) -> bool:
        """Count in, and judge again: by hours if a bucket was closed; true if the clock went back."""
        went_back = self.past.add(timestamp, used_mb)
        self._recent.add(timestamp, used_mb)
        now, before = (self.past.newest, limit_mb), self.outlook
        was_told = before is not None and before.low_seconds is not None
        if self._slow is None or went_back or now != self._judged or (limit_mb is not None and used_mb >= limit_mb):
            reported = self._slow is not None and self._slow.low_seconds is not None
            found, self._judged = outlook(self.past, used_mb, limit_mb, reported=reported), now
            self._slow = with_reach(found, None) if ends_before is not None and _ends(found, ends_before) else found
        self._slow = dataclasses.replace(self._slow, used_mb=used_mb)
        self.outlook = self._slow
        if self._slow.low_seconds is None and limit_mb is not None and used_mb < limit_mb:
            reach = self._recent.time_to_limit(limit_mb, self.past, reported=was_told)
            found = with_reach(self._slow, reach)
            if reach is not None and not (ends_before is not None and _ends(found, ends_before)):
                self.outlook = found
        return went_back


def _ends(seen: Outlook, ends_before: EndsBefore) -> bool:
    """Whether the growth that a range was made of ends before the limit."""
    if seen.low_seconds is None or seen.headroom_mb is None:
        return False
    return ends_before(seen.headroom_mb * MB, 3600 * (seen.seen_hours or 0.0))


def _condition(
    subject: str,
    who: str,
    seen: Outlook,
    advice: Callable[[], str],
    config: Config,
    most: Leak | None,
    in_flight: int,
) -> Condition:
    low, hours = seen.low_seconds or 0.0, seen.seen_hours or 0.0
    high, per_hour = seen.high_seconds or low, seen.mb_per_hour or 0.0
    fills = most is not None and subject == "worker" and most.bytes_per_hour >= _MOST * per_hour * MB
    cause = cause_of(most if fills else None, in_flight if subject == "worker" else 0)
    percent = 100 * seen.used_mb / seen.limit_mb if seen.limit_mb else None
    urgent = seen.urgency(fill_urgency(percent, config.heap_warning_percent, config.heap_critical_percent))
    return Condition(
        CONDITION,
        "critical" if low < _SOON_SECONDS else "high",
        low,
        _HORIZON_SECONDS,
        exhaustion_message(who, seen.limit_mb or 0.0, low, high, seen.used_mb, per_hour, hours, cause),
        subject,
        urgency=urgent,
        limit_seconds=low,
        advice=advice() if urgent == "now" and subject == "worker" else "",
        per_hour=per_hour * MB,
    )
