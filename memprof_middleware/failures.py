"""The profiler's own failures: caught, logged once per kind, counted."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from memprof_middleware.errors import MemprofError


class Failures:
    """Count failures by kind; the first of a kind is logged with its type and place, the others only counted.

    Attributes:
        counts: failures so far, by kind.
        logger: where the first of each kind goes.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def caught(self, kind: str) -> Iterator[None]:
        """Record an exception of the block instead of raising it into the host."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - this is the wall between the profiler and its host
            self.record(kind, error)

    @contextlib.contextmanager
    def contained(self, kind: str) -> Iterator[None]:
        """As :meth:`caught`, around code of the application in a thread of ours: ``sys.exit()`` ends no thread either.

        In the main thread it is raised: there it may come from a signal, and is meant for the host. So is what ends a
        greenlet: who kills one waits until it is gone.
        """
        try:
            with self.caught(kind):
                yield
        except BaseException as error:
            if threading.current_thread() is threading.main_thread() or _ends_greenlet(error):
                raise
            self.record(kind, error)

    def record(self, kind: str, error: BaseException) -> None:
        """Count a failure, and log it if it is the first of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            what = described(error)
            try:
                self.logger.warning(
                    "memprof: internal error in %s: %s. The application is not affected. Further ones are counted in "
                    "memory_profiler_failures_total.",
                    kind,
                    what.removesuffix("."),
                    extra={"memprof_failure": kind},
                )
            except Exception:  # noqa: BLE001 - a filter of the host raises: no other place to report it
                self.counts["log"] += 1


def _ends_greenlet(error: BaseException) -> bool:
    kill = getattr(sys.modules.get("greenlet"), "GreenletExit", None)
    return kill is not None and isinstance(error, kill)


def described(error: BaseException) -> str:
    """An error for the log; of a foreign one its type and place only: its text may hold the program's data."""
    return str(error) if isinstance(error, MemprofError) else f"{type(error).__name__}{_reason(error)}{_place(error)}"


def _reason(error: BaseException) -> str:
    """The reason that the system gives, such as a full disk, in its own words: they hold no data."""
    # Those of libraries have numbers of their own; one of the program may be anything.
    if not isinstance(error, OSError) or type(error).__module__ != "builtins":
        return ""
    number = error.errno
    return f": {os.strerror(number)}" if number is not None and number in errno.errorcode else ""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
