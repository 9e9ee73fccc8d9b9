"""Number and pauses of garbage collections."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable

from memprof_middleware.forks import in_child
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class GcStats:
    """Collections by generation since the process began, and pauses in seconds since recording began."""

    collections: tuple[int, ...]
    pause_seconds: float
    pause_max_seconds: float
    frozen_objects: int


class GcRecorder:
    """Measure each collection's pause. All recorders of a process share one entry in ``gc.callbacks``.

    That entry holds weak references only.

    Attributes:
        after_full: called after each full collection, inside of it: it may only write into what is there.
    """

    def __init__(self) -> None:
        self.after_full: Callable[[], object] | None = None
        self._total = self._longest = 0.0

    def start(self) -> None:
        """Begin recording. May be called again."""
        _list(self, listed=True)

    def stop(self) -> None:
        """End recording. May be called again."""
        _list(self, listed=False)

    def read(self) -> GcStats:
        """Return the figures so far. The longest pause is that since the previous call."""
        longest, self._longest = self._longest, 0.0
        return GcStats(
            collections=tuple(generation["collections"] for generation in gc.get_stats()),
            pause_seconds=self._total,
            pause_max_seconds=longest,
            frozen_objects=gc.get_freeze_count(),
        )

    def record(self, pause: float, *, full: bool) -> None:
        """Add one collection; called inside of it."""
        self._total += pause
        self._longest = max(self._longest, pause)
        if full and self.after_full is not None:
            self.after_full()


# Never changed, always replaced: the callback may run while another thread adds a recorder.
_recorders: tuple[weakref.ref[GcRecorder], ...] = ()
_listing = threading.Lock()
_began = 0.0


def _on_collection(phase: str, info: dict[str, int]) -> None:
    """Time one phase of a collection; runs inside the allocation that triggered it.

    So it takes no lock and logs nothing (a lock there deadlocks, client_python #322), and only writes into slots that
    are there already.
    """
    global _began
    now = time.perf_counter()
    if phase == "start":
        _began = now
    elif _began:  # a recorder that began inside a collection has not seen its start
        for reference in _recorders:
            recorder = reference()
            if recorder is not None:
                recorder.record(now - _began, full=info.get("generation") == 2)


def _list(recorder: GcRecorder, *, listed: bool) -> None:
    global _recorders, _began
    with _listing:
        others = [reference for reference in _recorders if reference() not in {None, recorder}]
        _recorders = (*others, weakref.ref(recorder)) if listed else tuple(others)
        if _recorders and _on_collection not in gc.callbacks:
            _began = 0.0
            gc.callbacks.append(_on_collection)
        elif not _recorders:
            with contextlib.suppress(ValueError):
                gc.callbacks.remove(_on_collection)


@in_child
def _after_fork_in_child() -> None:
    global _listing
    _listing = threading.Lock()
