"""Work in slices: a fit over many windows takes seconds, and a step may spend some tens of milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from memprof_middleware.cpu_budget import CpuBudget

_T = TypeVar("_T")
Work = Generator[None, None, _T]
"""Yields wherever it can rest, and returns what came out."""

# A thread that computes on makes each of the others wait 5 ms whenever it asks for the interpreter back.
_STRETCH_SECONDS, _PAUSE_SECONDS = 0.002, 0.001
# The longest that a step works, on all tasks together, but for what lies between two rests: where somebody waits or
# memory grows, and where nothing presses.
MOST_SECONDS, CALM_SECONDS = 0.07, 0.005


def finished(work: Work[_T], rest: Callable[[], object] = bool) -> _T:
    """The result of some work, done at once.

    Args:
        work: the work.
        rest: called wherever it can rest.
    """
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: _T = end.value
            return found
        rest()


class Task(Generic[_T]):
    """Work that was begun and is continued in slices.

    Attributes:
        done: whether it has ended.
        found: what came out; ``None`` until then.
        seconds: CPU time that it took so far.
    """

    def __init__(self, work: Work[_T]) -> None:
        self._work = work
        self.done = False
        self.found: _T | None = None
        self.seconds = 0.0

    def go_on(self) -> None:
        """Work to the next rest. Work that raises has ended."""
        began = time.thread_time()
        try:
            next(self._work)
        except StopIteration as end:
            self.done, self.found = True, end.value
        except BaseException:
            self.done = True
            raise
        finally:
            self.seconds += time.thread_time() - began

    def finish(self) -> None:
        """Work to the end, with pauses for the other threads."""
        rest = pauses()
        while not self.done:
            self.go_on()
            rest()


class Quota:
    """The CPU time that a step may spend on such work.

    Args:
        budget: the CPU budget.

    Attributes:
        most: seconds of a step.
        seconds: what all steps have spent.
    """

    def __init__(self, budget: CpuBudget) -> None:
        self._budget = budget
        self.most, self.seconds = CALM_SECONDS, 0.0
        self._spent = 0.0  # in this step

    def renew(self) -> None:
        """Begin another step."""
        self._spent = 0.0

    @property
    def spent(self) -> bool:
        """Whether there is nothing left for this step."""
        return not self._budget.allows("routes")

    def go_on(self, task: Task[_T]) -> None:
        """Work until the task is done or the quota is spent, with real pauses for the other threads."""
        rest, began = pauses(), time.thread_time()
        most = min(self.most - self._spent, self._budget.remaining("routes"))
        try:
            with self._budget.charging("routes"):
                while not task.done and time.thread_time() - began < most:
                    task.go_on()
                    rest()
        finally:
            spent = time.thread_time() - began
            self._spent += spent
            self.seconds += spent


def pauses() -> Callable[[], None]:
    """Let other threads run after each slice of work, with a real pause."""
    since = time.perf_counter()

    def pause() -> None:
        nonlocal since
        if time.perf_counter() - since > _STRETCH_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            since = time.perf_counter()

    return pause
