"""The instruments of one process: the probes behind the protocol that the runtime asks."""

from __future__ import annotations

import functools
import gc

# The half of tracemalloc that is written in C: the other half brings pickle.
from _tracemalloc import get_traced_memory, is_tracing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from memprof_middleware.forks import before_fork, is_forked
from memprof_middleware.heap.cohorts import Cohort, Instances
from memprof_middleware.heap.containers import SECONDS, Containers, find_containers
from memprof_middleware.heap.origins import module_of, rank_of
from memprof_middleware.heap.populations import count_populations
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.probes.allocator import AllocatorStats, allocator_stats
from memprof_middleware.probes.census import Census
from memprof_middleware.probes.gc_stats import GcRecorder, GcStats
from memprof_middleware.probes.inherited import freeze_inherited, has_frozen
from memprof_middleware.probes.limits import ContainerMemory, ContainerMemoryReader, MemoryLimit, memory_limit
from memprof_middleware.probes.listening import Listener, listener
from memprof_middleware.probes.loading import less_late, load
from memprof_middleware.probes.native_census import CensusTaker, is_installed
from memprof_middleware.probes.process import MemoryShare, ProcessMemory, memory_share, process_memory
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep
from memprof_middleware.probes.turns import Turn
from memprof_middleware.runtime.shared_census import shared_census

if TYPE_CHECKING:
    from memprof_middleware.heap.answers import Definition, Holding
    from memprof_middleware.heap.grown import GrownContainers
    from memprof_middleware.probes.replaced import Replacements


# What only a forked worker needs, with and without the compiled count.
_FORKED = {True: ("heap.grown", "heap.held"), False: ("heap.near", "probes.replaced")}


@before_fork
def _load_for_child() -> None:
    """Import in the parent what its children need: the memory is shared, and no thread of a child has to import."""
    allocator_stats()  # finds the allocator once
    for name in _FORKED[is_installed()]:
        import_module(f"memprof_middleware.{name}")


