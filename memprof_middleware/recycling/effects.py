"""Protocols of what recycling needs of the profiler, and its effects outside."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Protocol

from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.model import Alert
from memprof_middleware.model.value import valueclass
from memprof_middleware.recycling import act, detection


class InFlight(Protocol):
    """The counter of requests, as recycling sees it."""

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""


class Watched(Protocol):
    """The profiler, as recycling sees it."""

    config: Config
    failures: Failures

    @property
    def traffic(self) -> InFlight:
        """The requests under way."""

    @property
    def logger(self) -> logging.Logger:
        """The logger of acts and refusals."""

    @property
    def worker(self) -> str:
        """The number of this worker."""

    @property
    def alerts(self) -> list[Alert]:
        """The conditions that hold."""

    @property
    def live_workers(self) -> int:
        """The number of workers of the server, counted now."""


@valueclass(frozen=True)
class Effects:
    """Effects outside of the process's own memory; a test passes its own.

    Attributes:
        clock: the machine's monotonic clock, which all workers share and no change of the date moves.
        surroundings: what this process shows of its server.
        retire: makes this worker finish its requests and end.
        exit: ends the process at once.
        trim: gives memory back; ``None``: the C library's.
    """

    clock: Callable[[], float] = time.monotonic
    surroundings: Callable[[], detection.Surroundings] = detection.surroundings
    retire: Callable[[detection.Mechanism], None] = act.retire
    exit: Callable[[int], object] = os._exit
    trim: Callable[[], object] | None = None
