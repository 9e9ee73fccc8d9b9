"""What there is to be judged at one moment: read once, and looked at by every feature."""

from __future__ import annotations

import dataclasses

from memprof_middleware.analysis.history import History
from memprof_middleware.model import MemorySnapshot, WorkerSummary


@dataclasses.dataclass(frozen=True, slots=True)
class Beat:
    """This process and its siblings, as they are now.

    Attributes:
        now: when the last snapshot was taken; before the first, the time.
        snapshot: the last one; ``None`` before the first.
        history: the past, the last snapshot included.
        worker: the label of this worker.
        siblings: what a step needs of the server's other workers.
    """

    now: float
    snapshot: MemorySnapshot | None
    history: History
    worker: str
    siblings: tuple[WorkerSummary, ...]

    @property
    def others(self) -> list[MemorySnapshot]:
        """The last snapshots of the siblings."""
        return [sibling.snapshot for sibling in self.siblings if sibling.snapshot]

    @property
    def first(self) -> bool:
        """Whether this is the worker that does for all what one alone has to do."""
        return all(int(self.worker) < int(sibling.worker) for sibling in self.siblings)
