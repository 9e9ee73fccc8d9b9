"""Log lines about the profiler itself, each at most once in a process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from memprof_middleware.failures import Failures


class Notices:
    """Log each fact about the profiler of one process once.

    Args:
        pid: the process.
        failures: where a log that fails is counted; its logger takes the lines.
    """

    def __init__(self, pid: int, failures: Failures) -> None:
        self._pid, self._failures = pid, failures
        self._said: set[str] = set()

    def started(self, interval: float, faces: Sequence[str]) -> None:
        """Log the start of the profiler, and where its results are shown."""
        where = f", {', '.join(faces)}" if faces else ""
        self._log(logging.INFO, f"started in process {self._pid}: a snapshot every {interval:g} s{where}")

    def not_kept(self, folder: str) -> None:
        """Log that the folder of what was learned and decided cannot be written."""
        self._once(
            "not kept",
            f"state_dir={folder!r} cannot be written: nothing learned is kept, and nothing can be acknowledged or "
            "ignored on the page. Set state_dir to one that can be written.",
        )

    def no_thread(self) -> None:
        """Log that no background thread runs."""
        hint = " uWSGI: set enable-threads = true." if "uwsgi" in sys.modules else ""
        self._once(
            "missing",
            f"no background thread in process {self._pid}: snapshots are taken when /metrics is read.{hint}",
        )

    def thread_runs(self) -> None:
        """Log that the background thread runs after all."""
        self._once("runs", f"the background thread of process {self._pid} runs after all: it takes the snapshots again")

    def thread_killed(self) -> None:
        """Log that the background thread was ended by the application, and is started again."""
        self._once(
            "killed",
            f"the background thread of process {self._pid} was killed, as gevent.killall() does: it is started again",
        )

    def counted_rarely(self, text: str) -> None:
        """Log that objects are counted less often than at the interval: once at INFO, then at DEBUG."""
        level = logging.DEBUG if "rarely" in self._said else logging.INFO
        self._said.add("rarely")
        self._log(level, text)

    def _once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log(logging.WARNING, text)

    def _log(self, level: int, text: str) -> None:
        with self._failures.caught("log"):
            self._failures.logger.log(level, "memprof: %s", text, extra={"memprof_pid": self._pid})
