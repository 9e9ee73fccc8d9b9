"""The figures of this worker for the other workers of the server, and theirs for this one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from memprof_middleware.model import MemoryMetrics
from memprof_middleware.model.urgency import URGENCIES, Urgency
from memprof_middleware.runtime.features import Features
from memprof_middleware.text.headline import subject
from memprof_middleware.workers.timelines import Timelines

# The longest time from the start of an application to the moment at which its server listens.
_BIND_SECONDS = 60.0


class Publisher:
    """Publish the figures of one process, and read those of its siblings.

    Args:
        features: the group of workers, and the published windows of routes.
        timelines: the timeline of each worker.
        age: seconds since the start of this process.
        figures: builds the figures of now; ``None``: the profiler is gone.
        inherit: called with the figures of the predecessor, the last worker with this number; ``None``: never.

    Attributes:
        lock: held while figures are built and published: older ones must not overwrite newer ones.
        published: what the other workers see; a scrape answered here shows the same.
    """

    def __init__(
        self,
        features: Features,
        timelines: Timelines,
        age: Callable[[], float],
        figures: Callable[[], MemoryMetrics | None],
        inherit: Callable[[MemoryMetrics], object] | None,
    ) -> None:
        self._features, self._group, self._timelines = features, features.group, timelines
        self._age, self._figures, self._inherit = age, figures, inherit
        self.lock = threading.Lock()
        self.published: MemoryMetrics | None = None

    def join(self) -> None:
        """Take a worker number, if there is none yet, and inherit from the last worker with this number."""
        with self.lock:
            self._join()

    def _join(self) -> None:
        if self._inherit is not None:
            predecessor = self._group.join()
            # A worker that joins late, because there was no folder before, has a timeline of its own.
            if predecessor is not None and self._age() <= _BIND_SECONDS:
                self._inherit(predecessor)

    def publish(self) -> None:
        """Publish the figures of now, which a scrape of any worker shows."""
        with self.lock:
            self._join()  # in here: a scrape must not see a number that is taken before its figures are inherited
            figures = self._figures()
            if figures is not None:
                self.published = figures
                self._group.publish(figures, self._features.routes.published)

    def wait_for_server(self) -> bool:
        """Publish until the listening address of the server is known: some bind after they start the application.

        Returns:
            Whether to call again.
        """
        if self._group.settled or self._age() > _BIND_SECONDS:
            return False
        self.publish()
        return not self._group.settled

    def append_timeline(self) -> None:
        """Add the published figures to the timeline of this worker.

        Raises:
            OSError: the file cannot be written.
        """
        with self.lock:  # a step by hand may run beside the thread's
            self._timelines.append(self.published)

    def workers(self) -> list[MemoryMetrics]:
        """The figures of each live worker of the server, this one included; measures and publishes nothing."""
        with self.lock:  # new figures reach the files before ``published``
            own = self.published
        own = own or self._figures()
        return [] if own is None else self._group.workers(own)

    @property
    def live_workers(self) -> int:
        """The number of workers of the server, this one included."""
        return 1 + len(self._group.siblings(os.getpid()))

    def urgency_of(self, incident: str) -> Urgency:
        """The urgency of an incident now, in the worker that has it worst."""
        leaks = (leak for worker in self.workers() for leak in worker.leaks)
        named = (leak.urgency for leak in leaks if incident in {subject(leak), leak.name})
        return max(named, key=URGENCIES.index, default="none")
