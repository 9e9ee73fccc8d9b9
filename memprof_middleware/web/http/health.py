"""The exporter's answers beside the metrics: whether the profiler takes snapshots, and the paths that exist."""

from __future__ import annotations

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.part import Part

# A process whose last snapshot is older than this many intervals is not healthy.
_STALE_INTERVALS = 3


class Health(Part):
    """The answer of ``/health``: whether the profiler takes snapshots.

    Args:
        interval: seconds between two snapshots.
        group: the name of the application, if the port is shared.
    """

    failure = "exporter"

    def __init__(self, profiler: MemoryProfiler, path: str | None, interval: float, group: str | None = None) -> None:
        super().__init__(profiler, path)
        self._interval, self._group = interval, group

    def answer(self, request: Request) -> Response:
        """200, or 503 when the last snapshot is too old."""
        snapshot = self.profiler.metrics().snapshot
        age = None if snapshot is None else self.profiler.now() - snapshot.timestamp
        if not self.profiler.config.enabled:
            status = "disabled"
        elif age is None:
            status = "no snapshot yet"
        else:
            status = "ok" if age <= _STALE_INTERVALS * self._interval else "stale"
        healthy = status in {"ok", "disabled"}  # a profiler that is disabled is no reason to restart the process
        body = {"status": status, "last_snapshot_age_seconds": age}
        if self._group is not None:
            body["group"] = self._group
        return messages.data(request, body, 200 if healthy else 503)


class NotFound(Part):
    """The answer for all other paths."""

    failure = "exporter"

    def answer(self, request: Request) -> Response:
        """404, with the paths that exist."""
        return messages.text(request, "here are /metrics and /health\n", 404)
