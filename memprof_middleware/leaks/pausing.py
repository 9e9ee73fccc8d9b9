"""How work in slices waits: between two slices, and until it has earned the next run."""

from __future__ import annotations

from collections.abc import Callable

from memprof_middleware.config import Config
from memprof_middleware.probes.real_thread import real_sleep

# Walks and searches for holders may each use this part of the processor time that the profiler may use.
_CPU_SHARE = 0.3


class Halted(Exception):  # noqa: N818 - no error: the work is no longer wanted
    """The profiler stops."""


def pausing(halted: Callable[[], object]) -> Callable[[float], object]:
    """Return a function that waits so many seconds, and raises :class:`Halted` once the profiler stops."""

    def pause(seconds: float) -> None:
        if halted():
            raise Halted
        real_sleep(seconds)

    return pause


def rest_after(seconds: float, config: Config) -> float:
    """Return how long work of so many processor seconds is left alone afterwards."""
    return seconds / (_CPU_SHARE * config.cpu_budget / 100)
