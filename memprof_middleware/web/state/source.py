"""Read the state of a server: figures and timelines of all workers, alerts of this one, cost of the page."""

from __future__ import annotations

import contextlib
import functools
import math
import platform
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from memprof_middleware.model import MemoryMetrics
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.recycling.detection import is_replaced, surroundings
from memprof_middleware.text.version import package_version
from memprof_middleware.web.state.build import NEEDED, build_state
from memprof_middleware.workers.timeline import Timeline


class StateReader:
    """Read the state of the server in one process.

    Args:
        profiler: the profiler of this process.

    Attributes:
        bundles: returns the evidence files of these processes: each a mapping with ``id``, ``why``, ``pid``, ``time``
            and ``bytes``; set by the owner of the files.
    """

    def __init__(self, profiler: MemoryProfiler) -> None:
        self._profiler = profiler
        self._spent = 0.0
        self._last: float | None = None
        self._since = time.monotonic()
        self.bundles: Callable[[Collection[int]], Sequence[dict[str, Any]]] = lambda _pids: ()

    def state(self, actions: Sequence[str] = ()) -> dict[str, Any]:
        """The state as of now; measures nothing.

        Args:
            actions: the handlers below the page, by first segment of the path.
        """
        profiler = self._profiler
        profiler.settle()
        metrics = profiler.workers()
        own = next(one for one in metrics if one.answering)
        timelines, detail = profiler.pasts.read(own, NEEDED)
        pids = _pids(metrics, timelines)
        about = {
            "host": _host(),
            "python": platform.python_version(),
            "version": package_version(),
            "actions": actions,
            "bundles": list(self.bundles(pids)),
            "replaced": is_replaced(surroundings(), supervised=profiler.config.recycle_supervised),
            "page_ms": None if self._last is None else 1000 * self._last,
            "page_cpu_percent": 100 * self._spent / max(1.0, time.monotonic() - self._since),
        }
        return build_state(
            metrics, timelines, detail, profiler.config, profiler.alerts, now=profiler.now(), about=about
        )

    def pids(self) -> set[int]:
        """The process ids of this server's workers, recently ended ones included."""
        profiler = self._profiler
        profiler.settle()
        metrics = profiler.workers()
        own = next(one for one in metrics if one.answering)
        timelines, _ = profiler.pasts.read(own, ("pid",))
        return _pids(metrics, timelines)

    @contextlib.contextmanager
    def charging(self) -> Iterator[None]:
        """Charge the work inside the block to the CPU budget."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._last = time.thread_time() - began
            self._spent += self._last
            self._profiler.charge_shown(self._last)


def _pids(metrics: Sequence[MemoryMetrics], timelines: Mapping[str, Timeline]) -> set[int]:
    kept = {int(pid) for timeline in timelines.values() for pid in set(timeline.figure("pid")) if not math.isnan(pid)}
    return kept | {one.pid for one in metrics}


@functools.cache
def _host() -> str:
    return socket.gethostname()
