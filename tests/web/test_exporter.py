"""Metrics on a port of their own."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from memprof_middleware import (
    Config,
    ConfigError,
    ExporterError,
    MemoryExporter,
    MemoryProfiler,
    get_memory_exporter,
    get_memory_profiler,
)
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.http.messages import Request

Start = Callable[..., MemoryExporter]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(clock: FakeClock) -> Iterator[Start]:
    made: list[tuple[MemoryExporter, MemoryProfiler]] = []

    def start(**settings: Any) -> MemoryExporter:
        profiler = MemoryProfiler(Config(**{"interval": 3600, **settings}), clock=clock, probes=FakeProbes())
        exporter = MemoryExporter(profiler, port=0, host="127.0.0.1")
        made.append((exporter, profiler))
        return exporter.start()

    yield start
    for exporter, profiler in made:
        exporter.stop()
        profiler.stop()


def ask(exporter: MemoryExporter, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.text = response.read().decode(errors="replace")  # type: ignore[attr-defined]
    connection.close()
    return response


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def health(exporter: MemoryExporter) -> tuple[int, str]:
    response = ask(exporter, "/health")
    assert response.getheader("Content-Type") == "application/json"
    return response.status, json.loads(response.text)["status"]  # type: ignore[attr-defined]


def test_metrics_over_http(start: Start) -> None:
    """``/metrics`` on a real port serves the profiler's metrics, which it has started."""
    exporter = start()
    wait_until(lambda: health(exporter)[0] == 200)
    response = ask(exporter, "/metrics?x=1")
    assert response.status == 200
    names = {family.name for family in text_string_to_metric_families(response.text)}  # type: ignore[attr-defined]
    assert "fogcompute_memory_heap_used_mb" in names


def test_methods_and_paths(start: Start) -> None:
    """HEAD has no body, other methods are 405, other paths 404 with a hint."""
    exporter = start()
    head = ask(exporter, "/metrics", "HEAD")
    assert (head.status, head.text) == (200, "")  # type: ignore[attr-defined]
    assert int(head.getheader("Content-Length") or 0) > 500
    assert ask(exporter, "/metrics", "POST").status == 405
    missing = ask(exporter, "/")
    assert (missing.status, missing.text) == (404, "here are /metrics and /health\n")  # type: ignore[attr-defined]


def test_the_token_holds_here_too(start: Start) -> None:
    """``metrics_token`` guards the exporter's port as well; ``/health`` tells no metrics and needs none."""
    exporter = start(metrics_token="correct-horse")
    assert ask(exporter, "/metrics").status == 401
    assert ask(exporter, "/metrics", Authorization="Bearer correct-horse").status == 200
    assert ask(exporter, "/health").status in {200, 503}


def test_health(start: Start, clock: FakeClock) -> None:
    """Healthy with a snapshot younger than three intervals, stale (503) after that."""
    exporter = start(background=False)
    wait_until(lambda: health(exporter) == (200, "ok"))
    clock.advance(3 * 15 + 1)
    assert health(exporter) == (503, "stale")


def test_before_the_first_snapshot(start: Start) -> None:
    """No snapshot yet is 503; a profiler that is turned off on purpose is healthy."""
    assert health(start(enabled=False)) == (200, "disabled")
    assert health(start(enabled=False, background=False)) == (200, "disabled")
    waiting = MemoryExporter(MemoryProfiler(Config(background=False)), port=0, update_interval=60)
    blocked = threading.Event()
    waiting._profiler.step = blocked.wait  # type: ignore[union-attr,method-assign,assignment]
    try:
        waiting.start()
        assert waiting._server is not None
        answer = waiting._server.endpoint.respond(Request(method="GET", path="/health"))
        assert answer is not None
        assert answer.status == 503
        assert b"no snapshot yet" in answer.body
    finally:
        blocked.set()
        waiting.stop()
        waiting._profiler.stop()  # type: ignore[union-attr]


