"""The features of one process, made and wired to one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from memprof_middleware.leaks.triage import FILE_NAME, Triage
from memprof_middleware.leaks.watch import LeakWatch
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.routes.watch import RouteWatch

if TYPE_CHECKING:
    from pathlib import Path

    from memprof_middleware.config import Config
    from memprof_middleware.cpu_budget import CpuBudget
    from memprof_middleware.failures import Failures
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.limits.levels import FixedTuner
    from memprof_middleware.model.urgency import Urgency
    from memprof_middleware.runtime.setup import Setup
    from memprof_middleware.workers.group import WorkerGroup


@dataclasses.dataclass(slots=True)
class Features:
    """The features that observe each beat, and what they need of the process.

    Attributes:
        leaks: objects, containers and memory that grow and stay.
        routes: the memory that requests of each route leave behind.
        capacity: the time to the limits.
        tuner: the thresholds, with or without learning.
        triage: the decisions of people about incidents.
        config: the settings.
        group: the workers of the server.
    """

    leaks: LeakWatch
    routes: RouteWatch
    capacity: Capacity
    tuner: FixedTuner
    triage: Triage
    config: Config
    group: WorkerGroup


def features(
    setup: Setup,
    probes: Instruments,
    group: WorkerGroup,
    failures: Failures,
    budget: CpuBudget,
    *,
    is_halted: Callable[[], object],
    urgency_of: Callable[[str], Urgency | None],
) -> Features:
    """Make the features of one process. Nothing is started or read.

    Args:
        setup: the settings.
        probes: the instruments.
        group: the workers of the server.
        failures: where a failure is counted.
        budget: the CPU budget.
        is_halted: whether a step under way is no longer wanted.
        urgency_of: the urgency of an incident in all workers.
    """
    config = setup.config
    triage = Triage(
        config.ignore, lambda: _triage_path(config, group), urgency_of, setup.clock, failures, lambda: group.run
    )
    leaks = LeakWatch(probes, config, failures, is_halted, budget)
    leaks.is_ignored = triage.is_ignored
    return Features(
        leaks=leaks,
        routes=RouteWatch(setup.traffic, probes, setup.clock, config.warmup_snapshots, failures, budget),
        capacity=Capacity(failures, config, leaks.ends_before),
        tuner=setup.tuner(config, failures),
        triage=triage,
        config=config,
        group=group,
    )


def _triage_path(config: Config, group: WorkerGroup) -> Path | None:
    """The file of decisions about incidents: beside what was learned, else as long as the server runs."""
    folder = config.state_folder or group.shared_folder
    return folder and folder / FILE_NAME
