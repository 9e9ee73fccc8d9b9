"""Search from objects to the roots that hold them, one level of referrers at a time."""

from __future__ import annotations

import operator
import time
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

from memprof_middleware.heap import entries, stacks
from memprof_middleware.heap.edges import Edges, Step, children, with_label
from memprof_middleware.heap.referrers import WINDOW, greenlet_frames, instances, referrers

PAUSE_SECONDS = 0.001
# On a heap of millions of objects each level is a stall of 50 ms and more: only what is near is found there.
_LEVELS, _FEW_LEVELS, _BIG = 40, 6, 2_000_000
_REFERRERS = 5_000
# A search for the referrers of 48 objects takes twice as long as for one; on small heaps it may be for more.
_WIDTH = 48_000_000
# So many objects in a row of one type are a linked chain, which is followed in memory, not by a search for each link.
_CHAIN = 3
_LINKS = 300_000
_LINK = {
    id(types.TracebackType): operator.attrgetter("tb_next"),
    id(types.FrameType): operator.attrgetter("f_back"),
}
_BETWEEN = frozenset((id(dict), id(tuple), id(list), id(types.CellType)))
# After a task or a context was met, something nearer to the program is looked for a little longer.
_AFTER_SOFT = 4


class _Above:
    """What refers to an object and is no root: of each type no more than may be followed, and how many there are."""

    __slots__ = ("counts", "found")

    def __init__(self) -> None:
        self.found: list[tuple[Any, Step]] = []
        self.counts: Counter[int] = Counter()

    def add(self, parent: Any, step: Step, most: int) -> None:
        kind = id(type(parent))
        self.counts[kind] += 1
        if self.counts[kind] <= most:
            self.found.append((parent, step))


