"""The input of all observers at one moment, and the conditions that they return."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from memprof_middleware.analysis.history import History
from memprof_middleware.model import Condition, MemorySnapshot, WorkerSummary
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Beat:
    """This process and its siblings at one moment.

    Attributes:
        now: when the last snapshot was taken; before the first, the time.
        snapshot: the last one; ``None`` before the first.
        history: the past, the last snapshot included.
        worker: the label of this worker.
        siblings: what a step needs of the server's other workers.
        counted: whether objects were counted with the last snapshot.
        by_hand: whether somebody asks, who waits for the answer, whatever the budget.
    """

    now: float
    snapshot: MemorySnapshot | None
    history: History
    worker: str
    siblings: tuple[WorkerSummary, ...]
    counted: bool = True
    by_hand: bool = False

    @property
    def others(self) -> list[MemorySnapshot]:
        """The last snapshots of the siblings."""
        return [sibling.snapshot for sibling in self.siblings if sibling.snapshot]

    @property
    def first(self) -> bool:
        """Whether this worker has the lowest number, and so does the work that is done once for all."""
        return all(int(self.worker) < int(sibling.worker) for sibling in self.siblings)


@valueclass(frozen=True, slots=True)
class Conditions:
    """The conditions that an observer has judged and found.

    Attributes:
        judged: names of the conditions that were judged; only these can end.
        found: those that are met, and those that are measured and not met.
        reasons: what ended others, by subject, where that is known: ``was freed``.
        ignored: subjects that are as they were, and that somebody ignores.
        cause: whether the growth goes on that these are the cause of. While it does, what began stays, found or not;
            when it is over, so are they. ``None``: each stands for itself.
        elsewhere: another worker judges them: they are not ours to report, and those found are what it has reported.
    """

    judged: Sequence[str] = ()
    found: Sequence[Condition] = ()
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignored: Collection[str] = frozenset()
    cause: bool | None = None
    elsewhere: bool = False


class Observer(NamedTuple):
    """A feature that observes each beat.

    Attributes:
        kind: of its failures.
        observe: looks at a beat.
        waits: whether it takes long, so that a scrape must not wait for it.
    """

    kind: str
    observe: Callable[[Beat], Conditions]
    waits: bool = False
