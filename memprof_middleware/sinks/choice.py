"""Construction of the sinks that the settings name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module

from memprof_middleware.errors import ConfigError
from memprof_middleware.sinks.sink import Sink

# Where each is and what it is called: of these a process loads those that it names.
BUILT_IN: Mapping[str, tuple[str, str]] = {
    "log": ("log", "LogSink"),
    "otel": ("otel", "OtelSink"),
    "otlp": ("otlp", "OtlpSink"),
    "dogstatsd": ("statsd", "DogStatsdSink"),
    "statsd": ("statsd", "StatsdSink"),
    "sentry": ("sentry", "SentrySink"),
}


def chosen(names: Sequence[str], given: Sequence[Sink]) -> list[Sink]:
    """Return the sinks that are named, then those that are given.

    Raises:
        ConfigError: an object is no sink, has no usable name, or two have one name.
    """
    sinks = [_built_in(*BUILT_IN[name]) for name in names]
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


def _built_in(module: str, name: str) -> Sink:
    sink: Sink = getattr(import_module(f"{__package__}.{module}"), name)()
    return sink