class Probes:
    """The instruments of one process.

    Args:
        proc: where procfs is mounted.
        cgroup: where the control groups are mounted.
    """

    def __init__(self, *, proc: str | Path = "/proc", cgroup: str | Path = "/sys/fs/cgroup") -> None:
        self._proc, self._cgroup = Path(proc), Path(cgroup)
        self._container = ContainerMemoryReader(self._proc, self._cgroup)
        self._gc = GcRecorder()
        self._turn, self._turnover = Turn(), Turnover()
        self._instances = Instances()
        self._census = CensusTaker()
        self._grown: GrownContainers | None = None
        self._replacements: Replacements | None = None

    def process(self) -> ProcessMemory:
        """Resident, virtual and anonymous memory."""
        return process_memory(self._proc)

    def limit(self) -> MemoryLimit:
        """The smallest memory limit that holds for this process."""
        return memory_limit(self._proc, self._cgroup)

    def container(self) -> ContainerMemory | None:
        """The memory in use of all processes of the container; ``None`` outside of one."""
        return self._container.read()

    def share(self) -> MemoryShare:
        """The share of the resident memory that only this process maps. Expensive: not read at every interval."""
        return in_real_thread(functools.partial(memory_share, self._proc))

    def listener(self) -> Listener | None:
        """The address at which the server listens; ``None`` before it listens."""
        return listener(self._proc)

    def allocator(self) -> AllocatorStats:
        """The memory that the allocators have handed out."""
        return allocator_stats()

    def arenas(self) -> int | None:
        """The least memory of the arenas of Python's own allocator: 30 ns an object that the collector tracks.

        ``None`` where Python has another allocator, and in a forked worker whose heap a look would copy.
        """
        if self._is_shared and not self._is_frozen:
            return None
        from memprof_middleware.probes.arenas import arena_bytes

        return arena_bytes()

    def gc(self) -> GcStats:
        """Collections and pauses since :meth:`start`."""
        return self._gc.read()

    def after_full_collection(self, callback: Callable[[], object]) -> None:
        """Call a function after each full collection, inside of it: it must not allocate."""
        self._gc.after_full = callback

    def collect(self) -> None:
        """One full collection: it pauses all threads, 7 ms with 100,000 objects, 200 ms with a million."""
        in_real_thread(gc.collect)

    def census(self, stride: int = 1) -> Census:
        """Live objects by type, counted in slices; every ``stride``-th of them, or all where C counts."""
        found = less_late(self._census.take(stride))
        if not self._is_frozen:
            return found
        if self._replacements is None:
            from memprof_middleware.probes.replaced import Replacements

            self._replacements = Replacements.of_this_process()
        return self._replacements.less(found)

    def shared_census(self, stride: int, max_age: float) -> Census:
        """A count of live objects, or one of another profiler here that is at most ``max_age`` seconds old."""
        return shared_census(self.census, id(self), stride, max_age)

    def freeze_inherited(self) -> int:
        """Freeze the objects that a forked worker inherited, where that is of use. Returns how many."""
        return freeze_inherited(self._proc)

    @property
    def copies(self) -> bool:
        """Whether a look at objects copies their pages, which this process shares with its parent."""
        return self._is_shared or self._is_frozen

    def containers(self, *, most_seconds: float = SECONDS, pause: Callable[[float], object] = real_sleep) -> Containers:
        """The lengths of the program's containers, by path; of very many, a part with each call.

        In a forked worker a walk over all of them would copy the heap. There, with the compiled count, only those that
        grow are measured; without it, and with a frozen heap, those near the application's modules.

        Args:
            most_seconds: processor time that it may take.
            pause: called between slices with the seconds to wait; what it raises ends the walk.
        """
        if self._is_frozen:
            from memprof_middleware.heap.near import measure_near

            return measure_near(pause, self._turnover)
        if self._is_shared:
            if self._grown is None:
                from memprof_middleware.heap.grown import GrownContainers

                self._grown = GrownContainers()
            return self._grown.measure(pause=pause)
        found = find_containers(most_seconds=most_seconds, turn=self._turn, turnover=self._turnover, pause=pause)
        self._turn = found.following
        return found

    def holders(
        self, type_names: Sequence[str], *, pause: Callable[[float], object] = real_sleep
    ) -> Mapping[str, Holding]:
        """The holders of young instances of some types; expensive, for suspects only. Arguments as for containers."""
        if self._is_frozen:
            from memprof_middleware.heap.near import find_near

            return find_near(type_names, pause=pause)
        if self._is_shared:
            from memprof_middleware.heap.held import find_held

            return find_held(type_names, instances_of=self._instances, pause=pause)
        found: Mapping[str, Holding] = load("heap.retainers").find_holders(
            type_names, instances_of=self._instances, pause=pause
        )
        return found

    def cohorts(self) -> Mapping[str, tuple[Cohort, ...]]:
        """What has become of the instances that were found at each search for holders, by type: 1 us for each."""
        return self._instances.ask()

    def define(self, path: str, *, place: str = "", pause: Callable[[float], object] = real_sleep) -> Definition:
        """The place in the source where a retaining path begins, and the code that adds to it."""
        found: Definition = load("heap.definitions").define(path, place=place, pause=pause)
        return found

    @property
    def _is_shared(self) -> bool:
        """Whether to walk by address: the heap is shared with a parent, and C can read it without a copy."""
        return self._census.is_compiled and is_forked()

    @property
    def _is_frozen(self) -> bool:
        """Whether to walk near the modules only: the heap is shared with a parent and frozen, without the C walk."""
        return not self._census.is_compiled and is_forked() and has_frozen()

    def populations(self) -> dict[str, int]:
        """Tasks by coroutine, threads by name, open files and sockets."""
        return count_populations(self._proc)

    def rank(self, name: str) -> int:
        """The origin of a type or container: 0 the application, 1 a library, 2 the standard library, 3 builtin."""
        return rank_of(name)

    def module(self, name: str) -> str:
        """The module that the name of a type or the path of a container begins with."""
        return module_of(name)

    def tracemalloc(self) -> tuple[int, int] | None:
        """Traced memory, current and peak, in bytes; ``None`` while nothing traces."""
        return get_traced_memory() if is_tracing() else None

    def start(self) -> None:
        """Begin to record collections. May be called again."""
        self._gc.start()

    def stop(self) -> None:
        """Stop recording collections. May be called again."""
        self._gc.stop()
