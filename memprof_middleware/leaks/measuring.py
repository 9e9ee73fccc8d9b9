"""The readings for the judge: containers, measured at the right time, and the past of the process."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.containers import Containers
from memprof_middleware.leaks.grouping import Place
from memprof_middleware.leaks.growth import BUFFER, BUFFER_UNIT
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.pausing import Halted
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.model import MB, MemorySnapshot

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# While nothing is suspected, containers are measured with every so many snapshots.
_CALM_STEPS = 10
# A walk may take what the budget gives in so many seconds, 1 s at the default, within what is of any use.
_WALK_SPAN, _SHORTEST_WALK, _LONGEST_WALK = 200.0, 0.1, 5.0
_MOST_PLACES = 5_000


class Measuring:
    """Measure containers and keep the past of a process.

    Args:
        probes: the instruments.
        config: the interval, the budget and the warm-up.
        failures: where a failure is counted.
        pause: waits between two slices of a walk.
        budget: what pays for walks.

    Attributes:
        past: everything that was read.
        places: the containers as they were measured last, by path.
        first: the first snapshot after warm-up.
        exhaustive: whether the last walk has left nothing out.
    """

    def __init__(
        self,
        probes: Instruments,
        config: Config,
        failures: Failures,
        pause: Callable[[float], object],
        budget: CpuBudget,
    ) -> None:
        self._probes, self._config, self._failures, self._pause = probes, config, failures, pause
        self._budget = budget
        self.past = Past(config.interval)
        self.places: dict[str, Place] = {}
        self.first: MemorySnapshot | None = None
        self.exhaustive = False
        self._walked = -1  # the snapshot at which containers were measured last
        self._calm_steps = 0
        self._comparable = 0  # number of the first snapshot whose counts are followed

    def measure(
        self,
        history: History,
        counts: Mapping[str, int] | None,
        requests: Mapping[str, int],
        failed: int,
        *,
        by_hand: bool,
        suspicious: bool,
        sparing: bool,
    ) -> None:
        """Measure containers and other populations, and keep a reading.

        A walk costs more than an object count, so it is left out during warm-up, in which the host has enough to do,
        while the budget does not allow it, and nine times of ten while nothing grows; unless somebody asked for this
        snapshot.

        Args:
            history: where lengths are kept, beside the last snapshot.
            counts: the live objects by type; ``None``: not counted this time.
            requests: answered so far, by route.
            failed: how many of them failed.
            by_hand: somebody asked for it.
            suspicious: something grows.
            sparing: leave the objects alone.
        """
        self._calm_steps -= 1
        warm = history.seen > self._config.warmup_snapshots
        calm = self._calm_steps > 0 and not suspicious
        walk = None
        if by_hand or (warm and not calm and not sparing and self._budget.allows("walk")):
            walk = self._look(history)
        if warm and history.latest is not None:
            self._read(history, history.latest, counts, requests, failed, walk)

    def renew(self, history: History) -> bool:
        """Measure containers again for the last snapshot, if that is still to be done; return whether it was."""
        walk = None if self._walked == history.seen else self._look(history)
        if walk is None:
            return False
        self.past.correct(_seen(walk))
        return True

    def see_arenas(self) -> bool:
        """Look at the arenas of Python's allocator, within the budget; return whether that was done."""
        if not self._budget.allows("search"):
            return False
        with self._budget.charging("search"), self._failures.caught("probe_arenas"):
            self.past.see_arenas(self._probes.arenas())
        return self.past.arenas is not None

    def _look(self, history: History) -> Containers | None:
        """Measure containers; ``None``: that failed, or was given up."""
        self._calm_steps = _CALM_STEPS
        walk = None
        with self._failures.caught("probe_containers"), contextlib.suppress(Halted):
            budget = _WALK_SPAN * self._config.cpu_budget / 100
            seconds = min(_LONGEST_WALK, max(_SHORTEST_WALK, budget))
            walk = self._probes.containers(most_seconds=seconds, pause=self._pause)
            self.exhaustive, self._walked = walk.complete and walk.exhaustive, history.seen
            self._budget.charge("walk", walk.cpu_seconds)  # measured in there: under gevent it is another thread's
            places = {
                found.path: Place(found.path, None if found.unbounded else found.bound, found.holds, found.entry_bytes)
                for found in walk.found
            }
            if not walk.complete:  # what was not looked at this time is where it was
                left = max(0, _MOST_PLACES - len(places))
                places |= itertools.islice(
                    ((path, place) for path, place in self.places.items() if path not in places), left
                )
            self.places = places
            lengths = {found.path: found.length for found in walk.found}
            lengths |= {f"{BUFFER}{one.path}": one.size // BUFFER_UNIT for one in walk.buffers}
            lengths |= self._probes.populations()
            history.record_paths(lengths, complete=walk.complete)
        return walk

    def _read(
        self,
        history: History,
        snapshot: MemorySnapshot,
        counts: Mapping[str, int] | None,
        requests: Mapping[str, int],
        failed: int,
        walk: Containers | None,
    ) -> None:
        self.first = self.first or snapshot
        comparable = history.seen - len(history) + history.comparable_from
        if comparable != self._comparable and history.comparable_from:
            self.past.forget_counts()
        self._comparable = comparable
        cohorts: Mapping[str, Sequence[Cohort]] = {}
        with self._failures.caught("probe_cohorts"):
            cohorts = self._probes.cohorts()
        self.past.add(
            Reading(
                time=snapshot.timestamp,
                requests=requests,
                failed=failed,
                in_flight=snapshot.in_flight,
                collections=snapshot.gc_collections[-1],
                heap=_bytes(snapshot.heap_used_mb),
                native=_bytes(snapshot.native_in_use_mb),
                retained=_bytes(snapshot.native_retained_mb),
                blocks=snapshot.allocated_blocks,
                counts=counts,
                containers=None if walk is None else _seen(walk),
                complete=walk is not None and walk.complete,
                cohorts=cohorts,
            )
        )


def _bytes(mb: float | None) -> float | None:
    return None if mb is None else mb * MB


def _seen(walk: Containers) -> dict[str, Seen]:
    return {
        found.path: Seen(
            found.length,
            None if found.unbounded else found.bound,
            found.entry_bytes,
            found.oldest,
            found.holds,
            found.lifetime,
            found.cohorts,
            found.aged_bytes,
        )
        for found in walk.found
    }
