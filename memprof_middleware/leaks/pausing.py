"""Pauses between slices of work."""

from __future__ import annotations

from collections.abc import Callable

from memprof_middleware.probes.real_thread import real_sleep


class Halted(Exception):  # noqa: N818 - no error: the work is no longer wanted
    """The profiler stops."""


def pausing(halted: Callable[[], object]) -> Callable[[float], object]:
    """Return a function that waits so many seconds, and raises :class:`Halted` once the profiler stops."""

    def pause(seconds: float) -> None:
        if halted():
            raise Halted
        real_sleep(seconds)

    return pause
