"""The walk from the roots through everything that the program keeps, nearest first."""

from __future__ import annotations

import contextvars
import types
from collections.abc import Callable, Iterator
from typing import Any

from memprof_middleware.probes import roots
from memprof_middleware.probes.attributes import Attributes
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.entries import LEAVES, is_class
from memprof_middleware.probes.expand import Expander
from memprof_middleware.probes.tally import Entry, Tally

PAUSE_SECONDS = 0.0005
_DEEPEST = 20
_LONGEST_PATH = 300
_STEP = 256  # references followed between two looks at the clock
_TASKS = 256
ENTRY = "[*]"  # a child that goes by its container's path
_LEAF, _FUNCTION, _CLASS, _OTHER = range(4)
# A library's own global is further away than what the application keeps, even inside of an object.
_DISTANCE = {roots.APPLICATION: 0, roots.LIBRARY: 2, roots.STANDARD: 3}
_LOOP, _TASK, _FRAME = 1, 4, 5


class Level:
    """What is still to be looked at, at one distance.

    Lists side by side, not a list of tuples: a hundred thousand new tuples would make the collector run.
    """

    __slots__ = ("_bounds", "_paths", "_ranks", "_weights", "objects")

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self._paths: list[str] = []
        self._weights: list[float] = []
        self._bounds: list[int | None] = []
        self._ranks: list[int] = []

    def push(self, child: Any, path: str, weight: float, bound: int | None, rank: int) -> None:
        """Add one at the end."""
        self.objects.append(child)
        self._paths.append(path)
        self._weights.append(weight)
        self._bounds.append(bound)
        self._ranks.append(rank)

    def turn(self) -> None:
        """From now on the first comes first."""
        for part in (self.objects, self._paths, self._weights, self._bounds, self._ranks):
            part.reverse()

    def pop(self) -> Entry:
        """Take the last one."""
        return self.objects.pop(), self._paths.pop(), self._weights.pop(), self._bounds.pop(), self._ranks.pop()


class Walk:
    """One walk; ``steps()`` does it piece by piece, ``tally`` is what it measured.

    Args:
        most: objects to look at, at most.
        least: shorter containers are of no interest.
    """

    def __init__(self, most: int, least: int) -> None:
        self.visited = self._work = 0
        self.complete = True
        self._most, self.least = most, least
        self.seen: set[int] = set()
        self.spaces: set[int] = set()
        self.attributes = Attributes()
        self.tally = Tally(least, self.attributes)
        self._pending = [Level() for _ in range(_DEEPEST + 2)]
        self.next = self._pending[0]
        self._expander = Expander(self)
        self._expanders: dict[int, Callable[[Entry], None]] = {}
        self._roles: dict[int, int] = dict.fromkeys(LEAVES, _LEAF)

    def clear(self) -> None:
        """Let go of everything that is still to be looked at."""
        self._pending.clear()
        self.next = Level()
        self._expanders.clear()
        del self._expander  # which refers to this walk

    def steps(self) -> Iterator[None]:
        """Look at the objects, nearest first; comes back after every few."""
        self._start()
        for depth in range(_DEEPEST + 1):
            level = self._pending[depth]
            level.turn()
            self.next = self._pending[depth + 1]
            while level.objects:
                if self.visited >= self._most:
                    self.complete = False
                    return
                entry = level.pop()
                self.visited += 1
                self._expand(entry)
                del entry  # held no longer than needed: what the program drops now, it drops itself
                if self._work >= _STEP:
                    self._work = 0
                    yield

    def _start(self) -> None:
        self.seen.update((id(self), id(self.__dict__), id(self._pending), id(self.tally)))
        for name, space, rank in roots.modules():
            self.seen.add(id(space))
            self.spaces.add(id(space))
            self._pending[_DISTANCE[rank]].push(space, name, 1.0, None, rank)
        tasks = roots.tasks()
        for loop in roots.loops(tasks):
            self._into(self._pending[_LOOP], loop, "event loop")
        for task in tasks[-_TASKS:]:
            self._into(self._pending[_TASK], task, roots.task_name(task))
        for frame in roots.running_frames():
            if roots.LIVE_LOCALS or roots.is_application(frame):
                for name, value in roots.locals_of(frame):
                    path = f"{roots.frame_name(frame)}.{name}"
                    self._into(self._pending[_FRAME], value, path)
        context = contextvars.copy_context()
        self._into(self._pending[_LOOP], context, "context")

    def _expand(self, entry: Entry) -> None:
        kind = type(entry[0])
        self._work += 4
        expander = self._expanders.get(id(kind))
        if expander is None:
            self._work += 32
            expander = self._expanders[id(kind)] = self._expander.for_type(kind)
        expander(entry)

    def _into(self, level: Level, child: Any, path: str) -> None:
        if id(type(child)) not in LEAVES and id(child) not in self.seen:
            self.seen.add(id(child))
            level.push(child, path, 1.0, None, roots.LIBRARY)

    def add(self, child: Any, path: str, label: str, entry: Entry, bound: int | None = None) -> None:
        """A child under a name; classes and functions go by their own names."""
        kind = type(child)
        role = self._roles.get(id(kind))
        if role is None:
            role = self._roles[id(kind)] = _role(kind)
        if role == _LEAF or id(child) in self.seen or len(path) > _LONGEST_PATH:
            return
        name = path
        if role == _FUNCTION:
            if not roots.is_nested(child):
                name = roots.function_name(child)
            elif label and label != ENTRY:
                name = f"{path}.{label}"
        elif role == _CLASS and not roots.is_made_at_run_time(child):
            name = type_name(child)
        elif label == ENTRY:
            name = path
        elif label:
            name = f"{path}.{label}"
        else:
            name = f"{path}.<{roots.coroutine_name(child) or type_name(kind).rpartition('.')[2]}>"
        self.seen.add(id(child))
        self.next.push(child, name, entry[2], bound, entry[4])

    def space(self, items: list[tuple[Any, Any]], entry: Entry) -> None:
        """The names and values of a namespace."""
        path, roles, seen = entry[1], self._roles, self.seen
        self._work += len(items)
        application = entry[4] == roots.APPLICATION
        for name, value in items:
            role = roles.get(id(type(value)))
            if role == _LEAF or id(value) in seen or type(name) is not str:
                continue
            if role == _FUNCTION and not application and value.__closure__ is value.__defaults__ is None:
                continue  # most functions hold nothing; a default in a keyword is left to the application's own
            if not (name.startswith("__") and name.endswith("__")):
                self.add(value, path, name if name.isidentifier() else "", entry)

    def entries(self, part: list[Any], path: str, weight: float, rank: int) -> None:
        """Entries of a container, which have no names."""
        seen, roles, into = self.seen, self._roles, self.next
        self._work += len(part)
        for child in part:
            role = roles.get(id(type(child)))
            if role != _LEAF and id(child) not in seen:
                if role == _OTHER:
                    seen.add(id(child))
                    into.push(child, path, weight, None, rank)
                else:
                    self.add(child, path, ENTRY, (child, path, weight, None, rank))


def _role(kind: type) -> int:
    if kind is types.FunctionType:
        return _FUNCTION
    return _CLASS if is_class(kind) else _OTHER
