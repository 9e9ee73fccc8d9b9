"""How often the garbage collector runs and how long it holds everybody up."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable

from memprof_middleware.forks import in_child
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class GcStats:
    """Collections by generation since the process began, and pauses in seconds since the watch began."""

    collections: tuple[int, ...]
    pause_seconds: float
    pause_max_seconds: float
    frozen_objects: int


class GcWatch:
    """Times each collection. All watches of a process share one entry in ``gc.callbacks``, which holds none of them.

    Attributes:
        after_full: called after each full collection, inside of it: it may only write into what is there.
    """

    def __init__(self) -> None:
        self.after_full: Callable[[], object] | None = None
        self._pid = 0
        self._total = self._longest = 0.0

    def start(self) -> None:
        """Begin to watch. May be called again; in a forked process it begins at zero."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._total = self._longest = 0.0
        _list(self, listed=True)

    def stop(self) -> None:
        """Watch no more. May be called again."""
        _list(self, listed=False)

    def read(self) -> GcStats:
        """The figures so far; the longest pause is of the time since the previous call."""
        longest, self._longest = self._longest, 0.0
        return GcStats(
            collections=tuple(generation["collections"] for generation in gc.get_stats()),
            pause_seconds=self._total,
            pause_max_seconds=longest,
            frozen_objects=gc.get_freeze_count(),
        )

    def note(self, pause: float, *, full: bool) -> None:
        """Take down a collection; called inside of it."""
        self._total += pause
        self._longest = max(self._longest, pause)
        if full and self.after_full is not None:
            self.after_full()


# Who watches. Never changed, always replaced: the callback may run while another thread adds a watch.
_watches: tuple[weakref.ref[GcWatch], ...] = ()
_listing = threading.Lock()
_began = 0.0


def _on_collection(phase: str, info: dict[str, int]) -> None:
    """Runs inside whatever allocation set the collection off.

    So it takes no lock and logs nothing (a lock there deadlocks, client_python #322), and only writes into slots that
    are there already.
    """
    global _began
    now = time.perf_counter()
    if phase == "start":
        _began = now
    elif _began:  # a watch that began inside a collection has not seen its start
        for reference in _watches:
            watch = reference()
            if watch is not None:
                watch.note(now - _began, full=info.get("generation") == 2)


def _list(watch: GcWatch, *, listed: bool) -> None:
    global _watches, _began
    with _listing:
        others = [reference for reference in _watches if reference() not in {None, watch}]
        _watches = (*others, weakref.ref(watch)) if listed else tuple(others)
        if _watches and _on_collection not in gc.callbacks:
            _began = 0.0
            gc.callbacks.append(_on_collection)
        elif not _watches:
            with contextlib.suppress(ValueError):
                gc.callbacks.remove(_on_collection)


@in_child
def _after_fork_in_child() -> None:
    global _listing
    _listing = threading.Lock()
