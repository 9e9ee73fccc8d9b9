"""Attached to the application's own OpenTelemetry, whatever it exports with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from memprof_middleware.model import MB
from memprof_middleware.sinks import OtelSink, SinkError, instruments, otel
from tests.sinks.conftest import alert, figures
from tests.sinks.receivers import GrpcCollector, HttpCollector
from tests.workers.processes import children

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """The application's provider, which it has not set yet when the sink opens: the API lets instruments wait."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(_internal, "_METER_PROVIDER", provider)
    yield reader
    provider.shutdown()


def read(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    found: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found.setdefault(metric.name, []).extend(metric.data.data_points)
    return found


def test_the_applications_reader_gets_the_last_figures(reader: InMemoryMetricReader) -> None:
    """Nothing before the first snapshot, then the newest whenever it asks, and nothing after the end."""
    sink = OtelSink()
    sink.open()
    assert read(reader) == {}
    assert sink.reads.count == 0
    sink.snapshot(figures())
    sink.event(alert(), figures())
    found = read(reader)
    assert [p.value for p in found["process.memory.usage"]] == [300 * MB]
    assert [(p.value, dict(p.attributes)) for p in found["memprof.heap_used"]] == [(250 * MB, {"memprof.worker": "3"})]
    assert [p.value for p in found["memprof.alerts"]] == [1]
    sink.snapshot(figures(requests=77))
    assert [p.value for p in read(reader)["memprof.requests"]] == [77]
    sink.close()
    assert read(reader) == {}


def test_its_deliveries_are_the_readers_questions(reader: InMemoryMetricReader) -> None:
    """Showing figures is no delivery: one collection is, however many instruments it asks."""
    sink = OtelSink()
    sink.open()
    sink.snapshot(figures())
    assert (sink.reads.count, sink.reads.last) == (0, None)
    read(reader)
    assert sink.reads.count == 1
    last = sink.reads.last
    assert last is not None
    assert last <= time.time()
    sink.close()


def test_opened_again_it_registers_nothing_twice(reader: InMemoryMetricReader) -> None:
    """After a stop and a start each figure is there once."""
    sink = OtelSink()
    for _ in range(2):
        sink.open()
        sink.snapshot(figures())
        assert len(read(reader)["memprof.heap_used"]) == 1
        sink.close()


def test_a_child_shows_its_own_figures_or_none(reader: InMemoryMetricReader) -> None:
    """A child inherits provider and instruments: without a profiler it shows nothing, with one its own figures."""
    sink = OtelSink()
    sink.open()
    sink.snapshot(figures())

    def child() -> list[Any]:
        before = read(reader)
        sink.open()
        sink.snapshot(figures(worker="9"))
        return [before, [p.attributes["memprof.worker"] for p in read(reader)["memprof.heap_used"]]]

    with children() as make:
        assert make(child).result == [{}, ["9"]]
    assert [p.attributes["memprof.worker"] for p in read(reader)["memprof.heap_used"]] == ["3"]
    sink.close()


def test_the_systems_own_instrumentation_keeps_its_names(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the library that emits the standard names is loaded, ours are told under our own names only."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.system_metrics", sys)
    sink = OtelSink()
    sink.open()
    sink.snapshot(figures())
    found = read(reader)
    assert [p.value for p in found["memprof.rss"]] == [300 * MB]
    assert not [name for name in found if not name.startswith("memprof.")]
    sink.close()


def test_an_sdk_that_does_not_tell_forks_gets_the_pid(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1.44 all workers of a preloading master had one resource: then each point bears the process id."""
    version = metadata.version
    monkeypatch.setattr(otel, "is_forked", lambda: True)
    monkeypatch.setattr(metadata, "version", lambda name: "1.39.0" if name == "opentelemetry-sdk" else version(name))
    sink = OtelSink()
    sink.open()
    sink.snapshot(figures())
    assert {"process.pid", "memprof.worker"} == set(read(reader)["memprof.heap_used"][0].attributes)
    sink.close()


def test_a_reader_that_never_asks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a provider, or with one that a fork has silenced, the sink says so after five minutes."""
    sink = OtelSink()
    sink.open()
    sink.snapshot(figures())
    sink._read_at -= 301
    with pytest.raises(SinkError, match=r"no OpenTelemetry reader has asked for 300 s: is a MeterProvider"):
        sink.snapshot(figures())
    sink.close()


def test_without_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which extra to install."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(
        SinkError, match=r"opentelemetry-api is not installed: pip install 'memprof-middleware\[otel\]'"
    ):
        OtelSink().open()


PROGRAM = """
import sys
from opentelemetry import metrics
from memprof_middleware import Config, MemoryProfiler

profiler = MemoryProfiler(Config(background=False, sinks=("otel",)))
profiler.step()  # before the application sets its provider
if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    exporter = OTLPMetricExporter(sys.argv[2], insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    exporter = OTLPMetricExporter(sys.argv[2])
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
metrics.set_meter_provider(provider)
while not profiler.metrics().sinks[0].delivered:
    provider.force_flush()
print(profiler.metrics().snapshot.rss_mb)
provider.shutdown()
profiler.stop()
"""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_over_the_applications_own_exporter(protocol: str) -> None:
    """A provider that the application sets after the first snapshot exports our figures with its own exporter."""
    with HttpCollector() if protocol == "http" else GrpcCollector() as collector:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, protocol, collector.endpoint],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        usage = {p.value for p in collector.named("process.memory.usage")}
        assert usage == {json.loads(done.stdout) * MB}
        assert collector.named("memprof.heap_used")


def test_names_that_come_and_go_do_not_stay_in_the_sdk(reader: InMemoryMetricReader, monkeypatch) -> None:
    """An SDK keeps every series that it was ever shown: beyond so many of one figure, no new one is."""
    monkeypatch.setattr(instruments, "MOST_SERIES", 50)
    sink = OtelSink()
    sink.open()
    ever: set[str] = set()
    for number in range(30):
        sink.snapshot(
            figures(route_requests={"GET /home": number + 1, **{f"GET /{number}/{other}": 1 for other in range(9)}})
        )
        points = read(reader).get("memprof.route_requests", [])
        ever |= {point.attributes["memprof.route"] for point in points}
    assert len(ever) == 50
    assert [point.value for point in points] == [30]
