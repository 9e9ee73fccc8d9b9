"""The application of this process with the profiler around it: made in the process that serves, once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from memprof_middleware.errors import ExporterError, MemprofError
from memprof_middleware.probes.listening import listener
from memprof_run.marks import GROUP, HOST, PORT, say

if TYPE_CHECKING:
    from memprof_middleware.web.http.exporter import MemoryExporter

_SERVER_SECONDS, _POLL_SECONDS = 30.0, 0.05
# An application that imports one of these has the middleware already. Our own import of them comes after the question.
_ADAPTERS = ("asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof", "aiohttp_memprof")
_lock = threading.RLock()
# Per process: whether the application has a middleware of its own, what was wrapped, and the exporter.
_pid = 0
_has_own = False
_wrapped: dict[int, tuple[Any, Any]] = {}
_exporters: list[Any] = []


def wrapped_asgi(app: Any) -> Any:
    """An ASGI application with the profiler around it; the application itself where that cannot be."""

    def make(app: Any) -> Any:
        from memprof_run.yielding import YieldingAsgi

        return YieldingAsgi(app)

    return _wrap_once(app, make)


def wrapped_wsgi(app: Any) -> Any:
    """The same for a WSGI application."""

    def make(app: Any) -> Any:
        from memprof_run.yielding import YieldingWsgi

        return YieldingWsgi(app)

    return _wrap_once(app, make)


def _wrap_once(app: Any, make: Callable[[Any], Any]) -> Any:
    with _entered():
        known = _wrapped.get(id(app))
        if known is not None:
            return known[1]
        try:
            if _has_own:
                from memprof_run.yielding import exported

                made = exported(app, serve_port) if PORT in os.environ else app
            else:
                made = make(app)
                serve_port()
        except MemprofError as error:
            say(f"not watched: {error}")
            made = app
        except Exception as error:  # noqa: BLE001 - the application is served, whatever we do wrong
            say(f"not watched: {type(error).__name__}: {error}")
            made = app
        # Both are kept, so that neither's id is given to another object.
        _wrapped[id(app)] = _wrapped[id(made)] = app, made
        return made


@contextlib.contextmanager
def _entered() -> Iterator[None]:
    """In a process for the first time, ask whether the application has the middleware already."""
    global _pid, _has_own
    with _lock:
        if _pid != os.getpid():
            # A master that has wrapped before the fork has loaded the adapters itself.
            if _pid == 0:
                _has_own = any(name in sys.modules for name in _ADAPTERS)
            _pid = os.getpid()
            _exporters.clear()
        yield


def serve_port() -> None:
    """Serve the metrics on the port that ``memprof run --metrics-port`` names, once a process."""
    port = os.environ.get(PORT)
    if port is None or _exporters:
        return
    from memprof_middleware.web.http.exporter import MemoryExporter

    host = os.environ.get(HOST, "127.0.0.1")
    exporter = MemoryExporter(port=int(port), host=host, shared=True, group=os.environ.get(GROUP))
    _exporters.append(exporter)
    threading.Thread(target=_serve, args=(exporter,), name="memprof-port", daemon=True).start()


def _serve(exporter: MemoryExporter) -> None:
    """Serve once the server listens: its workers are known by its socket, which must be there before this one."""
    until = time.monotonic() + _SERVER_SECONDS
    while listener() is None and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    try:
        exporter.start()
    except ExporterError as error:
        say(f"no metrics: {error}")
    except Exception as error:  # noqa: BLE001 - in a thread of the application's process
        say(f"no metrics: {type(error).__name__}: {error}")
