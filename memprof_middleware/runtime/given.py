"""The settings and callbacks of a profiler: all that it keeps across a fork, beside the counter of requests."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.config import Config
from memprof_middleware.limits.levels import FixedTuner
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.runtime.instruments import ProcessInstruments
from memprof_middleware.runtime.reporting import AlertCallback, LeakCallback
from memprof_middleware.runtime.snapshotter import Trace

if TYPE_CHECKING:
    from memprof_middleware.recycling.off import NoRecycler
    from memprof_middleware.recycling.recycler import Recycler
    from memprof_middleware.sinks.sink import Sink


@dataclasses.dataclass(slots=True, kw_only=True)
class Given:
    """The settings and callbacks that the monitor of each process is made from.

    Attributes:
        config: the settings.
        clock: seconds since the epoch.
        logger: where alerts and failures go.
        probes: the instruments.
        sinks: other monitoring systems.
        tuner: what holds the thresholds, with or without learning.
        recycler: what looks after a worker whose memory is high, if anything does.
        traffic: the counter of requests, which adapters hold; reset in place.
        leak_callbacks: called with each leak when it is first found.
        alert_callbacks: called with each alert, when it begins and when it ends.
        remedies: what the application can drop when memory is high.
        baseline: one that was set or loaded; it is for all processes.
        trace: the trace of allocations, which a child inherits.
        faces: where the host shows what is found, in words.
    """

    config: Config
    clock: Callable[[], float]
    logger: logging.Logger
    probes: ProcessInstruments
    sinks: Sequence[Sink]
    tuner: type[FixedTuner]
    recycler: type[Recycler | NoRecycler]
    traffic: Traffic
    trace: Trace
    leak_callbacks: list[LeakCallback] = dataclasses.field(default_factory=list)
    alert_callbacks: list[AlertCallback] = dataclasses.field(default_factory=list)
    remedies: list[Callable[[], object]] = dataclasses.field(default_factory=list)
    baseline: MemorySnapshot | None = None
    faces: tuple[str, ...] = ()
