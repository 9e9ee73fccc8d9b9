"""How often the garbage collector runs and how long it holds everybody up."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class GcStats:
    """Collections by generation since the process began, and pauses in seconds since the watch began."""

    collections: tuple[int, ...]
    pause_seconds: float
    pause_max_seconds: float
    frozen_objects: int


class GcWatch:
    """Times each collection through ``gc.callbacks``.

    The callback runs inside whatever allocation set the collection off: it takes no lock, logs nothing, and only
    writes into slots that are there already (a lock there deadlocks, client_python #322).

    Attributes:
        after_full: called after each full collection; what holds for the callback holds for it.
    """

    def __init__(self) -> None:
        self.after_full: Callable[[], object] | None = None
        self._pid = 0
        self._began = self._total = self._longest = 0.0

    def start(self) -> None:
        """Begin to watch. May be called again; in a forked process it begins at zero."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._began = self._total = self._longest = 0.0
        if self._on_collection not in gc.callbacks:
            gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Watch no more. May be called again."""
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._on_collection)

    def read(self) -> GcStats:
        """The figures so far; the longest pause is of the time since the previous call."""
        longest, self._longest = self._longest, 0.0
        return GcStats(
            collections=tuple(generation["collections"] for generation in gc.get_stats()),
            pause_seconds=self._total,
            pause_max_seconds=longest,
            frozen_objects=gc.get_freeze_count(),
        )

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        elif self._began:  # a watch that began inside a collection has not seen its start
            pause = now - self._began
            self._total += pause
            self._longest = max(self._longest, pause)
        if phase == "stop" and info.get("generation") == 2 and self.after_full is not None:
            self.after_full()
