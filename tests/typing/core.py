"""What a user of the core writes; only type-checked, never run."""

from __future__ import annotations

import logging
from typing import assert_type

from prometheus_client import REGISTRY

from memprof_middleware import (
    Alert,
    Config,
    DriftReport,
    Leak,
    MemoryCollector,
    MemoryExporter,
    MemoryMetrics,
    MemoryProfiler,
    MemorySnapshot,
    MemprofError,
    get_memory_exporter,
    get_memory_profiler,
)
from memprof_middleware.analysis.history import History
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.runtime.readings import ProcessInstruments
from memprof_middleware.sinks import DogStatsdSink, OtlpSink, Sink
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder

config = Config(interval=10, metrics_allow=("10.0.0.0/8",), metrics_path=None)
assert_type(Config.from_mapping({"interval": 5}), Config)
assert_type(Config.from_env({"MEMPROF_INTERVAL": "5"}), Config)
assert_type(config.with_env(), Config)
assert_type(config.interval, float)
assert_type(config.metrics_path, str | None)
Config(10)  # type: ignore[call-arg, arg-type]  # keyword-only
Config(intervall=10)  # type: ignore[call-arg]
Config(interval="often")  # type: ignore[arg-type]
config.interval = 5  # type: ignore[misc]  # frozen

# The fake has every reading of the real instruments, with the same types: both against the one protocol.
instruments: list[ProcessInstruments] = [Probes(), FakeProbes()]
profiler = MemoryProfiler(config, clock=FakeClock(), logger=logging.getLogger("shop"), probes=FakeProbes())
snapshot = profiler.take_snapshot()
assert_type(snapshot, MemorySnapshot)
assert_type(snapshot.heap_percent, float | None)
assert_type(profiler.detect_leaks(), list[Leak])
assert_type(profiler.check_thresholds(), list[Alert])
assert_type(profiler.set_baseline(snapshot), MemorySnapshot)
assert_type(profiler.compare_to_baseline(), DriftReport | None)
assert_type(profiler.metrics(), MemoryMetrics)
assert_type(profiler.history, History)
assert_type(profiler.history[-1], MemorySnapshot)
assert_type(profiler.history[-10:], list[MemorySnapshot])
assert_type(MemorySnapshot.from_dict(snapshot.to_dict()), MemorySnapshot)
assert_type(get_memory_profiler(), MemoryProfiler)
assert_type(Recorder().attach(profiler).leaks, list[Leak])
snapshot.rss_mb = 5  # type: ignore[misc]  # frozen


@profiler.register_leak_callback
def on_leak(leak: Leak) -> None:
    assert_type(leak.growth, int)


@profiler.register_alert_callback
def on_alert(alert: Alert) -> str:
    return alert.message


@profiler.register_remedy
def drop_cache() -> int:
    return 7


# The decorators give the function back as it was.
on_leak(profiler.detect_leaks()[0])
assert_type(on_alert(profiler.alerts[0]), str)
assert_type(drop_cache(), int)


async def serve() -> None:
    await profiler.start_memory_profiler()
    exporter = await MemoryExporter(profiler, port=0).start()
    assert_type(exporter, MemoryExporter)
    assert_type(exporter.port, int)
    await get_memory_exporter().stop()
    await profiler.stop_memory_profiler()


REGISTRY.register(MemoryCollector(profiler))
try:
    profiler.load_baseline("baseline.json")
except MemprofError as error:
    logging.getLogger(__name__).warning("%s", error)


class ChatSink(Sink):
    name = "chat"

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        assert_type(alert.message, str)
        assert_type(metrics.worker, str)


MemoryProfiler(Config(sinks=("log", "otlp")), sinks=[ChatSink(), DogStatsdSink(), OtlpSink(name="second")])
MemoryProfiler(sinks=["otlp"])  # type: ignore[list-item]  # names go into the settings
