"""Stand-ins for the systems that sinks deliver to: real sockets that parse what arrives."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

DEADLINE_SECONDS = 30.0


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The condition's first true value."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < until, f"{what}: not seen in {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.01)
    return found


# -- OpenTelemetry -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Point:
    """One number that arrived, with all that it arrived with."""

    resource: dict[str, Any]
    scope: str
    name: str
    kind: str
    unit: str
    value: float
    attributes: dict[str, Any]


def plain(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value"))

    return {pair.key: value(pair) for pair in pairs}


def points_of(request: ExportMetricsServiceRequest) -> Iterator[Point]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    value = getattr(point, point.WhichOneof("value"))
                    if kind == "sum" and not metric.sum.is_monotonic:
                        kind = "up_down"
                    yield Point(
                        plain(resource.resource.attributes),
                        scope.scope.name,
                        metric.name,
                        kind,
                        metric.unit,
                        float(value),
                        plain(point.attributes),
                    )


class Collector:
    """What a collector keeps.

    Attributes:
        exports: the points of each request.
        status: what it answers over HTTP.
        hold: while it is clear, requests get no answer.
    """

    def __init__(self) -> None:
        self.exports: list[list[Point]] = []
        self.waiting = 0
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()

    @property
    def points(self) -> list[Point]:
        return [point for export in self.exports for point in export]

    def named(self, name: str) -> list[Point]:
        return [point for point in self.points if point.name == name]

    def take(self, body: bytes) -> bytes:
        self.waiting += 1
        self.hold.wait(DEADLINE_SECONDS)
        self.waiting -= 1
        if self.status == 200:
            request = ExportMetricsServiceRequest()
            request.ParseFromString(body)
            self.exports.append(list(points_of(request)))
        return bytes(ExportMetricsServiceResponse().SerializeToString())


class HttpServer:
    """Runs a handler of POST requests on a free port: from path, headers and body to status and body."""

    def __init__(self, answer: Callable[[str, bytes], tuple[int, bytes]]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status, reply = answer(self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        # A peer that was killed while it asked is no news.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class HttpCollector(Collector):
    """A collector that speaks OTLP over HTTP."""

    def __enter__(self) -> Self:
        self._server = HttpServer(lambda _path, body: (self.status, self.take(body)))
        self.endpoint = f"http://127.0.0.1:{self._server.port}/v1/metrics"
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.stop()


class GrpcCollector(Collector):
    """A collector that speaks OTLP over gRPC."""

    def __enter__(self) -> Self:
        import grpc

        service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
        export = grpc.unary_unary_rpc_method_handler(lambda body, _context: self.take(body))
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.stop(None).wait()


# -- StatsD ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Metric:
    """``name:value|kind`` with tags."""

    name: str
    value: float
    kind: str
    tags: dict[str, str]
    signed: bool


@dataclasses.dataclass(frozen=True)
class Event:
    """``_e{...}``, its lengths checked."""

    title: str
    text: str
    fields: dict[str, str]
    tags: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Check:
    """``_sc|...``."""

    name: str
    status: int
    message: str
    tags: dict[str, str]


def tags_of(part: str) -> dict[str, str]:
    return {tag.partition(":")[0]: tag.partition(":")[2] for tag in part.removeprefix("#").split(",")}


def parsed(line: str) -> Metric | Event | Check:
    """One line of the protocol; an AssertionError where it is not."""
    if line.startswith("_e{"):
        head = re.match(r"_e\{(\d+),(\d+)\}:", line)
        assert head, line
        rest = line[head.end() :].encode()
        title, text = rest[: int(head[1])], rest[int(head[1]) + 1 : int(head[1]) + 1 + int(head[2])]
        after = rest[int(head[1]) + 1 + int(head[2]) :].decode()
        assert after.startswith("|"), line
        parts = after[1:].split("|")
        fields = {part.partition(":")[0]: part.partition(":")[2] for part in parts if not part.startswith("#")}
        return Event(title.decode(), text.decode(), fields, tags_of(next(p for p in parts if p.startswith("#"))))
    if line.startswith("_sc|"):
        name, status, tags, *message = line.removeprefix("_sc|").split("|")
        return Check(name, int(status), message[0].removeprefix("m:") if message else "", tags_of(tags))
    found = re.fullmatch(r"([A-Za-z0-9_.-]+):([+-]?[\d.]+)\|([gc])(?:\|(#.+))?", line)
    assert found, f"not a line of StatsD: {line!r}"
    return Metric(
        found[1], float(found[2]), found[3], tags_of(found[4]) if found[4] else {}, signed=found[2][0] in "+-"
    )


class Agent:
    """Listens for datagrams, over UDP or at a Unix socket.

    Attributes:
        datagrams: what arrived.
        address: where, as a sink wants it.
    """

    def __init__(self, *, unix: bool = False, port: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory() if unix else None
        family = socket.AF_UNIX if unix else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self.path = Path(self._folder.name, "dsd.socket") if self._folder else None
        self._socket.bind(str(self.path) if self.path else ("127.0.0.1", port))
        self.port = 0 if unix else self._socket.getsockname()[1]
        self.address = f"unix://{self.path}" if self.path else f"udp://127.0.0.1:{self.port}"
        self.datagrams: list[bytes] = []
        self.reads = threading.Event()
        self.reads.set()
        self._over = threading.Event()
        self._socket.settimeout(0.02)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            self.reads.wait(DEADLINE_SECONDS)
            try:
                self.datagrams.append(self._socket.recv(65536))
            except TimeoutError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.reads.set()
        self._thread.join()
        self._socket.close()
        if self._folder:
            self._folder.cleanup()

    @property
    def lines(self) -> list[Metric | Event | Check]:
        return [parsed(line) for datagram in list(self.datagrams) for line in datagram.decode().split("\n")]

    def metrics(self, name: str) -> list[Metric]:
        return [line for line in self.lines if isinstance(line, Metric) and line.name == name]

    @property
    def events(self) -> list[Event]:
        return [line for line in self.lines if isinstance(line, Event)]

    @property
    def checks(self) -> list[Check]:
        return [line for line in self.lines if isinstance(line, Check)]


# -- Sentry ------------------------------------------------------------------------------------------------------


class SentryServer:
    """Takes what a Sentry client sends to a DSN.

    Attributes:
        events: the events that arrived.
        dsn: for ``sentry_sdk.init``.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._server = HttpServer(self._take)
        self.dsn = f"http://key@127.0.0.1:{self._server.port}/1"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _take(self, _path: str, body: bytes) -> tuple[int, bytes]:
        _envelope, *rest = body.split(b"\n")
        for head, item in zip(rest[::2], rest[1::2], strict=False):
            if head and json.loads(head).get("type") == "event":
                self.events.append(json.loads(item))
        return 200, b"{}"
