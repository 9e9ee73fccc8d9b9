"""Runs the windows that flame graphs are made of: one at a time, in the worker that was asked for, never for long."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from memprof_middleware.config import Config
from memprof_middleware.errors import FlameError
from memprof_middleware.failures import Failures
from memprof_middleware.flame.code_names import CodeNames
from memprof_middleware.flame.folding import fold
from memprof_middleware.flame.places import Places
from memprof_middleware.flame.queue import FlameDesk
from memprof_middleware.flame.windows import AllocationWindow, MemrayWindow, TracemallocWindow
from memprof_middleware.heap.instruments import Instruments
from memprof_middleware.model import MB, MemorySnapshot
from memprof_middleware.model.flame import Engine, FlameOrder, FlameSummary, Frame, RawFrame, RawStack, Stack
from memprof_middleware.probes.real_thread import in_real_thread
from memprof_middleware.workers.run_directory import temporary_folders

THREAD_NAME = "memprof-flame"
# How often an open window looks whether it has to end.
_LOOK_SECONDS = 0.25
# Traces take memory, and a snapshot of them holds the interpreter up: 0.1 to 0.2 s at this size (180,000 blocks).
_MOST_OVERHEAD = 16 * 2**20
# The rest of the second that stopping the profiler may take is the sampler's.
_STOP_SECONDS = 0.5


class FlameRecorder:
    """Makes the flame graphs of one process.

    Args:
        folder: the folder that the server's workers share; ``None`` while the process is alone.
        worker: the label of this worker.
        requests: how many requests it has answered.
        tight: why memory is too short for a window, in words; ``None``: it is not.
        clock: seconds since the epoch.
        failures: where a failure is counted.
    """

    def __init__(
        self,
        *,
        folder: Callable[[], Path | None],
        worker: Callable[[], str],
        requests: Callable[[], int],
        tight: Callable[[], str | None],
        clock: Callable[[], float],
        failures: Failures,
    ) -> None:
        self._shared, self._worker, self._requests = folder, worker, requests
        self._tight, self._clock, self._failures = tight, clock, failures
        self._own_folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._desk: tuple[Path, FlameDesk] | None = None
        self._cpu_seconds = 0.0

    @property
    def desk(self) -> FlameDesk:
        """Where windows are asked for and results lie.

        Raises:
            OSError: there is no folder that it could be in.
        """
        folder = self._shared() or self._alone()
        if self._desk is None or self._desk[0] != folder:
            self._desk = folder, FlameDesk(folder, self._clock)
        return self._desk[1]

    def ask(self, pid: int, engine: Engine, seconds: float) -> FlameOrder:
        """Order a window of a worker; if it is this one, it begins at once.

        Raises:
            FlameError: one is being made, or it is too early for the next one.
            OSError: the order cannot be written.
        """
        if pid == os.getpid() and (reason := self._tight()):
            raise FlameError(f"not now: {reason}")
        order = self.desk.ask(pid, engine, seconds)
        self.beat()
        return order

    def beat(self) -> None:
        """Claim the order that waits for this process, if there is one; every second, so it costs microseconds."""
        with self._failures.caught("flame"), self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            if self._desk is None and self._shared() is None:  # alone, and nobody has asked: no folder is made for it
                return
            order = self.desk.claim(os.getpid())
            if order is not None:
                self._ending = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(order, self.desk, self._ending), name=THREAD_NAME, daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """End a window that is open, without a result; returns within half a second."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)
        own, self._own_folder = self._own_folder, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)

    @property
    def open(self) -> bool:
        """Whether a window is open in this process, or being folded."""
        return self._thread is not None and self._thread.is_alive()

    def take_cost(self) -> float:
        """Processor seconds that folding took since this was asked last."""
        cost, self._cpu_seconds = self._cpu_seconds, 0.0
        return cost

    def _alone(self) -> Path:
        if self._own_folder is None or not self._own_folder.exists():
            self._own_folder = _new_folder()
        return self._own_folder

    def _run(self, order: FlameOrder, desk: FlameDesk, ending: threading.Event) -> None:
        with self._failures.caught("flame"):
            began, requests = time.monotonic(), self._requests()
            summary = FlameSummary(
                id=order.id,
                pid=order.pid,
                worker=self._worker(),
                engine=order.engine,
                asked_seconds=order.seconds,
                seconds=0.0,
                ended_at=self._clock(),
            )
            stacks: tuple[Stack, ...] = ()
            window = _window(order.engine, desk.results.bin_path(order.id))
            figures: dict[str, object] = {}
            try:
                early = self._watch(window, order, ending)
                figures = {"early": early, "requests": self._requests() - requests}
                figures["seconds"] = time.monotonic() - began
                if ending.is_set():
                    raise FlameError("the worker or its profiler was stopped before the window was over")  # noqa: TRY301
                stacks, size, blocks, left_out = in_real_thread(functools.partial(self._read, window))
                figures |= {"size": size, "blocks": blocks, "left_out": left_out}
            except FlameError as error:
                figures["error"] = str(error)
            except Exception as error:  # noqa: BLE001 - the order must not wait for a result that never comes
                self._failures.record("flame", error)
                figures["error"] = f"it failed with {type(error).__name__}; the application is not affected"
            finally:
                window.abort()
            desk.hand_back(_with(summary, {**figures, "ended_at": self._clock()}), stacks)

    def _watch(self, window: AllocationWindow, order: FlameOrder, ending: threading.Event) -> str:
        """Let the window be open as long as it may; why it ended early, in words."""
        if reason := self._tight():
            raise FlameError(f"not begun: {reason}")
        window.start()
        until = time.monotonic() + order.seconds
        while (left := until - time.monotonic()) > 0 and not ending.wait(min(left, _LOOK_SECONDS)):
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
            self._cpu_seconds += time.thread_time() - began


