"""Breadth-first walk of all reachable containers, starting at modules, tasks and frames."""

from __future__ import annotations

import contextvars
import itertools
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

from memprof_middleware.heap import roots, stacks, tasks
from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.buffers import Buffers
from memprof_middleware.heap.entries import LEAVES, is_class, is_large_text
from memprof_middleware.heap.expand import Expander
from memprof_middleware.heap.level import Level
from memprof_middleware.heap.seen import Seen
from memprof_middleware.heap.tally import SUMMED, Entry, Tally
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.turns import Turn

PAUSE_SECONDS = 0.0005
_DEEPEST = 20
_LONGEST_PATH = 300
_STEP = 256  # references followed between two looks at the clock
# A namespace is taken in pieces of so many names, 1-2 ms each; of the names of a very large one, which somebody has
# made for data, so many come in turn.
_PIECE, _NAMES = 2_000, 10_000
# What a walk keeps for each object that waits, and for each path that it has measured. Measured.
_WAITING_BYTES, _FOUND_BYTES = 140, 700
_TASKS = 256
ENTRY = "[*]"  # a child that goes by its container's path
_LEAF, _FUNCTION, _CLASS, _OTHER = range(4)
# A library's own global is further away than what the application keeps, even inside of an object.
_DISTANCE = {roots.APPLICATION: 0, roots.LIBRARY: 2, roots.STANDARD: 3}
_LOOP, _TASK, _FRAME = 1, 4, 5
_HALF = 0.5


@valueclass(frozen=True, slots=True)
class Budget:
    """Limits of one walk in objects and CPU time; the first that is reached ends it.

    Attributes:
        objects: to look at.
        seconds: of processor time.
        size: bytes of memory, by an estimate.
    """

    objects: int
    seconds: float
    size: int


