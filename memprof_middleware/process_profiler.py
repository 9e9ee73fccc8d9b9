"""The profiler of this process: the first that an adapter made, for everybody who asks."""

from __future__ import annotations

import threading

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError
from memprof_middleware.profiler import MemoryProfiler

_default: MemoryProfiler | None = None
_early: MemoryProfiler | None = None  # made because it was asked for before any adapter had made one
_default_lock = threading.Lock()


def get_memory_profiler() -> MemoryProfiler:
    """The profiler of this process: the first that an adapter made, else one with the environment's settings.

    Raises:
        ConfigError: a setting in the environment is not valid.
    """
    global _early
    if _default is None:
        _early = profiler_for()
    return profiler_for()


def profiler_for(profiler: MemoryProfiler | None = None, config: Config | None = None) -> MemoryProfiler:
    """The profiler that an adapter works with: the one given, one made from a configuration, or the process's own.

    Settings that the configuration leaves at their default come from the environment. What is given or made here
    first is from then on what :func:`get_memory_profiler` returns.

    Raises:
        ConfigError: both are given, or a setting is not valid.
    """
    global _default
    if profiler is not None and config is not None:
        raise ConfigError("profiler= and config= are both given: a ready profiler has its settings already, pass one")
    if profiler is None and config is not None:
        profiler = MemoryProfiler(config.with_env())
        if _default is not None and _default is _early:
            # Starlette makes its middleware with the first request, long after a callback was registered.
            profiler.logger.warning(
                "memprof: get_memory_profiler() was called before this configuration was known and returned another "
                "profiler, whose callbacks hear nothing; make one with MemoryProfiler(config) and pass it as profiler="
            )
    with _default_lock:
        if profiler is None:
            profiler = _default or MemoryProfiler()
        if _default is None:
            _default = profiler
    return profiler
