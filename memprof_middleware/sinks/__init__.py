"""Sinks: other monitoring systems that receive figures and alerts, each in a thread of its own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memprof_middleware.sinks.group import Sinks
    from memprof_middleware.sinks.log import LogSink
    from memprof_middleware.sinks.otel import OtelSink
    from memprof_middleware.sinks.otlp import OtlpSink
    from memprof_middleware.sinks.sentry import SentrySink
    from memprof_middleware.sinks.sink import Reads, Sink, SinkError
    from memprof_middleware.sinks.statsd import DogStatsdSink, StatsdSink

_MODULES = {
    "DogStatsdSink": "statsd",
    "LogSink": "log",
    "OtelSink": "otel",
    "OtlpSink": "otlp",
    "Reads": "sink",
    "SentrySink": "sentry",
    "Sink": "sink",
    "SinkError": "sink",
    "Sinks": "group",
    "StatsdSink": "statsd",
}
__all__ = [
    "DogStatsdSink",
    "LogSink",
    "OtelSink",
    "OtlpSink",
    "Reads",
    "SentrySink",
    "Sink",
    "SinkError",
    "Sinks",
    "StatsdSink",
]


def __getattr__(name: str) -> object:
    """Load a sink when it is first asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not: what documents this module asks for them."""
    return __all__
