"""Record one flame graph: open a window, close it in time, and read its allocations."""

from __future__ import annotations

import contextlib
import functools
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

from memprof_middleware.errors import FlameError
from memprof_middleware.failures import Failures
from memprof_middleware.flame.code_names import CodeNames
from memprof_middleware.flame.folding import fold
from memprof_middleware.flame.places import Places
from memprof_middleware.flame.windows import AllocationWindow, MemrayWindow, TracemallocWindow
from memprof_middleware.model.flame import Engine, FlameOrder, FlameSummary, Frame, RawFrame, RawStack, Stack
from memprof_middleware.probes.real_thread import in_real_thread

# How often an open window looks whether it has to end.
_LOOK_SECONDS = 0.25
# Traces take memory, and a snapshot of them holds the interpreter up: 0.1 to 0.2 s at this size (180,000 blocks).
_MOST_OVERHEAD = 16 * 2**20


class Making:
    """One order on its way to a result.

    Args:
        order: what was asked for.
        ending: set when the window is to end at once.
        requests: how many requests the worker has answered.
        tight: why memory is too short for a window, in words; ``None``: it is not.
        clock: seconds since the epoch.

    Attributes:
        cpu_seconds: processor time that folding took.
    """

    def __init__(
        self,
        order: FlameOrder,
        ending: threading.Event,
        requests: Callable[[], int],
        tight: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._order, self._ending, self._requests, self._tight, self._clock = order, ending, requests, tight, clock
        self.cpu_seconds = 0.0

    def done(self, worker: str, bin_path: Path, failures: Failures) -> tuple[FlameSummary, tuple[Stack, ...]]:
        """Open the window, wait until it is over, and tell what it saw, or why it came to nothing.

        Args:
            worker: the label of this worker.
            bin_path: where memray may write.
            failures: where a failure is counted.
        """
        order, began, requests = self._order, time.monotonic(), self._requests()
        summary = FlameSummary(
            id=order.id,
            pid=order.pid,
            worker=worker,
            engine=order.engine,
            asked_seconds=order.seconds,
            seconds=0.0,
            ended_at=self._clock(),
        )
        stacks: tuple[Stack, ...] = ()
        window = _window(order.engine, bin_path)
        figures: dict[str, object] = {}
        try:
            early = self._watch(window)
            figures = {"early": early, "requests": self._requests() - requests}
            figures["seconds"] = time.monotonic() - began
            if self._ending.is_set():
                raise FlameError("the worker or its profiler was stopped before the window was over")  # noqa: TRY301
            stacks, size, blocks, left_out = in_real_thread(functools.partial(self._read, window))
            figures |= {"size": size, "blocks": blocks, "left_out": left_out}
        except FlameError as error:
            figures["error"] = str(error)
        except Exception as error:  # noqa: BLE001 - the order must not wait for a result that never comes
            failures.record("flame", error)
            figures["error"] = f"it failed with {type(error).__name__}; the application is not affected"
        finally:
            window.abort()
        return FlameSummary.from_dict({**summary.to_dict(), **figures, "ended_at": self._clock()}), stacks

    def _watch(self, window: AllocationWindow) -> str:
        """Keep the window open until its end. Returns the reason for an early end, as text."""
        if reason := self._tight():
            raise FlameError(f"not begun: {reason}")
        window.start()
        until = time.monotonic() + self._order.seconds
        while (left := until - time.monotonic()) > 0 and not self._ending.wait(min(left, _LOOK_SECONDS)):
            if window.overhead() > _MOST_OVERHEAD:
                return f"the traces took {_MOST_OVERHEAD >> 20} MiB"
            if reason := self._tight():
                return reason
        return ""

    def _read(self, window: AllocationWindow) -> tuple[tuple[Stack, ...], int, int, int]:
        began = time.thread_time()
        try:
            return fold_window(window.finish())
        finally:
            self.cpu_seconds += time.thread_time() - began


def fold_window(raw: list[RawStack]) -> tuple[tuple[Stack, ...], int, int, int]:
    """The allocations that an engine recorded, with readable names; as :func:`fold` returns them."""
    paths = sysconfig.get_paths()
    stdlib = (paths["stdlib"], paths["platstdlib"])
    path = [entry for entry in sys.path if entry]
    places = Places(_cwd(), path, stdlib, str(Path(__file__).parents[1]), paths["scripts"])
    code = CodeNames()

    def name(frame: RawFrame) -> Frame:
        place, kind = places.name(frame.file)
        function = code.function(frame.file, frame.line) or frame.function
        begins = code.first_line(frame.file, function) if function else frame.line
        return Frame(place, function or f"line {frame.line}", kind, begins)

    return fold(raw, name)


def _cwd() -> str:
    with contextlib.suppress(OSError):  # it was removed under the process
        return str(Path.cwd())
    return ""


def _window(engine: Engine, bin_path: Path) -> AllocationWindow:
    return MemrayWindow(bin_path) if engine == "memray" else TracemallocWindow()
