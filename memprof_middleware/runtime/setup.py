"""The setup of a profiler: the settings and callbacks that live on across a fork."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.config import Config
from memprof_middleware.limits.levels import FixedTuner
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.routes.counter import Traffic
from memprof_middleware.runtime.reporting import AlertCallback, LeakCallback
from memprof_middleware.runtime.snapshotter import Trace

if TYPE_CHECKING:
    from memprof_middleware.recycling.off import NoRecycler
    from memprof_middleware.recycling.recycler import Recycler
    from memprof_middleware.runtime.readings import ProcessInstruments
    from memprof_middleware.sinks.sink import Sink


@dataclasses.dataclass(slots=True, kw_only=True)
class Setup:
    """The settings and callbacks that the monitor of each process is made from.

    Attributes:
        config: the settings.
        clock: seconds since the epoch.
        logger: where alerts and failures go.
        probes: makes the instruments, which belong to one process; those that a test passes live on.
        sinks: other monitoring systems.
        tuner: the class that keeps the thresholds, with or without learning.
        recycler: the class that runs remedies and recycles a worker at high memory, or the one that does nothing.
        traffic: the counter of requests, which adapters hold; reset in place.
        leak_callbacks: called with each leak when it is first found.
        alert_callbacks: called with each alert, when it begins and when it ends.
        remedies: functions of the application that free memory, called at high memory.
        baseline: the snapshot that was set or loaded, for all processes.
        trace: the trace of allocations, which a child inherits.
        faces: the places where the host shows results, in words.
    """

    config: Config
    clock: Callable[[], float]
    logger: logging.Logger
    probes: Callable[[], ProcessInstruments]
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
