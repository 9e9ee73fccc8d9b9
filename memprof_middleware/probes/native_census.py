"""The census that C takes, where ``memprof_native`` is installed and passes its self-check; elsewhere the pure one."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

from memprof_middleware.forks import is_forked
from memprof_middleware.probes.census import PAUSE_SECONDS, Census, printable, summed, take_census
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

try:
    import memprof_native
except ModuleNotFoundError as error:
    # Not installed is no fault. An installed package without its compiled part raises an ImportError.
    _LACK = "" if error.name == "memprof_native" else str(error)
    _THERE = False
except ImportError as error:
    _LACK, _THERE = str(error), False
else:
    _LACK, _THERE = "", True

# Half a millisecond where memory is quick. Pages that were not touched for long take ten times as long: not longer
# than this, in processor time.
SLICE, SLICE_SECONDS = 40_000, 0.001
# The self-check compares lists of so many objects with gc.get_objects(), which writes into each of them. In a forked
# process that copies pages, so there only what the process has made itself is compared.
_COMPARED, _COMPARED_AFTER_FORK = 200_000, 2_000
# What a walk raises, and what an extension of another version lacks.
_FAULTS = (RuntimeError, MemoryError, AttributeError, TypeError)


class CensusTaker:
    """Counts the live objects, compiled where that can be trusted.

    Attributes:
        refusal: why the compiled census is not used although it is installed; ``None`` before the first count.
    """

    def __init__(self) -> None:
        self.refusal: str | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether the last count was compiled."""
        return self.refusal == ""

    def may_compile(self) -> bool:
        """Whether the next count will be compiled, unless it finds something odd."""
        if _THERE and self.refusal is None:
            try:
                self.refusal = in_real_thread(_why_not)
            except _FAULTS as error:
                self.refusal = str(error) or type(error).__name__
        return self.is_compiled

    def take(self, stride: int = 1, *, pause: Callable[[float], object] = real_sleep) -> Census:
        """Count the live objects by type.

        Args:
            stride: how closely the pure census looks; the compiled one is always exact.
            pause: called between slices with the seconds to wait.
        """
        if self.may_compile():
            try:
                return in_real_thread(functools.partial(_count, pause))
            except _FAULTS as error:
                self.refusal = str(error) or type(error).__name__
        return dataclasses.replace(take_census(stride, pause=pause), refusal=self.refusal or _LACK)


def step_through(walk: memprof_native.Walk, pause: Callable[[float], object]) -> float:
    """Bring a walk to its end, with a pause after each slice; the longest slice, in processor time."""
    longest, done = 0.0, False
    while not done:
        before = time.thread_time()
        done = walk.step(SLICE, SLICE_SECONDS)
        longest = max(longest, time.thread_time() - before)
        if not done:
            pause(PAUSE_SECONDS)
    return longest


def is_installed() -> bool:
    """Whether the compiled census is there; it may be refused all the same."""
    return _THERE


@functools.cache  # a forked process has the layout of its parent
def _why_not() -> str:
    return memprof_native.check(_COMPARED_AFTER_FORK if is_forked() else _COMPARED) or ""


def _count(pause: Callable[[float], object]) -> Census:
    """One walk, in slices.

    Each slice is one C call, in which no other thread runs and nothing but a few links of the collector's lists is
    written: a forked process goes on to share its pages. Frozen objects are counted too, so that no count changes when
    the program freezes or unfreezes.
    """
    cpu, began = time.thread_time(), time.perf_counter()
    walk = memprof_native.Walk()
    try:
        longest = step_through(walk, pause)
        counts, frozen, total = _summed_up(walk)
    finally:
        walk.close()
    seconds, cpu_seconds = time.perf_counter() - began, time.thread_time() - cpu
    return Census(total, counts, 1, seconds, cpu_seconds, longest, "compiled", frozen)


def _summed_up(walk: memprof_native.Walk) -> tuple[dict[str, int], int, int]:
    """The counts by name, how many objects are frozen, and how many there are."""
    totals = [0, 0]

    def named() -> Iterator[tuple[str, int]]:
        for _, name, live, frozen in walk.classes():
            totals[0] += frozen
            totals[1] += live + frozen
            yield printable(name), live + frozen

    return summed(named()), totals[0], totals[1]
