"""The interface of a sink, which delivers figures and alerts to another monitoring system."""

from __future__ import annotations

from memprof_middleware.errors import MemprofError
from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.model.value import valueclass


class SinkError(MemprofError):
    """A sink cannot deliver; its text is written for the log and holds nothing of the program's data."""


@valueclass(frozen=True, slots=True)
class Reads:
    """The number of reads of a sink that another library reads, and the last time, in seconds since the epoch."""

    count: int
    last: float | None


class Sink:
    """Deliver one worker's figures and alerts to another system. Derive from it and override what you need.

    Every method is called in a thread that this sink has for itself, one call at a time, in each worker: it may take
    its time and may raise. What it raises is counted and told once; it is asked again later, with newer figures. It
    never measures: it is given frozen values.

    Attributes:
        name: tells it from the other sinks, in metrics and in the log.
        alerts_with_figures: whether :meth:`event` only takes note, and the next figures tell it: no delivery then.
        reads: for a sink that another library reads: when that was. ``None``: each call that returned is a delivery.
    """

    name: str = ""
    alerts_with_figures: bool = False
    reads: Reads | None = None

    def open(self) -> None:
        """Make connections and import libraries; called in each process before anything else, until it succeeds.

        After a fork it is called again in the child: whatever was there before is the parent's.
        """

    def snapshot(self, metrics: MemoryMetrics) -> None:
        """Deliver this worker's figures, as of its last snapshot; those that came while it was busy are left out."""

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        """Deliver the beginning or the end of a condition, with the figures of that moment.

        One that raises gets the same alert again later: it may arrive twice.
        """

    def close(self) -> None:
        """Send what is left and give up what was opened; the process may end a second later."""
