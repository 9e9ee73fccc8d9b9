"""The recorder of flame graphs: one window at a time, in the ordered worker, for a limited time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memprof_middleware.errors import FlameError
from memprof_middleware.failures import Failures
from memprof_middleware.model import MB, MemorySnapshot
from memprof_middleware.workers.run_directory import temporary_folders

if TYPE_CHECKING:
    from memprof_middleware.config import Config
    from memprof_middleware.flame.queue import FlameDesk
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.model.flame import Engine, FlameOrder

THREAD_NAME = "memprof-flame"
# The rest of the second that stopping the profiler may take is the sampler's.
_STOP_SECONDS = 0.5


class FlameRecorder:
    """Record the flame graphs of one process.

    Args:
        folder: the folder that the server's workers share; ``None`` while the process is alone.
        worker: the label of this worker.
        requests: how many requests it has answered.
        tight: why memory is too short for a window, in words; ``None``: it is not.
        clock: seconds since the epoch.
        failures: where a failure is counted.
        charge: charged with the CPU seconds of each graph.
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
        charge: Callable[[float], object],
    ) -> None:
        self._shared, self._worker, self._requests = folder, worker, requests
        self._tight, self._clock, self._failures, self._charge = tight, clock, failures, charge
        self._own_folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._desk: tuple[Path, FlameDesk] | None = None

    @property
    def desk(self) -> FlameDesk:
        """The queue of orders and results.

        Raises:
            OSError: there is no folder that it could be in.
        """
        folder = self._shared() or self._alone()
        if self._desk is None or self._desk[0] != folder:
            from memprof_middleware.flame.queue import FlameDesk  # only where somebody asks for a window

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

    def _alone(self) -> Path:
        if self._own_folder is None or not self._own_folder.exists():
            self._own_folder = _new_folder()
        return self._own_folder

    def _run(self, order: FlameOrder, desk: FlameDesk, ending: threading.Event) -> None:
        with self._failures.caught("flame"):
            from memprof_middleware.flame.making import Making

            making = Making(order, ending, self._requests, self._tight, self._clock)
            summary, stacks = making.done(self._worker(), desk.results.bin_path(order.id), self._failures)
            self._charge(making.cpu_seconds)
            desk.hand_back(summary, stacks)


def tightness(snapshot: MemorySnapshot | None, probes: Instruments, config: Config) -> str | None:
    """The reason why there is too little memory for a window now; ``None``: there is enough, or it is not known."""
    size_mb = snapshot.heap_size_mb if snapshot else None
    shares = [(probes.process().anonymous / MB, size_mb)]
    if snapshot is not None and (container := probes.container()) is not None:
        shares.append((container.used / MB, container.size / MB))
    if any(size and 100 * used / size > config.heap_critical_percent for used, size in shares):
        return f"memory is above {config.heap_critical_percent:g} % of its limit, and tracing takes more of it"
    return None


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
