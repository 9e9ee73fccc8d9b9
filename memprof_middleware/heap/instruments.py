"""The readings of this process that features need, as a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from memprof_middleware.heap.answers import Definition, Holding
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.containers import Containers
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
        """The memory in use of all processes of the container; ``None`` outside of one."""

    def allocator(self) -> AllocatorStats:
        """The memory that the allocators have handed out."""

    def arenas(self) -> int | None:
        """The least memory of the arenas of Python's own allocator; ``None`` where it has none."""

    def listener(self) -> Listener | None:
        """The address at which the server listens; ``None`` before it listens."""

    def after_full_collection(self, callback: Callable[[], object]) -> None:
        """Have a function called after each full collection, inside of it: it may only write into what is there."""

    def collect(self) -> None:
        """One full collection: it holds up all threads."""

    @property
    def copies(self) -> bool:
        """Whether a look at objects copies their pages, which this process shares with its parent."""

    def containers(self, *, most_seconds: float = ..., pause: Callable[[float], object] = ...) -> Containers:
        """The lengths of the program's containers, by path.

        Args:
            most_seconds: processor time that it may take.
            pause: called between slices with the seconds to wait; what it raises ends the walk.
        """

    def holders(self, type_names: Sequence[str], *, pause: Callable[[float], object] = ...) -> Mapping[str, Holding]:
        """The holders of young instances of some types. Arguments as for containers."""

    def cohorts(self) -> Mapping[str, tuple[Cohort, ...]]:
        """The survivors among the instances of each search for holders, by type."""

    def define(self, path: str, *, place: str = "", pause: Callable[[float], object] = ...) -> Definition:
        """The place in the source where a retaining path begins, and what adds to it. Pauses as for containers."""

    def populations(self) -> dict[str, int]:
        """Tasks by coroutine, threads by name, open files and sockets."""

    def rank(self, name: str) -> int:
        """The origin of a type or container: 0 the application, 1 a library, 2 the standard library, 3 builtin."""

    def module(self, name: str) -> str:
        """The module that the name of a type or the path of a container begins with."""
