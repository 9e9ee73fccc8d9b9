"""A run that has gone silent says which tests are under way and where they are, and ends.

pytest-timeout ends a test by a signal, whose handler runs only where the main thread runs Python: not in a process
that hangs in C, not in one that waits between two tests, and not in the one that hands the tests out.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time

import psutil
import pytest

# What is asked to say where it is has so long to do so, before all ends.
_LAST_WORDS_SECONDS = 60.0


class Silence:
    """Watch the results as they come in, in the process that prints them.

    Args:
        seconds: the longest time without one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[str, float] = {}
        self._last = time.monotonic()
        self._over = threading.Event()

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._watch, name="tests-silence", daemon=True).start()

    def pytest_sessionfinish(self) -> None:
        self._over.set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = self._last = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._last = time.monotonic()
        if report.when == "teardown":
            self._running.pop(report.nodeid, None)

    def _watch(self) -> None:
        asked = False
        while not self._over.wait(1.0):
            silent = time.monotonic() - self._last
            if asked and silent > _LAST_WORDS_SECONDS:
                self._end()
            elif silent > self._seconds:
                asked = True
                self._ask()

    def _ask(self) -> None:
        """Have each process of xdist write where its threads are, and end: SIGABRT does that under pytest."""
        tests = "\n  ".join(self._running) or "none"
        print(f"\nno result for {self._seconds:.0f} s; tests under way:\n  {tests}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(sys.__stderr__)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                child.send_signal(signal.SIGABRT)
        self._last = time.monotonic()

    def _end(self) -> None:
        print("still no result: all processes are killed", file=sys.stderr, flush=True)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        os._exit(3)
