"""Celery's workers: each child is a worker of one group, each task a route."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError, ExporterError
from memprof_middleware.forks import renew_in_child
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.labels import job
from memprof_middleware.web.http.exporter import DEFAULT_PORT, MemoryExporter

if TYPE_CHECKING:
    from celery import Celery  # type: ignore[import-untyped]

# Tasks that have begun and not ended. Where a child is killed they go with it; else nothing leaves one behind.
_MOST_OPEN = 10_000
# In the name of the pool that forks, or in its class's.
_FORKING = ("prefork", "processes")
_watcher: _Watcher | None = None


def watch_celery(
    app: Celery,
    *,
    port: int | None = DEFAULT_PORT,
    host: str = "0.0.0.0",  # noqa: S104 - as the exporter's
    group: str | None = None,
    profiler: MemoryProfiler | None = None,
    config: Config | None = None,
) -> MemoryProfiler:
    """Watch Celery's workers: call it once, where the application is made. Nothing happens in other processes.

    Each child of a prefork worker, or the worker itself with the pools ``threads``, ``solo`` and ``gevent``, starts the
    profiler and serves the metrics of all on one port. Each task is counted as ``TASK`` and its name.

    Args:
        app: the application; its name is the group.
        port: where the metrics are; ``None``: nowhere.
        host: the address to listen on.
        group: names the application among those that share ports; by default ``app.main``, else the program's name.
        profiler: a ready profiler; or
        config: settings to make one with. With neither, the process's own profiler is used.

    Returns:
        The profiler.

    Raises:
        ConfigError: Celery is not installed, or a setting is not valid.
    """
    global _watcher
    if _watcher is not None:
        return _watcher.profiler
    found = profiler_for(profiler, config)
    name = group or getattr(app, "main", None) or PurePath(sys.argv[0]).name
    exporter = None if port is None else MemoryExporter(found, port=port, host=host, shared=True, group=name)
    watcher = _Watcher(found, exporter)
    watcher.connect()
    _watcher = watcher
    return found


class _Watcher:
    """The receivers of Celery's signals.

    Args:
        profiler: counts.
        exporter: serves; ``None``: nobody does.
    """

    def __init__(self, profiler: MemoryProfiler, exporter: MemoryExporter | None) -> None:
        self.profiler, self._exporter = profiler, exporter
        self._open: dict[str, str] = {}
        self._is_started = False
        renew_in_child(self._leave_parent)

    def _leave_parent(self) -> None:
        self._open.clear()
        self._is_started = False

    def connect(self) -> None:
        """Connect to the signals of workers and tasks.

        Raises:
            ConfigError: Celery is not installed.
        """
        try:
            from celery import signals
        except ImportError as error:
            raise ConfigError("watch_celery() needs Celery, which is not installed: pip install celery") from error
        for name, receiver in {
            "worker_init": self._parent,
            "worker_process_init": self._start,
            "worker_process_shutdown": self._stop,
            "worker_shutdown": self._stop,
            "task_prerun": self._begin,
            "task_postrun": self._end,
        }.items():
            getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"memprof {name}")

    def _parent(self, sender: Any = None, **_: object) -> None:
        """The worker begins: with a pool that forks it only keeps the port for its children, which serve."""
        pool = str(getattr(sender, "pool_cls", ""))
        if not any(name in pool for name in _FORKING):
            self._start()
        elif self._exporter is not None:
            self._try(self._exporter.reserve)

    def _start(self, **_: object) -> None:
        self.profiler.ensure_running()
        self._is_started = True
        if self._exporter is not None:
            self._try(self._exporter.start)

    def _stop(self, **_: object) -> None:
        with self.profiler.failures.caught("stop"):
            if self._exporter is not None:
                self._exporter.stop()
            if self._is_started:  # not in a parent, which has none to stop
                self.profiler.stop()

    def _begin(self, task_id: str, task: Any, **_: object) -> None:
        profiler = self.profiler
        profiler.ensure_running()
        if len(self._open) < _MOST_OPEN:
            self._open[task_id] = job(str(task.name))
            profiler.traffic.started += 1

    def _end(self, task_id: str, state: str = "", **_: object) -> None:
        label = self._open.pop(task_id, None)
        if label is not None:
            self.profiler.traffic.failed += state == "FAILURE"
            self.profiler.traffic.end(label)

    def _try(self, take: Any) -> None:
        """Take the port; where that fails all goes on without metrics, and one line says why."""
        try:
            take()
        except ExporterError as error:
            self._exporter = None
            self.profiler.logger.error("memprof: no metrics of this Celery worker: %s", error)  # noqa: TRY400 - it says all
