"""The exporter: metrics on a port of their own, for applications that keep them off the public port."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from http import HTTPStatus
from pathlib import PurePath
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from memprof_middleware.errors import ConfigError, ExporterError
from memprof_middleware.failures import Failures
from memprof_middleware.forks import in_child
from memprof_middleware.model.clean import clean
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.registry import get_memory_profiler
from memprof_middleware.web.http import messages, shared_port, wsgi
from memprof_middleware.web.http.endpoint import Endpoint
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.part import Part

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

DEFAULT_PORT = 9202
# A process whose last snapshot is older than this many intervals is not healthy.
_STALE_INTERVALS = 3
# Seconds between two runs of ``service_actions``.
_POLL_SECONDS = 0.25
# The most connections at once, each with a thread, and the longest head of a request: to limit their memory.
_MOST_PEERS, _MOST_HEAD_BYTES = 32, 16384


class MemoryExporter:
    """Serve ``/metrics`` and ``/health`` in a thread of its own.

    ``start()`` also starts the profiler. A profiler that its caller steps (``background=False``) is stepped here
    every ``update_interval`` seconds instead.

    Args:
        profiler: the profiler; by default that of the process.
        port: where to listen; 0 lets the system choose.
        host: the address to listen on; Prometheus usually comes from another machine.
        update_interval: seconds.
        shared: whether several processes of an application serve on this port (``SO_REUSEPORT``). Each of them
            shows all. Not on Windows.
        group: the name of the application, for shared ports; by default the name of the program.

    Raises:
        ConfigError: port or interval out of range, or a system that cannot share a port.
    """

    def __init__(
        self,
        profiler: MemoryProfiler | None = None,
        *,
        port: int = DEFAULT_PORT,
        host: str = "0.0.0.0",  # noqa: S104
        update_interval: float = 15.0,
        shared: bool = False,
        group: str | None = None,
    ) -> None:
        if type(port) is not int or not 0 <= port <= 65535:
            raise ConfigError(f"port={port!r} is out of range; allowed: 0 to 65535")
        if not 1 <= update_interval <= 86400:
            raise ConfigError(f"update_interval={update_interval!r} is out of range; allowed: 1 to 86400 seconds")
        if shared and not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigError("shared=True: this system has no port that several processes can listen on")
        self._profiler = profiler
        self._host, self._port, self._update_interval = host, port, update_interval
        self._group = clean(group or PurePath(sys.argv[0]).name or "python") if shared else None
        self._server: _Server | None = None
        self._kept: socket.socket | None = None
        self._warned = False

    def set_memory_profiler(self, profiler: MemoryProfiler) -> None:
        """Serve this profiler's metrics from now on.

        Raises:
            ExporterError: the exporter runs already.
        """
        if self._server is not None:
            raise ExporterError("the exporter is running: call stop() before set_memory_profiler()")
        self._profiler = profiler

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return self._port if self._server is None else int(self._server.server_address[1])

    def start(self) -> MemoryExporter:
        """Begin to serve; ``await exporter.start()`` does the same. Does nothing when it runs already.

        Raises:
            ExporterError: the port is taken or may not be used.
        """
        if self._server is not None and self._server.pid == os.getpid():
            return self
        profiler = self._profiler = self._profiler or get_memory_profiler()
        with self._usable():
            self._server = _Server((self._host, self._port), profiler, self._update_interval, self._group)
        self._warn_if_open(profiler, str(self._server.server_address[0]))
        profiler.ensure_running()
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="memprof-exporter", daemon=True
        ).start()
        return self

    def reserve(self) -> MemoryExporter:
        """Bind a shared port without serving, in a parent whose children :meth:`start`. Does nothing the second time.

        Children that are killed and replaced then count as workers of one server, and inherit open leaks.

        Raises:
            ExporterError: the port is another application's, or the exporter is not shared.
        """
        if self._group is None:
            raise ExporterError("only an exporter that is shared can be reserved: MemoryExporter(..., shared=True)")
        if self._kept is None:
            self._profiler = self._profiler or get_memory_profiler()
            with self._usable():
                self._kept = shared_port.keep(self._host, self._port)
            address, self._port = self._kept.getsockname()[:2]
            self._warn_if_open(self._profiler, address)
        return self

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        if self._group is not None and self._port and self._kept is None:
            shared_port.check_owner(self._host, self._port, self._group)
        try:
            yield
        except OSError as error:
            raise ExporterError(
                f"cannot listen on {self._host}:{self._port}: {error.strerror}. Choose port=, or port=0 for a free "
                "one. Several workers of an application can share a port: shared=True."
            ) from error

    def _warn_if_open(self, profiler: MemoryProfiler, address: str) -> None:
        config, warned, self._warned = profiler.config, self._warned, True
        if not (warned or config.metrics_token or config.metrics_allow or ipaddress.ip_address(address).is_loopback):
            profiler.logger.warning(
                "memprof: the exporter listens on %s, port %d, and anyone who reaches it may read the metrics. Set "
                "metrics_token, metrics_allow or host='127.0.0.1'.",
                address,
                self.port,
            )

    def stop(self) -> MemoryExporter:
        """Stop serving; the profiler goes on. ``await exporter.stop()`` does the same. May be called again."""
        server, self._server = self._server, None
        if server is not None:
            if server.pid == os.getpid():  # a forked child has no thread to stop
                server.shutdown()
            server.server_close()
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
        return self

    def __await__(self) -> Generator[None, None, MemoryExporter]:
        yield from ()
        return self


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # with 5, as in the base class, one of many scrapes would wait a second

    def __init__(
        self, address: tuple[str, int], profiler: MemoryProfiler, update_interval: float, group: str | None
    ) -> None:
        self.pid = os.getpid()
        self.allow_reuse_port = group is not None
        self.profiler = profiler
        self._update_interval = update_interval
        self._due = 0.0
        self._peers: dict[Any, None] = {}  # the oldest first
        self._peers_lock = threading.Lock()
        super().__init__(address, _Handler)
        interval = profiler.config.interval if profiler.config.background else update_interval
        health = Health(profiler, "/health", interval, group)
        self.endpoint = Endpoint(MetricsEndpoint(profiler, "/metrics"), health, NotFound(profiler, None))
        _servers.add(self)

    def service_actions(self) -> None:
        """Called by the serving loop several times a second."""
        config = self.profiler.config
        if config.enabled and not config.background and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._update_interval
            self.profiler.step()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Accept a new connection at once; above the maximum, close the oldest one."""
        with self._peers_lock:
            oldest = next(iter(self._peers)) if len(self._peers) >= _MOST_PEERS else None
            self._peers.pop(oldest, None)
            self._peers[request] = None
        if oldest is not None:
            with contextlib.suppress(OSError):  # it has just ended
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._peers_lock:
            self._peers.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Count a failed connection as a failure, and print nothing."""
        error = sys.exception()
        if error is not None:
            self.profiler.failures.record("exporter", error)


_servers: weakref.WeakSet[_Server] = weakref.WeakSet()


@in_child
def _after_fork_in_child() -> None:
    # A child that keeps the socket keeps the port: when the parent ends, scrapers would wait without an answer.
    for server in list(_servers):
        server.server_close()


class _Handler(WSGIRequestHandler):
    server: _Server
    timeout = 10  # seconds: a client that sends nothing must not keep a thread

    def handle(self) -> None:
        """Read a head of limited size before the base class parses it: that would read 6 MB of headers."""
        head = line = b""
        try:
            while line.strip() or not head:
                line = self.rfile.readline(_MOST_HEAD_BYTES - len(head))
                if not line:
                    break
                head += line
        except TimeoutError:
            return
        self.rfile.close()
        self.rfile = io.BytesIO(head)
        if len(head) >= _MOST_HEAD_BYTES:
            self.requestline = self.request_version = self.command = ""  # as the base class does for a long address
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self.raw_requestline = self.rfile.readline()
        if self.parse_request():
            writer = _ResponseWriter(io.BytesIO(), cast("Any", self.wfile), io.StringIO(), self.get_environ())
            writer.failures = self.server.profiler.failures
            writer.run(self._app)

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        return wsgi.answer(self.server.endpoint, environ, start_response) or []

    def version_string(self) -> str:
        """The name of the server, without Python's version."""
        return _ResponseWriter.server_software

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing: a scrape every few seconds would fill the log."""


class _ResponseWriter(SimpleHandler):
    server_software = "memprof"
    failures: Failures

    def log_exception(self, exc_info: Any) -> None:
        """Count a response that could not be sent as a failure, and print nothing."""
        self.failures.record("exporter", exc_info[1])


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


_default: MemoryExporter | None = None


def get_memory_exporter() -> MemoryExporter:
    """The exporter of this process, on the default port unless it was made otherwise."""
    global _default
    if _default is None:
        _default = MemoryExporter()
    return _default
