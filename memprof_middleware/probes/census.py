"""Object counts by type, taken in slices so that no other thread waits long."""

from __future__ import annotations

import functools
import gc
import itertools
import math
import operator
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from memprof_middleware.model.clean import clean
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.one_call import in_one_call
from memprof_middleware.probes.real_thread import in_real_thread, real_sleep

# 20,000 objects are 0.7-1 ms of counting: far below the 5 ms after which CPython switches threads anyway.
SLICE = 20_000
# A real pause, since sleep(0) may hand the interpreter lock straight back to us.
PAUSE_SECONDS = 0.0005
_NAME_LENGTH = 200
# The packages of this distribution. The profiler's own windows and snapshots fill up their bounds in the first hours,
# which would look like a leak.
CORE = "memprof_middleware"
OURS = frozenset(
    {
        *(CORE, "memprof_native", "asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof"),
        *("aiohttp_memprof", "memprof_run", "pytest_memprof"),
    }
)
# Where the standard library's metaclasses have a hash of their own, it is type's; every FastAPI application has them.
_TRUSTED = frozenset({"typing", "typing_extensions"})
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_namespace_of = type.__dict__["__dict__"].__get__


@valueclass(frozen=True, slots=True)
class Census:
    """Number of live objects that the collector tracks, in all and by type (``module.QualName``).

    Attributes:
        total: how many there are.
        counts: how many of each type, the profiler's own left out; an estimate where ``stride`` is above 1.
        stride: every how-many-th object was looked at; 1 is exact.
        seconds: wall time it took, the pauses included.
        cpu_seconds: processor time it took.
        longest_seconds: the longest time that no other thread could run, in processor time.
        kind: ``"compiled"`` or ``"pure"``: who counted.
        frozen: how many of them ``gc.freeze()`` hides; the pure census does not see those and counts none.
        refusal: why the compiled census is installed and did not count.
        age_seconds: how long ago another profiler of this process took it; 0: it was taken now.
    """

    total: int
    counts: dict[str, int]
    stride: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    longest_seconds: float = 0.0
    kind: Literal["pure", "compiled"] = "pure"
    frozen: int = 0
    refusal: str = ""
    age_seconds: float = 0.0


def take_census(stride: int = 1, *, pause: Callable[[float], object] = real_sleep) -> Census:
    """Count the live objects by type.

    One atomic look at the types of all objects (20-30 ns an object), then slices of these with a pause after each. The
    list is given back slice by slice too: freeing millions of references at once is a stall of its own. No collection
    is forced, and no code of the program runs: only ``type(o)`` is asked.

    Args:
        stride: look at every how-many-th object only, from a random one on, and scale (systematic
            sampling). Prime, since objects are made in patterns such as instance, dict, list, and a stride that
            shares a factor with the pattern's length sees only one of them.
        pause: called between slices with the seconds to wait.
    """
    return in_real_thread(functools.partial(_count, stride, pause))


def relative_error(count: int, stride: int) -> float:
    """Standard error of an estimated count, as a share of it: that of a random sample of every ``stride``-th object.

    Source: binomial sampling without replacement; systematic samples of lists with runs err less.
    """
    return math.sqrt((stride - 1) / count) if count else 0.0


def _count(stride: int, pause: Callable[[float], object]) -> Census:
    cpu, began = time.thread_time(), time.perf_counter()
    kinds = kinds_of_objects(stride)
    total = len(kinds) * stride
    timer = _PauseTimer(cpu)
    count = _count_by_identity if _metaclasses_with_own_hash() else _count_by_type
    seen = count(_slices(kinds, pause, timer))
    counts = seen if stride == 1 else {name: number * stride for name, number in seen.items()}
    return Census(total, counts, stride, time.perf_counter() - began, time.thread_time() - cpu, timer.longest)


