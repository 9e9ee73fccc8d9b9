"""The exporter: metrics on a port of their own, for applications that keep them off the public port."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import PurePath

from memprof_middleware.errors import ConfigError, ExporterError
from memprof_middleware.model.clean import clean
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.registry import get_memory_profiler
from memprof_middleware.web.http import shared_port
from memprof_middleware.web.http.server import Server

DEFAULT_PORT = 9202
# Seconds between two runs of the server's ``service_actions``.
_POLL_SECONDS = 0.25


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
        self._server: Server | None = None
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
            self._server = Server((self._host, self._port), profiler, self._update_interval, self._group)
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
                f"cannot listen on {self._host}:{self._port}: {error.strerror}. Choose another port (port=0: a "
                "free one) or another host. Several workers of an application can share a port: shared=True."
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


_default: MemoryExporter | None = None


def get_memory_exporter() -> MemoryExporter:
    """The exporter of this process, on the default port unless it was made otherwise."""
    global _default
    if _default is None:
        _default = MemoryExporter()
    return _default