def tightness(snapshot: MemorySnapshot | None, probes: Instruments, config: Config) -> str | None:
    """Why memory is too short for a window, in words, as it is now; ``None``: it is not, or that cannot be told."""
    size_mb = snapshot.heap_size_mb if snapshot else None
    shares = [(probes.process().anonymous / MB, size_mb)]
    if snapshot is not None and (container := probes.container()) is not None:
        shares.append((container.used / MB, container.size / MB))
    if any(size and 100 * used / size > config.heap_critical_percent for used, size in shares):
        return f"memory is above {config.heap_critical_percent:g} % of its limit, and tracing takes more of it"
    return None


def fold_window(raw: list[RawStack]) -> tuple[tuple[Stack, ...], int, int, int]:
    """What an engine saw in this process, with names to read; as :func:`fold` returns it."""
    paths = sysconfig.get_paths()
    stdlib = (paths["stdlib"], paths["platstdlib"])
    path = [entry for entry in sys.path if entry]
    places = Places(_cwd(), path, stdlib, str(Path(__file__).parents[1]), paths["scripts"])
    code = CodeNames()

    def name(frame: RawFrame) -> Frame:
        place, kind = places.name(frame.file)
        return Frame(place, code.function(frame.file, frame.line) or frame.function or f"line {frame.line}", kind)

    return fold(raw, name)


def _new_folder() -> Path:
    """A private folder where one can be made.

    Raises:
        OSError: it can be made nowhere.
    """
    refused = OSError(errno.ENOENT, "there is no folder for temporary files")
    for folder in temporary_folders():
        try:
            return Path(tempfile.mkdtemp(prefix="memprof-flame-", dir=folder))
        except OSError as error:
            refused = error
    raise refused


def _cwd() -> str:
    with contextlib.suppress(OSError):  # it was removed under the process
        return str(Path.cwd())
    return ""


def _window(engine: Engine, bin_path: Path) -> AllocationWindow:
    return MemrayWindow(bin_path) if engine == "memray" else TracemallocWindow()


def _with(summary: FlameSummary, figures: Mapping[str, object]) -> FlameSummary:
    return FlameSummary.from_dict({**summary.to_dict(), **figures})
