"""The exporter's HTTP server: a thread for each connection, and a bound for whatever a stranger can send."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import threading
import time
import weakref
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from memprof_middleware.failures import Failures
from memprof_middleware.forks import in_child
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.endpoint import Endpoint
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.health import Health, NotFound

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# The most connections at once, each with a thread, and the longest head of a request: to limit their memory.
_MOST_PEERS, _MOST_HEAD_BYTES = 32, 16384


class Server(ThreadingMixIn, WSGIServer):
    """The server of one process, listening from when it is made.

    Args:
        address: where to listen.
        profiler: whose metrics it serves.
        update_interval: seconds between two steps of a profiler that its caller steps.
        group: the name of the application, if its processes share the port.

    Attributes:
        pid: the process that it serves in.
    """

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


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


@in_child
def _after_fork_in_child() -> None:
    # A child that keeps the socket keeps the port: when the parent ends, scrapers would wait without an answer.
    for server in list(_servers):
        server.server_close()


class _Handler(WSGIRequestHandler):
    server: Server
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
