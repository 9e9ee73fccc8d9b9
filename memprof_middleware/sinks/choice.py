"""Construction of the sinks that the settings name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from memprof_middleware.errors import ConfigError
from memprof_middleware.sinks.log import LogSink
from memprof_middleware.sinks.otel import OtelSink
from memprof_middleware.sinks.otlp import OtlpSink
from memprof_middleware.sinks.sentry import SentrySink
from memprof_middleware.sinks.sink import Sink
from memprof_middleware.sinks.statsd import DogStatsdSink, StatsdSink

BUILT_IN: Mapping[str, Callable[[], Sink]] = {
    "log": LogSink,
    "otel": OtelSink,
    "otlp": OtlpSink,
    "dogstatsd": DogStatsdSink,
    "statsd": StatsdSink,
    "sentry": SentrySink,
}


def chosen(names: Sequence[str], given: Sequence[Sink]) -> list[Sink]:
    """Return the sinks that are named, then those that are given.

    Raises:
        ConfigError: an object is no sink, has no usable name, or two have one name.
    """
    sinks = [BUILT_IN[name]() for name in names]
    for sink in given:
        if not isinstance(sink, Sink):
            raise ConfigError(
                f"sinks= holds an object of type {type(sink).__name__}: derive from memprof_middleware.sinks.Sink; "
                f"built-in sinks ({', '.join(BUILT_IN)}) can be named in the setting sinks"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", str(sink.name)):
            raise ConfigError(
                f"{type(sink).__name__}.name={sink.name!r} is not valid; allowed: up to 32 small letters, digits, "
                "_ and -, a letter first"
            )
        if sink.name in {other.name for other in sinks}:
            raise ConfigError(
                f"two sinks are named {sink.name!r}: give one of them another name, such as "
                f"{type(sink).__name__}(name='{sink.name}2'), or take it out of the setting sinks"
            )
        sinks.append(sink)
    return sinks
