"""Recording windows: allocations between start and stop that are still held, by call stack."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path
from typing import Any, Protocol

from memprof_middleware.errors import FlameError
from memprof_middleware.forks import in_child
from memprof_middleware.model.flame import DEPTH, RawFrame, RawStack

# One more than is shown: only so is it known whether a stack was deeper.
_LIMIT = DEPTH + 1


class AllocationWindow(Protocol):
    """The interface of an engine; all calls come from one thread."""

    def start(self) -> None:
        """Begin to look.

        Raises:
            FlameError: the engine is taken or not there; the message says what to do.
        """

    def overhead(self) -> int:
        """Bytes that looking has taken so far."""

    def finish(self) -> list[RawStack]:
        """Stop looking; what was allocated meanwhile and is still held.

        Raises:
            FlameError: somebody else ended what this window began.
        """

    def abort(self) -> None:
        """Stop looking and forget what was seen. Does nothing if the window is over."""


class TracemallocWindow:
    """The window that the standard library offers. Slows work that allocates 10 to 40 times while it is open.

    It never touches a trace that it did not begin. What it cannot see: a program that calls ``tracemalloc.start()``
    while the window is open is told by Python that tracing goes on already, and loses its trace with the window.
    """

    def __init__(self) -> None:
        self._is_open = False

    def start(self) -> None:
        """Begin to trace, :data:`DEPTH` frames deep.

        Raises:
            FlameError: something traces already.
        """
        if tracemalloc.is_tracing():
            raise FlameError(
                "tracemalloc traces already, begun by the application, by PYTHONTRACEMALLOC or by the setting "
                "tracemalloc: end that trace, or use the engine memray"
            )
        tracemalloc.start(_LIMIT)
        self._is_open = True
        _open.add(self)

    def overhead(self) -> int:
        """Bytes that the traces take."""
        return tracemalloc.get_tracemalloc_memory() if self._ours() else 0

    def finish(self) -> list[RawStack]:
        """Stop tracing and return what is still held.

        Raises:
            FlameError: somebody else ended the trace.
        """
        if not self._ours():
            self.abort()
            raise FlameError("the application ended the trace before the window was over")
        try:
            snapshot = tracemalloc.take_snapshot()
        finally:
            self.abort()
        return [
            RawStack(
                statistic.size,
                statistic.count,
                tuple(RawFrame(frame.filename, frame.lineno, "") for frame in statistic.traceback[-DEPTH:]),
                len(statistic.traceback) > DEPTH,
            )
            for statistic in snapshot.statistics("traceback")
        ]

    def abort(self) -> None:
        """Stop tracing, unless the trace is no longer ours."""
        if self._ours():
            tracemalloc.stop()
        self._is_open = False
        _open.discard(self)

    def _ours(self) -> bool:
        # Another depth: somebody ended our trace and began one of his own.
        return self._is_open and tracemalloc.is_tracing() and tracemalloc.get_traceback_limit() == _LIMIT


_open: set[TracemallocWindow] = set()


@in_child
def _after_fork_in_child() -> None:
    """A child inherits the trace and nobody who would end it."""
    for window in list(_open):
        window.abort()


class MemrayWindow:
    """The window that memray offers (extra ``[memray]``): cheaper, and it sees memory of extension modules too.

    Args:
        path: where memray's own file goes, for ``memray flamegraph`` and its sisters.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tracker: Any = None

    def start(self) -> None:
        """Begin to track all threads.

        Raises:
            FlameError: memray is not installed, does not work here, or tracks already.
        """
        try:
            import memray
        except ImportError as error:
            raise FlameError(f"memray cannot be used ({error}): pip install 'memprof-middleware[memray]'") from error
        destination = memray.FileDestination(self._path, overwrite=True, compress_on_exit=False)
        try:
            # Aggregated: the file holds one record for each call stack, however long the window is.
            tracker = memray.Tracker(
                destination=destination,
                trace_python_allocators=True,
                file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS,
            )
            tracker.__enter__()
        except (RuntimeError, OSError) as error:
            raise FlameError(f"memray cannot track here: {error}") from error
        self._tracker = tracker

    def overhead(self) -> int:
        """Not known: memray tells it nowhere."""
        return 0

    def finish(self) -> list[RawStack]:
        """Stop tracking and return what is still held.

        Raises:
            FlameError: memray wrote no file that can be read.
        """
        import memray

        self._exit()
        stacks: list[RawStack] = []
        try:
            with memray.FileReader(self._path) as reader:
                stacks.extend(map(_record, reader.get_leaked_allocation_records(merge_threads=True)))
        except (OSError, RuntimeError, ValueError) as error:
            raise FlameError(f"memray's file cannot be read: {error}") from error
        return stacks

    def abort(self) -> None:
        """Stop tracking and remove the file."""
        if self._tracker is not None:
            self._exit()
            with contextlib.suppress(OSError):  # it may not have been written
                self._path.unlink()

    def _exit(self) -> None:
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.__exit__(None, None, None)


def _record(record: Any) -> RawStack:
    # memray begins with the frame that allocates.
    frames = tuple(RawFrame(file, line, function) for function, file, line in reversed(record.stack_trace()))
    return RawStack(record.size, record.n_allocations, frames, False)