def test_a_profiler_without_background_is_stepped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter steps a profiler that has no thread, at once and then every ``update_interval``."""
    exporter = start(background=False)
    profiler = exporter._profiler
    assert profiler is not None
    wait_until(lambda: profiler.metrics().snapshots_taken == 1)
    assert not profiler.running
    exporter._server._due = 0.0  # type: ignore[union-attr]
    wait_until(lambda: profiler.metrics().snapshots_taken == 2)


def test_a_port_in_use(start: Start) -> None:
    """The error names the port, the reason and what to do, and leaves nothing running."""
    taken = start().port
    profiler = MemoryProfiler(Config(), probes=FakeProbes())
    second = MemoryExporter(profiler, port=taken, host="127.0.0.1")
    with pytest.raises(ExporterError, match=rf"cannot listen on 127\.0\.0\.1:{taken}: .*in use.*port=0"):
        second.start()
    assert not profiler.running
    second.stop()


def test_an_address_that_is_not_ours() -> None:
    """An address of another machine is refused in the same words."""
    exporter = MemoryExporter(MemoryProfiler(Config()), port=0, host="192.0.2.1")
    with pytest.raises(ExporterError, match=r"cannot listen on 192\.0\.2\.1:"):
        exporter.start()


def test_await_start_and_stop() -> None:
    """``await exporter.start()`` and ``await exporter.stop()`` are start and stop."""
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())

    async def live() -> int:
        exporter = await MemoryExporter(profiler, port=0, host="127.0.0.1").start()
        status = await asyncio.to_thread(lambda: ask(exporter, "/metrics").status)
        assert await exporter.stop() is exporter
        return status

    assert asyncio.run(live()) == 200
    profiler.stop()


def test_start_and_stop_may_be_repeated(start: Start) -> None:
    """A second start keeps the port; after a stop nobody listens there, and it can start again."""
    exporter = start()
    port = exporter.port
    assert port > 0
    assert exporter.start() is exporter
    assert exporter.port == port
    exporter.stop()
    exporter.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    exporter.start()
    assert ask(exporter, "/metrics").status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("port", "9202"),
        ("port", True),
        ("update_interval", 0.5),
        ("update_interval", float("nan")),
    ],
)
def test_bad_arguments(name: str, value: Any) -> None:
    """Port and interval are checked when the exporter is made."""
    with pytest.raises(ConfigError, match=rf"{name}={value!r} is out of range; allowed: "):
        MemoryExporter(**{name: value})


def test_the_profiler_can_be_set_until_it_runs(start: Start) -> None:
    """``set_memory_profiler`` before the start; afterwards it is an error that says what to do."""
    exporter = start()
    with pytest.raises(ExporterError, match=r"call stop\(\) before set_memory_profiler\(\)"):
        exporter.set_memory_profiler(MemoryProfiler(Config()))
    exporter.stop()
    other = MemoryProfiler(Config(background=False, namespace="other"), probes=FakeProbes())
    exporter.set_memory_profiler(other)
    exporter.start()
    wait_until(lambda: "other_memory_rss_mb" in ask(exporter, "/metrics").text)  # type: ignore[attr-defined]
    other.stop()


def test_the_process_has_one_exporter() -> None:
    """``get_memory_exporter()`` is always the same, on port 9202, and serves the process's profiler."""
    exporter = get_memory_exporter()
    assert get_memory_exporter() is exporter
    assert exporter.port == 9202
    mine = MemoryExporter(port=0, host="127.0.0.1")
    mine.set_memory_profiler(MemoryProfiler(Config(background=False)))
    default = MemoryExporter(port=0, host="127.0.0.1").start()
    assert default._profiler is get_memory_profiler()
    default.stop()
    get_memory_profiler().stop()


def test_a_peer_that_hangs_up(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """A scraper that resets its connection prints nothing, and the exporter goes on."""
    before = set(threading.enumerate())
    exporter = start()
    with socket.create_connection(("127.0.0.1", exporter.port)) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert ask(exporter, "/metrics").status == 200
    wait_until(lambda: not [t for t in threading.enumerate() if t not in before and t.name.startswith("Thread-")])
    assert capsys.readouterr().err == ""


def test_peers_that_are_slow_shut_nobody_out(start: Start) -> None:
    """Of 60 peers that send half a request 32 are kept, the newest, and a scrape is answered at once."""
    exporter = start()
    server = exporter._server
    assert server is not None
    peers = [socket.create_connection(("127.0.0.1", exporter.port)) for _ in range(60)]
    try:
        for peer in peers:
            peer.settimeout(60)
            peer.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert peers[0].recv(10) == b""  # it gave way
        wait_until(lambda: sum("process_request" in thread.name for thread in threading.enumerate()) <= 33)
        assert ask(exporter, "/metrics").status == 200
        assert len(server._peers) <= 32
        peers[-1].sendall(b"y\r\n\r\n")
        assert peers[-1].recv(12) == b"HTTP/1.0 200"
    finally:
        for peer in peers:
            peer.close()
    wait_until(lambda: not server._peers)


LINE = b"GET /metrics HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (LINE + b"X: " + b"a" * 16384, b"431"),
        (LINE + b"X: a\r\n" * 5000, b"431"),
        (b"GET /" + b"a" * 16384, b"431"),
        (LINE + (b"X: " + b"a" * 150 + b"\r\n") * 90 + b"\r\n", b"200"),
    ],
    ids=["a long header", "many headers", "a long address", "headers as they are"],
)
def test_a_head_without_end(start: Start, sent: bytes, status: bytes) -> None:
    """Of a request's head 16 kB are read, whatever it consists of: what is longer is 431."""
    with socket.create_connection(("127.0.0.1", start().port)) as peer:
        peer.sendall(sent[:16384])  # what is not read would reset the connection before the answer is
        assert peer.recv(12)[9:] == status


@pytest.mark.parametrize(
    ("settings", "host", "told"),
    [
        ({}, "0.0.0.0", True),
        ({}, "", True),
        ({}, "127.0.0.1", False),
        ({}, "localhost", False),
        ({"metrics_token": "correct-horse"}, "0.0.0.0", False),
        ({"metrics_allow": "10.0.0.0/8"}, "0.0.0.0", False),
    ],
    ids=str,
)
def test_an_open_port_is_told_once(
    settings: dict[str, str], host: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond this machine, and with neither token nor list, a warning says who may read and what to set."""
    profiler = MemoryProfiler(Config(background=False, **settings), probes=FakeProbes())  # type: ignore[arg-type]
    exporter = MemoryExporter(profiler, port=0, host=host)
    for _ in range(2):
        exporter.start()
        exporter.stop()
    profiler.stop()
    warnings = [record.getMessage() for record in caplog.records if "anyone who reaches it" in record.getMessage()]
    assert len(warnings) == told
    assert all("Set metrics_token, metrics_allow or host='127.0.0.1'" in warning for warning in warnings)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child(start: Start) -> None:
    """A child does not answer for its parent: stopping there leaves the parent's exporter at work."""
    exporter = start()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            exporter.stop()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ask(exporter, "/metrics").status == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_does_not_keep_the_port(start: Start) -> None:
    """When the parent has stopped, its port is free although a child lives on: nobody waits there in vain."""
    exporter = start()
    port = exporter.port
    hold, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(release)
        os.read(hold, 1)
        os._exit(0)
    try:
        exporter.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    finally:
        os.close(release)
        os.close(hold)
        os.waitpid(pid, 0)
