"""The holders of growing types: searched once, and again when a type has doubled."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.grouping import package_of, root_of
from memprof_middleware.leaks.pausing import Halted

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# Holders are looked for again when a type has grown by this factor since.
_LOOK_AGAIN = 2.0
# So many types are sought in one search, at the most.
_AT_ONCE = 8


class Holders:
    """The search for holders, and its results.

    Args:
        probes: the instruments.
        failures: where a failure is counted.
        pause: waits between two slices of a search.
        budget: what pays for searches.

    Attributes:
        named: telling names of what types of the interpreter stand for, by type.
    """

    def __init__(
        self, probes: Instruments, failures: Failures, pause: Callable[[float], object], budget: CpuBudget
    ) -> None:
        self._probes, self._failures, self._pause, self._budget = probes, failures, pause, budget
        self._found: dict[str, tuple[int, Sequence[tuple[str, float]]]] = {}
        self._tries: Counter[str] = Counter()  # searches in a row that have found nothing, by type
        self._at_once = _AT_ONCE
        self.named: dict[str, str] = {}

    @property
    def is_due(self) -> bool:
        """Whether the CPU budget allows a search."""
        return self._budget.allows("search")

    @property
    def paths(self) -> Mapping[str, Sequence[tuple[str, float]]]:
        """Paths to a sample of the instances of each searched type, with their shares."""
        return {name: paths for name, (_, paths) in self._found.items()}

    def share_root(self, a: str, b: str) -> bool:
        """Whether two types are held by one root, or are of one package."""
        roots = [{root_of(path) for path, _ in self._found.get(name, (0, ()))[1]} for name in (a, b)]
        return bool(roots[0] & roots[1]) or package_of(self._probes.module(a)) == package_of(self._probes.module(b))

    def search(self, history: History, names: Iterable[str]) -> None:
        """Search for the holders of types that have doubled since their last search.

        A search that finds nothing had too little time for so many: half as many are sought the next time, those first
        that were not often sought.
        """
        due = []
        for name in names:
            count = history.counts(name, len(history) - 1)[0]
            if count >= _LOOK_AGAIN * self._found.get(name, (0,))[0]:
                due.append((name, count))
        due = sorted(due, key=lambda one: self._tries[one[0]])[: self._at_once]
        if not due:
            return
        with self._budget.charging("search"), self._failures.caught("probe_holders"), contextlib.suppress(Halted):
            found = self._probes.holders([name for name, _ in due], pause=self._pause)
            answered = any(found[name].paths for name, _ in due if name in found)
            self._at_once = min(_AT_ONCE, 2 * self._at_once) if answered else max(1, len(due) // 2)
            for name, count in due:
                paths = found[name].paths if name in found else ()
                self._tries[name] = 0 if paths else self._tries[name] + 1
                if paths or name not in self._found:
                    self._found[name] = count, paths
                if name in found and found[name].named:
                    self.named[name] = found[name].named