def kinds_of_objects(stride: int = 1, generation: int | None = None) -> list[type]:
    """Return the class of every live object, or of every ``stride``-th; or of those of one generation.

    The objects themselves are held within one C call only, in which no other thread runs. Held any longer, a tuple that
    a thread is just filling fails in its hands with a SystemError: ``tuple(generator)`` and uWSGI's request arguments
    must have one owner. What a request has made would live on, too, and be finalized in this thread.
    """
    chosen: Iterator[list[Any]] = itertools.starmap(gc.get_objects, [(generation,)])
    if stride > 1:  # all of them need no second list
        first = random.randrange(stride)  # noqa: S311 - no secret is made
        chosen = map(operator.itemgetter(slice(first, None, stride)), chosen)
    kinds: list[type] = []
    in_one_call(functools.partial(kinds.extend, map(type, itertools.chain.from_iterable(chosen))))
    return kinds


class _PauseTimer:
    """Longest time between two pauses, in CPU time: time that other processes take is not counted."""

    def __init__(self, began: float) -> None:
        self._began = time.thread_time()
        self.longest = self._began - began

    def lap(self) -> None:
        self.longest = max(self.longest, time.thread_time() - self._began)

    def resume(self) -> None:
        self._began = time.thread_time()


def _slices(kinds: list[type], pause: Callable[[float], object], timer: _PauseTimer) -> Iterator[list[type]]:
    while kinds:
        part = kinds[-SLICE:]
        del kinds[-SLICE:]
        yield part
        del part
        timer.lap()
        if kinds:
            pause(PAUSE_SECONDS)
        timer.resume()


def _count_by_type(slices: Iterator[list[type]]) -> dict[str, int]:
    by_type: Counter[type] = Counter()
    for part in slices:
        by_type.update(part)
    return _named(by_type.items())


def _count_by_identity(slices: Iterator[list[type]]) -> dict[str, int]:
    """Count types by identity, for programs whose classes have a hash of their own. Costs twice as much."""
    kinds: dict[int, type] = {}  # holds each class, so that no identity is given out twice
    numbers: Counter[int] = Counter()
    for part in slices:
        ids = list(map(id, part))
        kinds.update(zip(ids, part, strict=True))
        numbers.update(ids)
    return _named((kinds[identity], number) for identity, number in numbers.items())


def _named(numbers: Iterable[tuple[type, int]]) -> dict[str, int]:
    return summed((type_name(kind), number) for kind, number in numbers)


def summed(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Classes of one name, such as those made anew by each call of a function, count together; ours do not count."""
    counts: dict[str, int] = {}
    for name, number in numbers:
        if name.partition(".")[0] not in OURS:
            counts[name] = counts.get(name, 0) + number
    return counts


def _metaclasses_with_own_hash() -> bool:
    """Return whether a class as a key would run code of the program: a metaclass that defines hash or equality."""
    metaclasses = [type]
    for metaclass in metaclasses:
        if any(
            name in _namespace_of(base)
            for base in _mro_of(metaclass)
            if base is not type and base is not object and not _is_trusted(base)
            for name in ("__hash__", "__eq__")
        ):
            return True
        metaclasses.extend(type.__subclasses__(metaclass))
    return False


def _is_trusted(metaclass: type) -> bool:
    module = _namespace_of(metaclass).get("__module__")
    return type(module) is str and module in _TRUSTED


def type_name(kind: type) -> str:
    """``module.QualName`` of a class, by its slots: properties of a metaclass are not asked."""
    try:
        module = _module_of(kind)
    except Exception:  # noqa: BLE001 - no module raises AttributeError, a broken descriptor in its place anything
        module = None
    # Exact strings only: formatting a subclass of str runs the program's code.
    parts = [part if type(part) is str else "?" for part in (module, _qualname_of(kind))]
    return printable(".".join(parts))


def printable(name: str) -> str:
    """The name of a class, which may hold anything, as text that can be written anywhere."""
    return clean(name, _NAME_LENGTH)