class Walk:
    """One walk: ``steps()`` does it piece by piece, ``tally`` has the lengths, ``buffers`` what has bytes instead.

    Args:
        budget: what it may use.
        least: shorter containers are of no interest.
        turn: what it looks at.
        deepest: the greatest distance from the roots that it goes to.
        summed, turnover: as for the tally.

    Attributes:
        used: the share of the budget that it has used; 1 or more if that ended it.
        before: the same when it came to the distance at which there are parts.
        parted: it has left out what has its turn in another walk.
        left_out: it has left out something else: what is too deep, or a root.
        easily: the greatest distance that it began with half of the budget left.
    """

    def __init__(
        self,
        budget: Budget,
        least: int,
        turn: Turn,
        *,
        deepest: int = _DEEPEST,
        summed: int = SUMMED,
        turnover: Turnover | None = None,
    ) -> None:
        self.visited = self._work = self.easily = 0
        self.used = self.before = 0.0
        self.parted = turn.parts > 1
        self.left_out = False
        self._budget, self.least, self._turn, self._deepest = budget, least, turn, deepest
        self._began = time.thread_time()
        self.seen = Seen()
        self.spaces: set[int] = set()
        self.attributes = Attributes()
        self.tally = Tally(least, self.attributes, summed, turnover)
        self.buffers = Buffers()
        # What begins at the distance of the parts or beyond it is parted, and what comes to that distance by the walk.
        parted = turn if turn.parts > 1 else None
        self._pending = [Level(parted if depth >= turn.depth else None) for depth in range(deepest + 2)]
        self._pieces: Iterator[None] = iter(())
        self.next = self._pending[0]
        self._expander = Expander(self)
        # By the type's address, since a metaclass may have a hash of its own.
        self._expanders: dict[int, Callable[[Entry], None]] = {}
        self._roles: dict[int, int] = dict.fromkeys(LEAVES, _LEAF)
        self._types: list[type] = []  # of these addresses; else a class made meanwhile could get one of them

    def clear(self) -> None:
        """Drop all objects that are still to be visited."""
        self._pending.clear()
        self.next = Level()
        self._expanders.clear()
        self._types.clear()
        self._pieces = iter(())
        del self._expander  # which refers to this walk

    def steps(self) -> Iterator[None]:
        """Visit the objects, nearest first; yields after every few."""
        self._start()
        for level in self._pending[self._turn.depth + 1 :]:
            level.parted = None
        for depth in range(self._deepest + 1):
            if self._check_budget() < _HALF:
                self.easily = depth
            if depth == self._turn.depth:
                self.before = self.used
            self.next = self._pending[depth + 1]
            for _ in self._through(self._pending[depth]):
                yield
                if self._check_budget() >= 1:
                    return
        self.left_out |= bool(self._pending[-1].objects)

    def _through(self, level: Level) -> Iterator[None]:
        level.turn()
        while level.objects:
            entry = level.pop()
            self.visited += 1
            self._expand(entry)
            del entry  # held no longer than needed: what the program drops now, it drops itself
            yield from self._pieces
            if self._work >= _STEP or self.visited >= self._budget.objects:
                self._work = 0
                yield

    def _check_budget(self) -> float:
        waiting = sum([len(level.objects) for level in self._pending])
        size = self.seen.nbytes + _WAITING_BYTES * waiting + _FOUND_BYTES * len(self.tally.found)
        seconds = time.thread_time() - self._began
        budget = self._budget
        self.used = max(self.visited / budget.objects, seconds / budget.seconds, size / budget.size)
        return self.used

    def _start(self) -> None:
        for own in (self, self.__dict__, self._pending, self.tally):
            self.seen.add(id(own))
        for name, space, rank in roots.modules():
            self.root(name, space, rank)
        self.what_runs()

    def what_runs(self) -> None:
        """Begin at the tasks and the running functions too, and at what these handle."""
        pending, frames = tasks.pending(), stacks.running_frames()
        for loop in tasks.loops(pending):
            self._into(self._pending[_LOOP], loop, "event loop")
        for task in pending[-_TASKS:]:
            self._into(self._pending[_TASK], task, tasks.task_name(task))
        for frame, variables in stacks.variables_of(frames):
            for name, value in variables:
                path = f"{stacks.frame_name(frame)}.{name}"
                self._into(self._pending[_FRAME], value, path)
        for name, error in stacks.handled():
            self._into(self._pending[_FRAME], error, name)
        self.left_out |= len(pending) > _TASKS or len(frames) >= stacks.MOST_FRAMES
        # To list the greenlets that wait takes a search through all objects, too long for each walk.
        self.left_out |= "greenlet" in sys.modules
        context = contextvars.copy_context()
        self._into(self._pending[_LOOP], context, "context")

    def root(self, name: str, space: dict[str, Any], rank: int) -> None:
        """Begin at the namespace of a module too."""
        self.seen.add(id(space))
        self.spaces.add(id(space))
        self._pending[_DISTANCE[rank]].push(space, name, 1.0, None, rank)

    def _expand(self, entry: Entry) -> None:
        kind = type(entry[0])
        self._work += 4
        expander = self._expanders.get(id(kind))
        if expander is None:
            self._work += 32
            expander = self._expanders[id(kind)] = self._expander.for_type(kind)
            self._types.append(kind)
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
            self._types.append(kind)
        if role == _LEAF and label and is_large_text(child):
            self._text(child, path if label == ENTRY else f"{path}.{label}", entry[2])
        if role == _LEAF or id(child) in self.seen:
            return
        if len(path) > _LONGEST_PATH:  # no longer: all that follows has one name
            path, label = path if path.endswith("…") else f"{path}…", ENTRY
        self.seen.add(id(child))
        path, label = _name_of(child, role, path, label)
        self.next.push(child, path, entry[2], bound, entry[4], label)

    def namespace(self, space: dict[Any, Any], entry: Entry) -> None:
        """The names and values of a namespace, of a large one piece by piece in the next steps."""
        if len(space) <= _PIECE:
            self.space(list(space.items()), entry)
        else:
            self._pieces = self._in_pieces(space, entry)

    def _in_pieces(self, space: dict[Any, Any], entry: Entry) -> Iterator[None]:
        length, parts = len(space), -(-len(space) // _NAMES)
        if parts > 1:
            self.parted = True
            self.tally.add((space, f"{entry[1]}.__dict__", *entry[2:]), "dict", length)
        piece = max(_PIECE, length // 64)  # each begins at the head of the dict: not too many
        for first in range(0, length, piece):
            items = list(itertools.islice(space.items(), first, first + piece))
            self.space([item for item in items if self._turn.takes(item[1], parts)], entry)
            del items
            yield

    def space(self, items: list[tuple[Any, Any]], entry: Entry) -> None:
        """The names and values of a namespace."""
        path, roles, seen = entry[1], self._roles, self.seen
        self._work += len(items)
        application = entry[4] == roots.APPLICATION
        for name, value in items:
            role = roles.get(id(type(value)))
            if role == _LEAF and not is_large_text(value):
                continue
            if id(value) in seen or type(name) is not str:
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
            elif type(child) is bytearray and is_large_text(child):  # other texts do not grow where they are
                self._text(child, path, weight)

    def _text(self, text: Any, path: str, weight: float) -> None:
        if id(text) not in self.seen:
            self.seen.add(id(text))
            self.buffers.add(text, path, weight)


def _name_of(child: Any, role: int, path: str, label: str) -> tuple[str, str]:
    """The path of a child, or its parent's and its name there; classes and functions have their own names."""
    if role == _FUNCTION and not roots.is_nested(child):
        return roots.function_name(child), ""
    if role == _CLASS and not roots.is_made_at_run_time(child):
        return type_name(child), ""
    if label == ENTRY or (role == _FUNCTION and not label):
        return path, ""
    return path, label or f"<{_word_for(child)}>"


def _word_for(child: Any) -> str:
    return stacks.coroutine_name(child) or type_name(type(child)).rpartition(".")[2]


def _role(kind: type) -> int:
    if kind is types.FunctionType:
        return _FUNCTION
    return _CLASS if is_class(kind) else _OTHER
