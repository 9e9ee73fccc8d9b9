"""Learn the usual figures of an application hour by hour, and keep them between starts and releases."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.limits.learning import learn, levels_of, release_change
from memprof_middleware.limits.levels import FixedTuner, described
from memprof_middleware.limits.state_file import read_state, state_path, write_state
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.learned import Hour, Learned

_HOUR = 3600.0


class Tuner(FixedTuner):
    """The hours of one process, and what the application's processes have learned together.

    One worker learns for all, the one with the lowest number; the others read what it wrote. Without a place to keep
    it, each worker learns for itself.

    Args:
        config: whether to learn, the release, and where it is kept.
        failures: where a failure is counted; its logger hears what was learned.

    Attributes:
        levels: the thresholds in force, each with its reason.
        change: what this release uses beside the one before, where both are known.
        active: whether there is anything to learn.
    """

    def __init__(self, config: Config, failures: Failures) -> None:
        super().__init__(config, failures)
        self._config, self._failures = config, failures
        self._path = state_path(config)
        self._auto = config.thresholds == "auto"
        self.active = self._auto or (config.release is not None and self._path is not None)
        self._began: float | None = None
        self._hour: _Hour | None = None
        self._reported: set[str] = set()
        self._take(Learned())

    def open(self) -> None:
        """Read what was learned before, if it is kept anywhere."""
        if self._auto and self._path is None:
            self._failures.logger.info("memprof: learned thresholds are lost at restart: set state_dir to keep them")
        if self.active and self._path is not None:
            with self._failures.caught("state_file"):
                self._take(read_state(self._path))

    def see(
        self, snapshot: MemorySnapshot, shared_percent: float | None, growth_percent: float | None, *, first: bool
    ) -> None:
        """Count a snapshot in; with the first one of a new hour the last hour is learned.

        Args:
            snapshot: the last one of this process.
            shared_percent: what all workers use, in percent of the limit that they share.
            growth_percent: how fast the heap grows, per hour.
            first: whether this is the worker that learns for all.
        """
        if not self.active:
            return
        if self._began is None or snapshot.timestamp < self._began:  # the clock was put back
            self._began = snapshot.timestamp
        number = int(snapshot.timestamp // _HOUR)
        over = self._hour
        if over is None or over.number != number:
            self._hour = _Hour(number, warm=snapshot.timestamp - self._began >= _HOUR)
            if over is not None and over.number < number and over.warm:
                self._close(over, first=first)
        if self._hour is not None:
            self._hour.add(snapshot, shared_percent, growth_percent)

    def statistics(self) -> dict[str, Any]:
        """The thresholds with their reasons and the releases that are known, as JSON-ready types."""
        return {
            "thresholds": described(self.levels),
            "releases": {release.name: len(release.hours) for release in self._learned.releases},
            "release_change": None if self.change is None else str(self.change),
        }

    def _close(self, over: _Hour, *, first: bool) -> None:
        began = over.number * _HOUR if self._began is None else self._began
        hour = over.closed(age_hours=((over.number + 1) * _HOUR - began) / _HOUR)
        release, now = self._config.release or "", (over.number + 1) * _HOUR
        if self._path is None:
            self._take(learn(self._learned, release, hour, now))
        else:
            with self._failures.caught("state_file"):
                learned = read_state(self._path)
                if first:
                    learned = learn(learned, release, hour, now)
                    write_state(self._path, learned)
                self._take(learned)
        self._tell(first=first)

    def _take(self, learned: Learned) -> None:
        self._learned = learned
        if self._auto:
            self.levels = levels_of(self._config, learned)
        self.change = release_change(learned, self._config.release or "")

    def _tell(self, *, first: bool) -> None:
        """Log learned thresholds and the change of a release, once each."""
        log = self._failures.logger
        if self.levels.heap_growth.learned and "levels" not in self._reported:
            self._reported.add("levels")
            for name, level in self.levels.described().items():
                log.info("memprof: threshold %s set to %.0f: %s", name, level.value, level.reason)
        if first and self.change is not None and "change" not in self._reported:
            self._reported.add("change")
            log.info("memprof: %s", self.change)


class _Hour:
    """An hour that is going on: its extremes."""

    def __init__(self, number: int, *, warm: bool) -> None:
        self.number, self.warm = number, warm
        self._floor = math.inf
        self._peaks: dict[str, float] = {}

    def add(self, snapshot: MemorySnapshot, shared_percent: float | None, growth_percent: float | None) -> None:
        if snapshot.heap_used_mb is not None:
            self._floor = min(self._floor, snapshot.heap_used_mb)
        found: Iterable[tuple[str, float | None]] = (
            ("heap_percent", snapshot.heap_percent),
            ("shared_percent", shared_percent),
            ("growth_percent", growth_percent),
            ("gc_per_hour", snapshot.gc_per_hour),
        )
        for name, value in found:
            if value is not None:
                self._peaks[name] = max(value, self._peaks.get(name, -math.inf))

    def closed(self, age_hours: float) -> Hour:
        return Hour(
            age_hours=round(age_hours, 2),
            heap_mb=None if math.isinf(self._floor) else round(self._floor, 2),
            **{name: round(value, 3) for name, value in self._peaks.items()},
        )
