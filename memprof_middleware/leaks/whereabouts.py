"""The source of a verdict: retaining path, file and line, functions that add, and the pattern for advice."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from memprof_middleware.config import Config
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.heap.answers import Definition
from memprof_middleware.leaks.grouping import root_of
from memprof_middleware.leaks.pausing import Halted
from memprof_middleware.model import Leak
from memprof_middleware.model.holders import HELD_NATIVE, HIDDEN, NO_PATH, growing_place
from memprof_middleware.text.advice import pattern_of
from memprof_middleware.text.subject import named_by_path, task_of

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# Patterns of what waits on a line of the application.
_WAITS = frozenset({"task_unfinished", "requests_unfinished", "waiters"})
# Paths whose place in the source is remembered: verdicts are few, and their paths change seldom.
_MOST_KNOWN = 64
_UNKNOWN = Definition()


class Found(Protocol):
    """The results of the search for holders."""

    @property
    def paths(self) -> Mapping[str, Sequence[tuple[str, float]]]:
        """Paths to a sample of the instances of each type, with their shares, the most frequent first."""

    @property
    def named(self) -> Mapping[str, str]:
        """Telling names of what types of the interpreter stand for, by type."""


class Whereabouts:
    """Look up each path in the source, once.

    Args:
        probes: the instruments.
        config: the budget.
        failures: where a failure is counted.
        pause: waits between two slices of a search.
    """

    def __init__(
        self,
        probes: Instruments,
        config: Config,
        failures: Failures,
        pause: Callable[[float], object],
        budget: CpuBudget,
    ) -> None:
        self._budget = budget
        self._probes, self._config, self._failures, self._pause = probes, config, failures, pause
        self._known: dict[str, Definition] = {}

    def filled(self, leak: Leak, root: str, holders: Found, before: Leak | None) -> Leak:
        """The verdict with its path, and, once it matters, with the place in the source and the advice.

        Args:
            leak: the verdict.
            root: the container or other place that holds it; empty: not known.
            holders: the paths that were found.
            before: the last verdict on the same, whose path goes on while no other is known.
        """
        path, share = _path_of(leak, root, holders)
        if not path and before is not None:
            path, share = before.path, before.share
        found = dataclasses.replace(leak, path=path, share=share)
        found = dataclasses.replace(found, named=holders.named.get(leak.name) or named_by_path(found))
        place = growing_place(path, {leak.name, *leak.also}) if path else ""
        known = self._place(path or root, place) if leak.notable else _UNKNOWN
        tried = (known.tried,) if known.tried else ()
        pattern = pattern_of(found, known.pattern)
        task = task_of(found) if leak.notable and pattern in _WAITS else ""
        return dataclasses.replace(
            found,
            file=known.file,
            line=known.line,
            filled_in=known.filled_in,
            removed_in=known.removed_in,
            waits_at=self._place(task).waits_at if task else "",
            evidence=(*leak.evidence, *tried),
            pattern=pattern,
        )

    def _place(self, path: str, place: str = "") -> Definition:
        """Where a path begins, or what grows on it. Some milliseconds, once: it waits for no budget."""
        begins = place if place.startswith(f"{root_of(path)}[*]") else root_of(path)
        if begins and begins not in self._known and begins not in (HELD_NATIVE, HIDDEN):
            found, began = _UNKNOWN, time.thread_time()
            with self._failures.caught("probe_define"), contextlib.suppress(Halted):
                found = self._probes.define(path, place=begins, pause=self._pause)
            self._budget.charge("search", time.thread_time() - began)
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[begins] = found
        return self._known.get(begins, _UNKNOWN)


def _path_of(leak: Leak, root: str, holders: Found) -> tuple[str, float | None]:
    """The most frequent path of what leaks that begins at the root, and its share of the sample."""
    if leak.kind == "container":
        return leak.name, None
    paths = holders.paths.get(leak.name, ())
    for path, share in paths:
        if root_of(path) == root and not path.startswith(NO_PATH):
            return path, share
    return ("" if root.startswith(NO_PATH) else root), None
