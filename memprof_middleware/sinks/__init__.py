"""Other monitoring systems that hear of figures and alerts, each in a thread of its own."""

from memprof_middleware.sinks.group import Sinks
from memprof_middleware.sinks.log import LogSink
from memprof_middleware.sinks.otel import OtelSink
from memprof_middleware.sinks.otlp import OtlpSink
from memprof_middleware.sinks.sentry import SentrySink
from memprof_middleware.sinks.sink import Reads, Sink, SinkError
from memprof_middleware.sinks.statsd import DogStatsdSink, StatsdSink

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