class Climb:
    """One search for the roots of several objects at once.

    Args:
        deadline: processor time of this thread at which to give up.
        pause: called between levels with the seconds to wait.
        heap: how many objects there are.
    """

    def __init__(self, deadline: float, pause: Callable[[float], object], heap: int) -> None:
        self._deadline, self._pause = deadline, pause
        self._most = max(16, min(512, _WIDTH // max(1, heap)))
        self._levels = _LEVELS if heap < _BIG else _FEW_LEVELS
        self._edges = Edges()
        # The only references to objects of the program, given up level by level.
        self._level: dict[int, Any] = {}
        self._reach: dict[int, dict[int, Step]] = {}
        self._roots: dict[int, str] = {}
        self._soft: dict[int, tuple[int, str]] = {}
        self._variables: dict[int, str] = {}  # paths from suspended functions: they serve where nothing is above
        self._open: set[int] = set()
        self._links: dict[int, dict[int, Any]] = {}
        self._cut: set[int] = set()  # of these not everything was looked at

    def start(self, objects: list[Any]) -> None:
        """Set the objects at which the search begins."""
        self._open = set(range(len(objects)))
        for number, one in enumerate(objects):
            self._level[id(one)] = one
            step = self._reach.setdefault(id(one), {})[number] = Step((), kind=id(type(one)))
            if (path := self._edges.soft_root(one, step)) is not None:
                self._soft[number] = 0, path

    def answer(self, number: int) -> str | None:
        """Return the path to an object; empty if not all was looked at, ``None`` if nothing was found to hold it."""
        if number in self._roots:
            return self._roots[number]
        if number in self._soft:
            return self._soft[number][1]
        if number in self._open or number in self._cut:
            return ""
        return self._variables.get(number)

    def run(self) -> None:
        """Climb until all have a root, nothing refers to them, or the time is over."""
        last = 0.0
        for depth in range(self._levels):
            began = time.thread_time()
            if not self._level or began + last > self._deadline:
                break
            self._climb(depth)
            last = time.thread_time() - began
            self._pause(PAUSE_SECONDS)
        self._links.clear()
        given_up = {number for key in self._level for number in self._reach[key]} & self._open
        self._level.clear()
        if self._open - given_up - self._soft.keys():
            self._read_frames()
        self._open = given_up

    def _climb(self, depth: int) -> None:
        """Search one level: find what refers to the objects of this one."""
        objects = list(self._level.values())
        parents, whole = referrers(objects)
        own = {id(self._level), id(objects), id(parents), *map(id, self._links.values())}
        del objects
        if not whole or len(parents) > _REFERRERS:
            self._cut_level()
            del parents[_REFERRERS:]
        above: dict[int, _Above] = {}
        best: dict[int, tuple[int, int, str]] = {}
        while parents:
            parent = parents.pop()
            if id(parent) not in own and not self._edges.is_noise(parent):
                self._sort(parent, best, above)
        self._roots.update((number, path) for number, (_, _, path) in best.items())
        self._open -= best.keys()
        self._level.clear()
        for number in self._open & above.keys():
            for parent, step in self._narrowed(number, above[number]):
                self._reach.setdefault(id(parent), {})[number] = step
                self._level[id(parent)] = parent
                if number not in self._soft and (path := self._edges.soft_root(parent, step)) is not None:
                    self._soft[number] = depth, path
                if number not in self._variables and (path := self._edges.of_suspended(parent, step)):
                    self._variables[number] = path
        self._open -= {number for number, (found, _) in self._soft.items() if depth - found >= _AFTER_SOFT}
        self._level = {key: one for key, one in self._level.items() if self._open & self._reach[key].keys()}
        self._jump()

    def _sort(self, parent: Any, best: dict[int, tuple[int, int, str]], above: dict[int, _Above]) -> None:
        """Put a referrer to the objects that it refers to, as a root or to be followed."""
        below = children(parent, self._level)
        if not below:  # it has given away since what it had
            self._cut_level()
        for child in below:
            for number, step in list(self._reach[id(child)].items()):
                if number in self._open and number not in self._reach.get(id(parent), {}):
                    self._follow(parent, child, number, self._edges.step(parent, child, step), best, above)

    def _cut_level(self) -> None:
        """Of the objects of this level not everything was looked at."""
        self._cut.update(number for key in self._level for number in self._reach[key])

    def _follow(
        self,
        parent: Any,
        child: Any,
        number: int,
        step: Step,
        best: dict[int, tuple[int, int, str]],
        above: dict[int, _Above],
    ) -> None:
        root = self._edges.root(parent, child, step)
        if root is None:
            above.setdefault(number, _Above()).add(parent, step, self._width)
        elif number not in best or root < best[number]:
            best[number] = root

    @property
    def _width(self) -> int:
        """How many referrers of an object may be followed."""
        return max(2, self._most // max(1, len(self._open)))

    def _narrowed(self, number: int, above: _Above) -> list[tuple[Any, Step]]:
        """Choose the referrers to follow: those of rare types, since thousands of one type are users of the object."""
        if above.counts.total() <= min(self._width, len(above.found)):
            return above.found
        self._cut.add(number)
        return sorted(above.found, key=lambda one: above.counts[id(type(one[0]))])[: self._width]

    def _jump(self) -> None:
        """Go to the far end of linked chains, which may have as many links as there were requests."""
        for key, one in list(self._level.items()):
            kind = type(one)
            least = 1 if kind is types.TracebackType else _CHAIN
            if entries.container_base(kind) is not None or all(s.run < least for s in self._reach[key].values()):
                continue
            if id(kind) not in self._links:
                self._links[id(kind)] = _links(id(kind))
            end = _far_end(key, self._links[id(kind)])
            if end is None:
                continue
            for number, step in list(self._reach[key].items()):
                label = step.labels[0].rstrip("…") if step.labels and kind is not types.TracebackType else ""
                labels = with_label(label, with_label(label, step.labels))
                self._reach.setdefault(id(end), {}).setdefault(number, Step(labels, key, kind=id(kind)))
            self._level[id(end)] = end
            del self._level[key]

    def _read_frames(self) -> None:
        """Search the variables of running functions, and what they handle, which the collector does not report."""
        for frame, variables in stacks.variables_of([*stacks.running_frames(own=True), *greenlet_frames()]):
            name = stacks.frame_name(frame)
            for variable, value in variables:
                self._found_at(value, f"{name}.{variable}")
            for place, space in stacks.namespaces_of(frame):
                self._found_at(space, place, namespace=True)
        for name, error in stacks.handled():
            self._found_at(error, name)

    def _found_at(self, one: Any, name: str, *, namespace: bool = False) -> None:
        waiting = self._open - self._soft.keys() - self._roots.keys()
        for number, step in self._reach.get(id(one), {}).items():
            if number in waiting:
                label = f".{step.key}" if namespace and step.key else "".join(step.labels[:1])
                self._roots[number] = f"{name}{label}{''.join(step.labels[1:])}"


def _links(kind: int) -> dict[int, Any]:
    """By the identity of each instance of a type the instance that refers to it, itself or by what lies between."""
    found: dict[int, Any] = {}
    window, size = 0, 1
    while window * WINDOW < size and len(found) < _LINKS:
        ones, size = instances({kind}, window)
        for one in ones:
            found.update((id(child), one) for child in _same_below(one, kind, 2) if child is not one)
        window += 1
    return found


def _same_below(one: Any, kind: int, steps: int) -> list[Any]:
    """The instances of a type that an object refers to, by way of small dicts, tuples, lists and cells."""
    found = []
    # A frame has many variables, and each traceback has a frame: only what links them is asked for.
    only: Any = _LINK.get(kind)
    for child in entries.referents(one) if only is None else filter(None, [only(one)]):
        if id(type(child)) == kind:
            found.append(child)
        elif steps and id(type(child)) in _BETWEEN and (type(child) is types.CellType or len(child) <= 64):
            found.extend(_same_below(child, kind, steps - 1))
    return found


def _far_end(start: int, links: dict[int, Any]) -> Any:
    """Return the last in a chain of referrers; ``None`` if there is no other."""
    at, seen = links.get(start), {start}
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        above = links.get(id(at))
        if above is None or id(above) in seen:
            return at
        at = above
    return at
