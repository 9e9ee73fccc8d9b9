"""What a sink weighs and what a delivery costs, beside the vendors' own clients: resident memory, import, CPU.

Run it with ``python -m benchmarks.sinks``. Each library is imported in fresh processes. Deliveries go to real sockets
on this machine, ours and theirs taking turns with the same figures, gathered by the same function.
"""

from __future__ import annotations

import http.server
import importlib.util
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import harness
from benchmarks.footprint import _PROBE
from memprof_middleware.sinks.figures import figures

# What a worker has loaded before a sink is added.
_BASE = "import logging, socket, urllib.parse, memprof_middleware"
_PROVIDER = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.exporter.otlp.proto.{}.metric_exporter import OTLPMetricExporter
provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=float("inf"))])
"""
_IMPORTS = {
    "ours: dogstatsd, statsd, log": "from memprof_middleware.sinks import DogStatsdSink; DogStatsdSink().open()",
    "datadog": "import datadog",
    "statsd": "import statsd",
    "ours: otel (the API is the application's)": "from memprof_middleware.sinks import OtelSink; OtelSink().open()",
    "ours: otlp": "from memprof_middleware.sinks import OtlpSink; OtlpSink().open()",
    "opentelemetry SDK, http exporter": _PROVIDER.format("http"),
    "opentelemetry SDK, grpc exporter": _PROVIDER.format("grpc"),
    "ours: sentry (where it is loaded)": "from memprof_middleware.sinks import SentrySink; SentrySink()",
    "sentry_sdk": "import sentry_sdk",
}
_NEEDS = {
    "datadog": "datadog",
    "statsd": "statsd",
    "opentelemetry SDK, grpc exporter": "opentelemetry.exporter.otlp.proto.grpc",
}
TYPES = 20
TIMES = 20


def run(*, quick: bool) -> dict[str, Any]:
    """Imports in fresh processes, deliveries in one."""
    rounds = 5 if quick else 15
    return {
        "imports": _imports(rounds),
        "deliveries": harness.in_process("benchmarks.sinks", "deliveries", rounds),
        "left": harness.in_process("benchmarks.sinks", "left", rounds),
    }


def show(found: dict[str, Any]) -> str:
    """Three tables."""
    imports = harness.table(
        ("beside a running profiler", "resident, MB more", "import CPU, ms more"),
        [(name, harness.spread(row["mb"], 1), harness.spread(row["ms"], 1)) for name, row in found["imports"].items()],
    )
    deliveries = harness.table(
        ("delivery", "figures", "ours, CPU ms", "theirs, CPU ms", "ours / theirs"),
        [
            (
                name,
                row["figures"],
                harness.number(row["variant"], 3),
                harness.number(row["base"], 3),
                harness.spread(row["ratio"]),
            )
            for name, row in found["deliveries"].items()
        ],
    )
    left = harness.table(
        ("figures left for a sink by the sampler", "wall us"),
        [(name, harness.spread(values, 1)) for name, values in found["left"].items()],
    )
    return f"{imports}\n\n{deliveries}\n\n{left}"


def _imports(rounds: int) -> dict[str, Any]:
    seen: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        ms, mb = harness.in_process(None, _PROBE.format(statement=_BASE))
        for name, statement in _IMPORTS.items():
            if name in _NEEDS and not _installed(_NEEDS[name]):
                continue
            all_ms, all_mb = harness.in_process(None, _PROBE.format(statement=f"{_BASE}\n{statement}"))
            seen.setdefault(name, []).append([all_ms - ms, all_mb - mb])
    return {
        name: {"ms": harness.interval([ms for ms, _ in found]), "mb": harness.interval([mb for _, mb in found])}
        for name, found in seen.items()
    }


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _deliveries(rounds: int) -> dict[str, Any]:
    """Processor time of the calling thread for one delivery; the listeners run in threads that it does not count."""
    from memprof_middleware import Config, MemoryProfiler
    from memprof_middleware.testing import FakeProbes

    probes = FakeProbes()
    probes.counts = {f"shop.models.catalogue.Class{number}": 1000 + number for number in range(TYPES)}
    profiler = MemoryProfiler(Config(background=False, top_types=TYPES), probes=probes)
    profiler.step()
    metrics = profiler.metrics()
    count = len(list(figures(metrics)))
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        udp = stack.enter_context(_listening())
        for name, (ours, theirs) in {
            "DogStatsD over UDP, beside datadog (buffered)": (_own_datadog(udp, metrics), _datadog(udp, metrics, True)),
            "DogStatsD over UDP, beside datadog (default)": (_own_datadog(udp, metrics), _datadog(udp, metrics, False)),
            "StatsD over UDP, beside statsd (pipeline)": (_own_statsd(udp, metrics), _statsd(udp, metrics)),
        }.items():
            found[name] = {"figures": count, **_compared(ours, theirs, rounds)}
        collector = stack.enter_context(_collecting())
        own, theirs = _own_otlp(collector, metrics), _otlp(collector, metrics)
        found["OTLP over http, beside a plain SDK pipeline"] = {"figures": count, **_compared(own, theirs, rounds)}
    profiler.stop()
    return found


def _left(rounds: int) -> dict[str, Any]:
    """Wall time that the sampler's thread pays for one sink, by what the receiver does."""
    from memprof_middleware import Config, MemoryProfiler
    from memprof_middleware.model import MemoryMetrics
    from memprof_middleware.sinks import Sink
    from memprof_middleware.testing import FakeProbes

    go = threading.Event()

    class Idle(Sink):
        name = "idle"

        def snapshot(self, metrics: MemoryMetrics) -> None:
            pass

    class Hung(Sink):
        name = "hung"

        def snapshot(self, metrics: MemoryMetrics) -> None:  # noqa: ARG002
            go.wait()

    found: dict[str, Any] = {}
    for what, sink in {"it takes them at once": Idle(), "it hangs": Hung()}.items():
        profiler = MemoryProfiler(Config(background=False), probes=FakeProbes(), sinks=[sink])
        profiler.step()
        metrics = profiler.metrics()
        thread = profiler._monitor.sinks._threads[0]
        values = []
        for _ in range(20 * rounds):
            began = time.perf_counter()
            thread.publish(metrics)
            values.append(1e6 * (time.perf_counter() - began))
            time.sleep(0.001)  # so that it is idle again
        found[what] = harness.interval(values)
        go.set()
        profiler.stop()
    return found


