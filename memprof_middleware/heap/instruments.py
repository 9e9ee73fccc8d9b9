"""The readings of this process that features need, as a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.containers import Containers
from memprof_middleware.heap.definitions import Definition
from memprof_middleware.heap.retainers import Holding
from memprof_middleware.probes.allocator import AllocatorStats
from memprof_middleware.probes.limits import ContainerMemory
from memprof_middleware.probes.listening import Listener
from memprof_middleware.probes.process import ProcessMemory


class Instruments(Protocol):
    """The readings that features take themselves; the runtime's ``Probes`` has them, a test may stand in.

    A feature knows this protocol and not who implements it: the runtime knows the features.
    """

    def process(self) -> ProcessMemory:
        """Resident, virtual and anonymous memory."""

    def container(self) -> ContainerMemory | None:
        """What all processes of the container use together; ``None`` outside of one."""

    def allocator(self) -> AllocatorStats:
        """What the allocators have given out."""

    def listener(self) -> Listener | None:
        """Where the server listens; ``None`` while it does not."""

    def after_full_collection(self, callback: Callable[[], object]) -> None:
        """Have a function called after each full collection, inside of it: it may only write into what is there."""

    def collect(self) -> None:
        """One full collection: it holds up all threads."""

    def containers(self, *, most_seconds: float = ..., pause: Callable[[float], object] = ...) -> Containers:
        """How long the containers are that the program keeps, by path.

        Args:
            most_seconds: processor time that it may take.
            pause: called between slices with the seconds to wait; what it raises ends the walk.
        """

    def holders(self, type_names: Sequence[str], *, pause: Callable[[float], object] = ...) -> Mapping[str, Holding]:
        """Who holds the young instances of some types. Arguments as for containers."""

    def cohorts(self) -> Mapping[str, tuple[Cohort, ...]]:
        """What has become of the instances that were found at each search for holders, by type."""

    def define(self, path: str, *, pause: Callable[[float], object] = ...) -> Definition:
        """Where the beginning of a retaining path is in the source, and who adds to it. Pauses as for containers."""

    def populations(self) -> dict[str, int]:
        """Tasks by coroutine, threads by name, open files and sockets."""

    def rank(self, name: str) -> int:
        """Whose a type or container is: 0 the application's, 1 a library's, 2 the standard library's, 3 builtin."""

    def module(self, name: str) -> str:
        """The module that the name of a type or the path of a container begins with."""
