"""Reads what the page shows: every worker's figures, their pasts, this worker's alerts, and what the page costs."""

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
from memprof_middleware.text.version import package_version
from memprof_middleware.web.state.build import NEEDED, build_state
from memprof_middleware.workers.track import Track


class Looking:
    """What one process knows of the server.

    Args:
        profiler: this process's.

    Attributes:
        bundles: tells the evidence bundles of these processes: each a mapping with ``id``, ``why``, ``pid``, ``time``
            and ``bytes``; replaced by who keeps them.
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
            actions: what else can be done here, by first segment of the path.
        """
        profiler = self._profiler
        profiler.settle()
        metrics = profiler.workers()
        own = next(one for one in metrics if one.answering)
        tracks, detail = profiler.pasts.read(own, NEEDED)
        pids = _pids(metrics, tracks)
        about = {
            "host": _host(),
            "python": platform.python_version(),
            "version": package_version(),
            "actions": actions,
            "bundles": list(self.bundles(pids)),
            "page_ms": None if self._last is None else 1000 * self._last,
            "page_cpu_percent": 100 * self._spent / max(1.0, time.monotonic() - self._since),
        }
        return build_state(metrics, tracks, detail, profiler.config, profiler.alerts, now=profiler.now(), about=about)

    def pids(self) -> set[int]:
        """The workers of this server, those included that have ended within the hours that are kept."""
        profiler = self._profiler
        profiler.settle()
        metrics = profiler.workers()
        own = next(one for one in metrics if one.answering)
        tracks, _ = profiler.pasts.read(own, ("pid",))
        return _pids(metrics, tracks)

    @contextlib.contextmanager
    def paying(self) -> Iterator[None]:
        """Note what the work inside the block costs."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._last = time.thread_time() - began
            self._spent += self._last
            self._profiler.charge_shown(self._last)


def _pids(metrics: Sequence[MemoryMetrics], tracks: Mapping[str, Track]) -> set[int]:
    kept = {int(pid) for track in tracks.values() for pid in set(track.figure("pid")) if not math.isnan(pid)}
    return kept | {one.pid for one in metrics}


@functools.cache
def _host() -> str:
    return socket.gethostname()