def _compared(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> dict[str, Any]:
    def timed(deliver: Callable[[], object]) -> Callable[[], float]:
        def measure() -> float:
            began = time.thread_time()
            for _ in range(TIMES):
                deliver()
            return 1000 * (time.thread_time() - began) / TIMES

        return measure

    ours()
    theirs()
    compared: dict[str, Any] = harness.compared(harness.pairs(timed(theirs), timed(ours), rounds))
    return compared


# -- receivers -----------------------------------------------------------------------------------------------------


@contextmanager
def _listening() -> Iterator[int]:
    """A UDP port that is read and thrown away."""
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def read() -> None:
            while listener.recv(65536) != b"end":
                pass

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        yield port
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", ("127.0.0.1", port))
        thread.join()


@contextmanager
def _collecting() -> Iterator[str]:
    """An OTLP endpoint that takes everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"
    server.shutdown()
    server.server_close()


# -- ours and theirs -----------------------------------------------------------------------------------------------


def _own_datadog(port: int, metrics: Any) -> Callable[[], object]:
    from memprof_middleware.sinks import DogStatsdSink

    sink = DogStatsdSink(f"udp://127.0.0.1:{port}")
    sink.open()
    return lambda: sink.snapshot(metrics)


def _datadog(port: int, metrics: Any, buffered: bool) -> Callable[[], object]:
    from datadog.dogstatsd import DogStatsd

    client = DogStatsd(host="127.0.0.1", port=port, disable_buffering=not buffered, flush_interval=0)

    def deliver() -> None:
        for figure in figures(metrics):
            tags = ["worker:0", *(f"{key}:{value}" for key, value in figure.labels)]
            client.gauge(figure.kind.spelled, figure.value, tags)
        client.service_check("memprof.leak", 0, tags=["worker:0"])
        client.flush()

    return deliver


def _own_statsd(port: int, metrics: Any) -> Callable[[], object]:
    from memprof_middleware.sinks import StatsdSink

    sink = StatsdSink(f"udp://127.0.0.1:{port}")
    sink.open()
    return lambda: sink.snapshot(metrics)


def _statsd(port: int, metrics: Any) -> Callable[[], object]:
    from statsd import StatsClient

    client = StatsClient("127.0.0.1", port, maxudpsize=1432)

    def deliver() -> None:
        with client.pipeline() as pipe:
            for figure in figures(metrics):
                name = ".".join(
                    (figure.kind.spelled, "worker0", *(value.replace(".", "_") for _, value in figure.labels))
                )
                pipe.gauge(name, figure.value)

    return deliver


def _own_otlp(endpoint: str, metrics: Any) -> Callable[[], object]:
    from memprof_middleware.sinks import OtlpSink

    sink = OtlpSink(endpoint)
    sink.open()
    return lambda: sink.snapshot(metrics)


def _otlp(endpoint: str, metrics: Any) -> Callable[[], object]:
    """What an application would write itself: a gauge for each name, set to the same figures, and a flush."""
    import math

    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint), export_interval_millis=math.inf)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("shop")
    gauges = {figure.kind.name: meter.create_gauge(figure.kind.name, figure.kind.unit) for figure in figures(metrics)}

    def deliver() -> None:
        for figure in figures(metrics):
            gauges[figure.kind.name].set(figure.value, {"worker": "0", **dict(figure.labels)})
        provider.force_flush()

    return deliver


def main() -> None:
    found = run(quick="--quick" in sys.argv)
    print(show(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["deliveries"]:
        print(json.dumps(_deliveries(int(sys.argv[2]))))
    elif sys.argv[1:2] == ["left"]:
        print(json.dumps(_left(int(sys.argv[2]))))
    else:
        main()
