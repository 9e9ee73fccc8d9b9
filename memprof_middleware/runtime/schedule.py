"""The schedule of steps: at the interval in the thread, or with a scrape where no thread runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from memprof_middleware.runtime.heartbeat import Heartbeat
from memprof_middleware.runtime.sampler import Sampler
from memprof_middleware.weakly import weakly

if TYPE_CHECKING:
    from memprof_middleware.config import Config
    from memprof_middleware.failures import Failures
    from memprof_middleware.runtime.notices import Notices


class Schedule:
    """The steps of one process.

    Args:
        config: the interval, and whether there is to be a thread.
        notices: logs that no thread runs.
        failures: where a failure of a step is counted.
        step: does one step; never raises.
        has_begun: whether there is a snapshot.
        on_start: called by each start, before the thread is there.
        between_steps: called once a second as long as it returns true.
        on_abandoned: called by the thread at its end if the profiler is gone.

    Attributes:
        sampler: the thread.
        stepped_at: when the last step began, by the monotonic clock.
        stepping: whether a step is under way.
        stopped: whether the profiler was stopped.
    """

    def __init__(
        self,
        config: Config,
        notices: Notices,
        failures: Failures,
        *,
        step: Callable[[], object],
        has_begun: Callable[[], bool],
        on_start: Callable[[], object],
        between_steps: Callable[[], object],
        on_abandoned: Callable[[], object],
    ) -> None:
        self._interval, self._notices, self._step, self._has_begun = config.interval, notices, step, has_begun
        self._failures = failures
        self.stepped_at = time.monotonic()
        self.stopped = self.stepping = False
        self._heartbeat = Heartbeat(config.interval, self.stepped_at)
        self.sampler = Sampler(
            weakly(self.beat),
            config.interval,
            background=config.background and config.enabled,
            on_start=on_start,
            unsettled=between_steps,
            on_abandoned=on_abandoned,
        )

    def start(self) -> None:
        """Start the thread, if there is to be one.

        Raises:
            RuntimeError: the process may not start threads.
        """
        self.stopped = False
        if self.sampler.was_killed:
            self._notices.thread_killed()
        self.sampler.start()

    def stop(self) -> None:
        """Stop the thread, also in the middle of a step."""
        self.stopped = True
        self.sampler.stop()

    def beat(self) -> None:
        """Do a step in the thread."""
        if self._heartbeat.beat(time.monotonic()):
            self._notices.thread_runs()
        with self._failures.contained("step"):  # a handler of the host's log may raise what is no Exception
            self.step()
        self._heartbeat.beat(time.monotonic())

    def step(self) -> None:
        """Do a step now. Never raises."""
        self.stepped_at = time.monotonic()
        self.stepping = True
        try:
            self._step()
        finally:  # a handler of a signal may raise in here, in a scrape
            self.stepping = False

    def step_if_overdue(self) -> None:
        """Do a step in place of a thread that does not run, once an interval."""
        if not self.sampler.background or self.stopped or self.stepping:
            return
        now = time.monotonic()
        if self._heartbeat.is_missing(now, alive=self.sampler.running or self.sampler.starting):
            self._notices.no_thread()
            if not self._has_begun() or now - self.stepped_at >= self._interval:
                self.step()

    @property
    def is_halted(self) -> bool:
        """Whether a step under way is no longer wanted."""
        return self.stopped and self.stepping
