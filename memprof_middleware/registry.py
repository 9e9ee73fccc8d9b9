"""The registry of this process's profiler: the first one that an adapter made."""

from __future__ import annotations

import threading
import weakref

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError
from memprof_middleware.forks import in_child
from memprof_middleware.profiler import MemoryProfiler

# Not held: the adapter holds it, and goes with its application.
_default: weakref.ref[MemoryProfiler] | None = None
_early: MemoryProfiler | None = None  # made because it was asked for before any adapter had made one
_default_lock = threading.Lock()


def get_memory_profiler() -> MemoryProfiler:
    """The profiler of this process: the first that an adapter made, else one with the environment's settings.

    Raises:
        ConfigError: a setting in the environment is not valid.
    """
    global _early
    found = made_profiler()
    if found is None:
        found = _early = profiler_for()
    return found


def profiler_for(profiler: MemoryProfiler | None = None, config: Config | None = None) -> MemoryProfiler:
    """The profiler that an adapter works with: the one given, one made from a configuration, or the process's own.

    Settings that the configuration leaves at their default come from the environment. What is given or made here
    first is from then on what :func:`get_memory_profiler` returns, as long as it is referenced.

    Raises:
        ConfigError: both are given, or a setting is not valid.
    """
    global _default
    if config is not None and not isinstance(config, Config):
        raise ConfigError(f"config= takes a Config, such as Config(interval=60), not a {type(config).__name__}")
    if profiler is not None and not isinstance(profiler, MemoryProfiler):
        raise ConfigError(f"profiler= takes a MemoryProfiler, not a {type(profiler).__name__}")
    if profiler is not None and config is not None:
        raise ConfigError("pass profiler= or config=, not both: a profiler has its settings already")
    if profiler is None and config is not None:
        profiler = MemoryProfiler(config.with_env())
        if _early is not None and made_profiler() is _early:
            # Starlette makes its middleware with the first request, long after a callback was registered.
            profiler.logger.warning(
                "memprof: callbacks registered before the middleware was set up are not called. Create "
                "MemoryProfiler(config) yourself and pass profiler=."
            )
    with _default_lock:
        if profiler is None:
            profiler = made_profiler() or MemoryProfiler()
        if made_profiler() is None:
            _default = weakref.ref(profiler)
    return profiler


def made_profiler() -> MemoryProfiler | None:
    """The profiler that :func:`get_memory_profiler` would return, if there is one; makes none."""
    return None if _default is None else _default()


@in_child
def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
