"""One full collection, if it is cheap, at a quiet moment, and the only evidence that a verdict lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.judge import COLLECTION
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.room import CONFIRM

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# A full collection holds everybody up: so many seconds apart at the least, only where it takes no longer than this,
# and so many seconds for each object.
_APART, _LONGEST, _EACH = 1800.0, 0.25, 2e-7


class Collecting:
    """Ask the interpreter for a full collection.

    Args:
        probes: do it.
        past: its clock.
        failures: where a failure is counted.

    Attributes:
        asked: when one was asked for last, by the past's clock.
    """

    def __init__(self, probes: Instruments, past: Past, failures: Failures) -> None:
        self._probes, self._past, self._failures = probes, past, failures
        self.asked: float | None = None

    @staticmethod
    def is_cheap(history: History) -> bool:
        """Whether a full collection takes so little time that it may be asked for."""
        return history.latest is not None and _EACH * (history.latest.total_objects or 0) <= _LONGEST

    def consider(self, findings: Iterable[Finding], history: History) -> None:
        """Collect, if a verdict lacks nothing else."""
        waiting = any(one.waits == COLLECTION and one.share >= CONFIRM for one in findings)
        snapshot = history.latest
        if not waiting or snapshot is None:
            return
        rested = self.asked is None or self._past.now() - self.asked >= _APART
        flights = sorted(history.series("in_flight"))
        calm = snapshot.in_flight <= flights[len(flights) // 2]
        if rested and calm and self.is_cheap(history):
            with self._failures.caught("probe_collect"):
                self._probes.collect()
                self.asked = self._past.now()
