"""The metrics on a port of their own, for applications that keep them off the public one."""

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
# How soon a stop is seen, and how exact the 15 s are.
_POLL_SECONDS = 0.25
# Peers at once, each with a thread, and the longest head of a request: what strangers can make it hold.
_MOST_PEERS, _MOST_HEAD_BYTES = 32, 16384


class MemoryExporter:
    """Serves ``/metrics`` and ``/health`` from a thread of its own.

    ``start()`` also starts the profiler. A profiler that its caller steps (``background=False``) is stepped here
    every ``update_interval`` seconds instead.

    Args:
        profiler: whose metrics; by default the process's own.
        port: where to listen; 0 lets the system choose.
        host: the address to listen on; Prometheus usually comes from another machine.
        update_interval: seconds.
        shared: whether several processes of an application serve on this one port (``SO_REUSEPORT``). Whoever of them
            answers shows all. Not on Windows.
        group: names the application among those that share ports; by default the name of the program.

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
        """Where it listens."""
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
        """Take a shared port without serving: for a parent, whose children :meth:`start`. Does nothing the second time.

        Children that are killed and replaced are then known to be of one server, whose open leaks go on.

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
            if server.pid == os.getpid():  # after a fork there is no thread here that could be stopped
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
    request_queue_size = 128  # of five, as the base has it, one scrape in a crowd would wait a second

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
        self.endpoint = Endpoint(MetricsEndpoint(profiler, "/metrics"), health, Elsewhere(profiler, None))
        _servers.add(self)

    def service_actions(self) -> None:
        """Called by the serving loop several times a second."""
        config = self.profiler.config
        if config.enabled and not config.background and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._update_interval
            self.profiler.step()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hear a new peer at once; where there are too many, the one that came first gives way."""
        with self._peers_lock:
            oldest = next(iter(self._peers)) if len(self._peers) >= _MOST_PEERS else None
            self._peers.pop(oldest, None)
            self._peers[request] = None
        if oldest is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The last that is heard of a peer."""
        with self._peers_lock:
            self._peers.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A peer that hangs up is no news, and nothing of it is printed: counted as the other failures are."""
        error = sys.exception()
        if error is not None:
            self.profiler.failures.record("exporter", error)


_servers: weakref.WeakSet[_Server] = weakref.WeakSet()


@in_child
def _after_fork_in_child() -> None:
    # A child that keeps the socket keeps the port: when the parent has gone, scrapers would wait there for nobody.
    for server in list(_servers):
        server.server_close()


class _Handler(WSGIRequestHandler):
    server: _Server
    timeout = 10  # a peer that sends nothing must not keep a thread

    def handle(self) -> None:
        """Read a head of bounded size before the base class takes it apart: it would read 6 MB of headers."""
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
            answering = _Answering(io.BytesIO(), cast("Any", self.wfile), io.StringIO(), self.get_environ())
            answering.failures = self.server.profiler.failures
            answering.run(self._app)

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        return wsgi.answer(self.server.endpoint, environ, start_response) or []

    def version_string(self) -> str:
        """Nothing of Python's version."""
        return _Answering.server_software

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """A scrape every few seconds is no news."""


class _Answering(SimpleHandler):
    server_software = "memprof"
    failures: Failures

    def log_exception(self, exc_info: Any) -> None:
        """A peer that reads nothing; as for one that hangs up."""
        self.failures.record("exporter", exc_info[1])


class Health(Part):
    """Whether the profiler is at work.

    Args:
        interval: seconds between two snapshots.
        group: whose port this is, if it is shared.
    """

    failure = "exporter"

    def __init__(self, profiler: MemoryProfiler, path: str | None, interval: float, group: str | None = None) -> None:
        super().__init__(profiler, path)
        self._interval, self._group = interval, group

    def answer(self, request: Request) -> Response:
        """Ok, or 503 for an orchestrator."""
        snapshot = self.profiler.metrics().snapshot
        age = None if snapshot is None else self.profiler.now() - snapshot.timestamp
        if not self.profiler.config.enabled:
            status = "disabled"
        elif age is None:
            status = "no snapshot yet"
        else:
            status = "ok" if age <= _STALE_INTERVALS * self._interval else "stale"
        healthy = status in {"ok", "disabled"}  # turned off on purpose is no reason to restart a process
        told = {"status": status, "last_snapshot_age_seconds": age}
        if self._group is not None:
            told["group"] = self._group
        return messages.data(request, told, 200 if healthy else 503)


class Elsewhere(Part):
    """All other paths."""

    failure = "exporter"

    def answer(self, request: Request) -> Response:
        """Where to look."""
        return messages.text(request, "here are /metrics and /health\n", 404)


_default: MemoryExporter | None = None


def get_memory_exporter() -> MemoryExporter:
    """The exporter of this process, on the default port unless it was made otherwise."""
    global _default
    if _default is None:
        _default = MemoryExporter()
    return _default
