"""Sinks by name in the settings, and ready ones; mistakes are told at the start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.config import SINK_NAMES
from memprof_middleware.sinks import DogStatsdSink, LogSink, OtelSink, Sink, Sinks, StatsdSink
from memprof_middleware.sinks.choice import BUILT_IN, chosen
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder
from tests.conftest import memprof_threads
from tests.sinks.receivers import Agent, wait_for


def test_each_name_of_the_setting_is_a_sink() -> None:
    """The setting knows the names that there are, and each makes a sink of that name."""
    assert tuple(BUILT_IN) == SINK_NAMES
    assert [sink.name for sink in chosen(SINK_NAMES, ())] == list(SINK_NAMES)


def test_an_unknown_name_is_refused() -> None:
    """The message has the value and the names that there are; a name twice is refused too."""
    with pytest.raises(
        ConfigError, match=r"MEMPROF_SINKS='kafka' is out of range; allowed: log, otel, otlp, .*; each once"
    ):
        Config.from_env({"MEMPROF_SINKS": "kafka"})
    with pytest.raises(ConfigError, match=r"MEMPROF_SINKS='log,log' .* each once"):
        Config.from_env({"MEMPROF_SINKS": "log,log"})


def test_two_sinks_with_one_name_are_refused() -> None:
    """Metrics and log could not tell them apart; another name helps."""
    with pytest.raises(ConfigError, match=r"two sinks are named 'statsd': .*StatsdSink\(name='statsd2'\)"):
        MemoryProfiler(Config(sinks=("statsd",)), sinks=[StatsdSink()])
    assert len(chosen(("statsd",), [StatsdSink(name="statsd2")])) == 2


@pytest.mark.parametrize("wrong", [object(), "otlp", print, LogSink])
def test_what_is_no_sink_is_refused(wrong: object) -> None:
    """The message names the type and what to derive from."""
    with pytest.raises(
        ConfigError, match=rf"of type {type(wrong).__name__}: derive from memprof_middleware.sinks.Sink"
    ):
        MemoryProfiler(Config(), sinks=[wrong])  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["", "Big", "a b", "ä", "x" * 33, None])
def test_a_sink_without_a_proper_name_is_refused(name: str) -> None:
    """The name becomes a label and the name of a thread."""

    class Custom(Sink):
        pass

    Custom.name = name
    with pytest.raises(ConfigError, match=r"Custom.name=.* is not valid; allowed: up to 32 small letters"):
        chosen((), [Custom()])


def test_a_bad_address_in_the_environment_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other setting does, with the variables that say where the agent is."""
    monkeypatch.setenv("DD_DOGSTATSD_URL", "tcp://agent")
    with pytest.raises(ConfigError, match=r"address='tcp://agent' is not valid; .* DD_DOGSTATSD_URL"):
        MemoryProfiler(Config(sinks=("dogstatsd",)))


def test_nothing_is_imported_or_started_by_construction() -> None:
    """All sinks made and none used: no library of a vendor is loaded, no thread runs, no socket is open."""
    program = """
import os, socket, sys, threading
from memprof_middleware import Config, MemoryProfiler
before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
profiler = MemoryProfiler(Config(sinks=("log", "otel", "otlp", "dogstatsd", "statsd", "sentry")))
after = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
assert after == before, after - before
heavy = {"opentelemetry", "grpc", "requests", "sentry_sdk", "datadog", "google"} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
profiler.stop()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_profiler_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step's figures and each alert reach the sinks, their health is in the metrics, and stop() ends them."""
    with Agent() as agent:
        clock, probes = FakeClock(), FakeProbes(heap_mb=850, limit_mb=1000)
        profiler = MemoryProfiler(
            Config(background=False), clock=clock, probes=probes, sinks=[DogStatsdSink(agent.address), OtelSink()]
        )
        recorder = Recorder().attach(profiler)
        assert memprof_threads() == []
        profiler.step()
        wait_for(lambda: agent.checks, "the figures")
        assert [event.title for event in agent.events] == ["memprof: heap_warning"]
        assert [alert.name for alert in recorder.alerts] == ["heap_warning"]
        probes.heap_mb = 100
        clock.advance(60)
        profiler.step()
        profiler.stop()
        assert memprof_threads() == []
        wait_for(lambda: len(agent.checks) == 2, "the last figures, delivered by stop()")
        assert agent.events[-1].title == "memprof: heap_warning is over"
        wait_for(lambda: profiler.metrics().sinks[0].delivered == 4, "two snapshots and two alerts")
        health = {sink.name: sink for sink in profiler.metrics().sinks}
        assert health["dogstatsd"].last_delivery == clock.now
        assert health["otel"].delivered == 0


def test_a_profiler_begins_anew_in_a_child() -> None:
    """What the parent delivered is not counted in a child, and the child's figures bear its own pid."""
    from tests.workers.processes import children

    with Agent() as agent:
        profiler = MemoryProfiler(Config(background=False), probes=FakeProbes(), sinks=[DogStatsdSink(agent.address)])
        profiler.step()
        wait_for(lambda: agent.checks, "the parent's figures")

        def child() -> list[int]:
            profiler.step()
            wait_for(lambda: profiler.metrics().sinks[0].delivered, "the child's delivery")
            profiler.stop()
            return [sink.delivered for sink in profiler.metrics().sinks]

        with children() as make:
            assert make(child).result == [1]
        wait_for(lambda: len(agent.checks) == 2, "the child's figures")
        profiler.stop()


def test_without_sinks_nothing_is_asked() -> None:
    """A profiler without sinks has no health to tell and starts nothing."""
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())
    profiler.step()
    assert profiler.metrics().sinks == ()
    assert memprof_threads() == []
    assert isinstance(profiler._monitor.sinks, Sinks)
    profiler.stop()
