"""The private OpenTelemetry pipeline against a real receiver."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import pytest

from memprof_middleware.model import MB
from memprof_middleware.sinks import OtlpSink, SinkError, Sinks, thread
from tests.sinks.conftest import LEAK, Source, alert, anew, figures
from tests.sinks.receivers import HttpCollector, wait_for
from tests.workers.processes import children


@pytest.fixture
def collector() -> Iterator[HttpCollector]:
    with HttpCollector() as collector:
        yield collector


@pytest.fixture
def opened(collector: HttpCollector) -> Iterator[OtlpSink]:
    sink = OtlpSink(collector.endpoint)
    sink.open()
    yield sink
    sink.close()


def test_standard_names_where_they_exist(opened: OtlpSink, collector: HttpCollector) -> None:
    """Resident and virtual memory and collections bear the names, kinds and units of the semantic conventions."""
    opened.snapshot(figures())
    found = {name: collector.named(name) for name in ("process.memory.usage", "process.memory.virtual")}
    assert {(p.kind, p.unit, p.value) for p in found["process.memory.usage"]} == {("up_down", "By", 300 * MB)}
    assert {(p.kind, p.unit, p.value) for p in found["process.memory.virtual"]} == {("up_down", "By", 900 * MB)}
    collections = collector.named("cpython.gc.collections")
    assert {p.attributes["cpython.gc.generation"]: p.value for p in collections} == {0: 100, 1: 10, 2: 1}
    assert {(p.kind, p.unit) for p in collections} == {("sum", "{collection}")}


def test_the_other_names_are_ours(opened: OtlpSink, collector: HttpCollector) -> None:
    """They begin with memprof, and every point names the worker and its labels."""
    opened.event(alert(), figures())
    opened.snapshot(figures(leaks=(LEAK,)))
    [heap] = collector.named("memprof.heap_used")
    assert (heap.scope, heap.kind, heap.unit, heap.value) == ("memprof", "gauge", "By", 250 * MB)
    assert {p.attributes["memprof.worker"] for p in collector.points} == {"3"}
    assert {p.attributes["memprof.object_type"]: p.value for p in collector.named("memprof.object_count")} == {
        "shop.Cart": 300,
        "builtins.dict": 1000,
    }
    assert [(p.value, p.attributes["memprof.alert"]) for p in collector.named("memprof.alerts")] == [(1, "leak")]
    opened.event(alert(active=False), figures())
    opened.snapshot(figures())
    assert [p.value for p in collector.named("memprof.alerts")] == [1, 0]


def test_each_process_is_an_instance_of_its_own(
    collector: HttpCollector, source: Source, running: Callable[..., Sinks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parent and forked children have the service's name and one instance id and pid each."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    sinks = running(OtlpSink(collector.endpoint))
    source.publish(sinks)
    wait_for(lambda: collector.exports, "the parent's export")

    def child() -> int:
        ours = anew(sinks, source)
        source.publish(ours)
        wait_for(lambda: ours.health()[0].delivered, "the child's export")
        return os.getpid()

    with children() as make:
        pids = {os.getpid(), *(make(child).result for _ in range(3))}
        wait_for(lambda: len(collector.exports) == 4, "four exports")
    resources = [export[0].resource for export in collector.exports]
    assert {resource["service.name"] for resource in resources} == {"shop"}
    assert {resource["process.pid"] for resource in resources} == pids
    assert len({resource["service.instance.id"] for resource in resources}) == 4


def test_a_fork_during_an_export(collector: HttpCollector, source: Source, running: Callable[..., Sinks]) -> None:
    """Children of a process whose export is under way export too; the SDK's own reader would be silent in them."""
    collector.hold.clear()
    sinks = running(OtlpSink(collector.endpoint))
    source.publish(sinks)
    wait_for(lambda: collector.waiting, "an export under way")

    def child() -> int:
        ours = anew(sinks, source)
        source.publish(ours)
        return os.getpid()  # its export waits as its parent's does, until the collector goes on

    with children() as make:
        pids = {os.getpid(), *(make(child).result for _ in range(10))}
        assert collector.exports == []
        collector.hold.set()
        wait_for(lambda: pids == {export[0].resource["process.pid"] for export in collector.exports}, "all exports")


@pytest.mark.parametrize("trouble", ["dead", "hung", "refuses"])
def test_a_collector_in_trouble(
    trouble: str, source: Source, running: Callable[..., Sinks], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It costs failures that are counted and one line that says what to do; when it is well, the newest arrive."""
    monkeypatch.setattr(thread, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # the exporter's own variable
    with HttpCollector() as collector:
        if trouble == "hung":
            collector.hold.clear()
        collector.status = 400 if trouble == "refuses" else 200
        endpoint = "http://127.0.0.1:1/v1/metrics" if trouble == "dead" else collector.endpoint
        sink = OtlpSink(endpoint)
        sinks = running(sink)
        source.publish(sinks)
        wait_for(lambda: sinks.health()[0].failed, "the failure")
        assert sinks.health()[0].delivered == 0
        told = [message for message in caplog.messages if message.startswith("memprof")]
        assert len(told) == 1
        assert "collector did not take the figures: is it running? OTEL_EXPORTER_OTLP_ENDPOINT" in told[0]
        if trouble == "dead":
            return
        collector.status = 200
        collector.hold.set()
        source.publish(sinks)
        wait_for(lambda: sinks.health()[0].delivered, "the newest figures")


def test_a_library_that_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are told with what to install."""
    version = metadata.version

    def old(name: str) -> str:
        return "1.20.0" if name == "opentelemetry-sdk" else version(name)

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", old)
    with pytest.raises(
        SinkError, match=r"opentelemetry-sdk 1.20.0 is too old, 1.27 or newer .*memprof-middleware\[otlp"
    ):
        OtlpSink().open()
    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(
        SinkError, match=r"opentelemetry-sdk is not installed: pip install 'memprof-middleware\[otlp\]'"
    ):
        OtlpSink().open()


def test_an_sdk_that_is_turned_off(collector: HttpCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED stops this pipeline too, and that is told."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    sink = OtlpSink(collector.endpoint)
    sink.open()
    with pytest.raises(SinkError, match="is OTEL_SDK_DISABLED set"):
        sink.snapshot(figures())
    sink.close()


def test_the_applications_own_pipeline_is_left_alone(opened: OtlpSink, collector: HttpCollector) -> None:
    """Nothing is set globally, no thread and no exit hook of the SDK's is left."""
    import threading

    from opentelemetry import metrics as api

    opened.snapshot(figures())
    assert collector.exports
    assert "memprof" not in type(api.get_meter_provider()).__module__
    assert [t.name for t in threading.enumerate() if "Otel" in t.name] == []
    before: Any = api.get_meter_provider()
    opened.close()
    assert api.get_meter_provider() is before
