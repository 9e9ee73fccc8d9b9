"""The walk from the roots through everything that the program keeps, nearest first."""

from __future__ import annotations

import contextvars
import gc
import types
from collections.abc import Callable, Iterator
from typing import Any

from memprof_middleware.probes import entries, roots
from memprof_middleware.probes.attributes import Attributes
from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.entries import LEAVES, LRU, is_class, length_of, mro_of, namespace_of
from memprof_middleware.probes.tally import Tally

PAUSE_SECONDS = 0.0005
_DEEPEST = 20
_LONGEST_PATH = 300
# Of a long container so many of the newest entries and so many at even distances are looked into.
_ENDS = 32
_NESTED = 5  # containers in containers without a name between them
_CHAIN = 100_000
_STEP = 64  # objects between two looks at the clock
# A library's own global is further away than what the application keeps, even inside of an object.
_DISTANCE = {roots.APPLICATION: 0, roots.LIBRARY: 2, roots.STANDARD: 3}
_LOOP, _TASK, _FRAME = 1, 4, 5

# object, its path, containers that it stands for, bound, class of the root's module
Entry = tuple[Any, str, float, int | None, int]


class Walk:
    """One walk; ``steps()`` does it piece by piece, ``tally`` is what it measured.

    Args:
        most: objects to look at, at most.
        least: shorter containers are of no interest.
    """

    def __init__(self, most: int, least: int) -> None:
        self.visited = 0
        self.complete = True
        self._most, self._least = most, least
        self._seen: set[int] = set()
        self._spaces: set[int] = set()
        self._attributes = Attributes()
        self.tally = Tally(least, self._attributes)
        self._pending: list[list[Entry]] = [[] for _ in range(_DEEPEST + 2)]
        self._next: list[Entry] = []
        self._expanders: dict[int, Callable[[Entry], None]] = {}

    def clear(self) -> None:
        """Let go of everything that is still to be looked at."""
        self._pending.clear()
        self._next.clear()
        self._expanders.clear()

    def steps(self) -> Iterator[None]:
        """Look at the objects, nearest first; comes back after every few."""
        self._start()
        for depth in range(_DEEPEST + 1):
            level = self._pending[depth]
            level.reverse()
            self._next = self._pending[depth + 1]
            while level:
                if self.visited >= self._most:
                    self.complete = False
                    return
                entry = level.pop()
                self.visited += 1
                self._expand(entry)
                del entry  # held no longer than needed: what the program drops now, it drops itself
                if self.visited % _STEP == 0:
                    yield
        self.complete = not self._pending[_DEEPEST + 1]

    def _start(self) -> None:
        self._seen.update((id(self), id(self.__dict__), id(self._pending), id(self.tally)))
        for name, space, rank in roots.modules():
            self._seen.add(id(space))
            self._spaces.add(id(space))
            self._pending[_DISTANCE[rank]].append((space, name, 1.0, None, rank))
        tasks = roots.tasks()
        for loop in roots.loops(tasks):
            self._into(self._pending[_LOOP], loop, "event loop", 1.0, roots.LIBRARY)
        for task in tasks[-_CHAIN:]:
            self._into(self._pending[_TASK], task, roots.task_name(task), 1.0, roots.LIBRARY)
        for frame in roots.running_frames():
            if roots.LIVE_LOCALS or frame.f_globals.get("__name__") == "__main__":
                for name, value in roots.locals_of(frame):
                    path = f"{roots.frame_name(frame)}.{name}"
                    self._into(self._pending[_FRAME], value, path, 1.0, roots.LIBRARY)
        context = contextvars.copy_context()
        self._into(self._pending[_LOOP], context, "context", 1.0, roots.LIBRARY)

    def _expand(self, entry: Entry) -> None:
        kind = type(entry[0])
        expander = self._expanders.get(id(kind))
        if expander is None:
            expander = self._expanders[id(kind)] = self._expander(kind)
        expander(entry)

    def _expander(self, kind: type) -> Callable[[Entry], None]:
        exact = {
            id(dict): self._dict,
            id(types.FunctionType): self._function,
            id(types.TracebackType): self._traceback,
            id(contextvars.Context): self._context,
        }.get(id(kind))
        if exact is not None:
            return exact
        if is_class(kind):
            return self._class
        module = type_name(kind).partition(".")[0]
        if module in roots.OURS:
            return lambda _: None
        base = entries.container_base(kind)
        if base is not None:
            plain = kind is base
            return lambda entry: self._container(entry, base, plain=plain)
        if any(type_name(base) == "_thread._local" for base in mro_of(kind)):
            return self._local
        return self._instance

    # What refers to what, by type. Each adds the children to the next level.

    def _into(
        self, level: list[Entry], child: Any, path: str, weight: float, rank: int, bound: int | None = None
    ) -> None:
        if id(type(child)) not in LEAVES and id(child) not in self._seen:
            self._seen.add(id(child))
            level.append((child, path, weight, bound, rank))

    def _add(self, child: Any, path: str, label: str, entry: Entry, bound: int | None = None) -> None:
        """A child under a name; classes and functions go by their own names."""
        kind = type(child)
        if id(kind) in LEAVES or id(child) in self._seen or len(path) > _LONGEST_PATH:
            return
        if kind is types.FunctionType and "<locals>" not in child.__qualname__:
            name = f"{child.__module__}.{child.__qualname__}"
        elif is_class(kind):
            name = type_name(child)
        elif label:
            name = f"{path}.{label}"
        else:
            name = f"{path}.<{type_name(kind).rpartition('.')[2]}>"
        self._seen.add(id(child))
        self._next.append((child, name, entry[2], bound, entry[4]))

    def _dict(self, entry: Entry) -> None:
        if id(entry[0]) in self._spaces:
            self._space(list(entry[0].items()), entry)
        else:
            self._container(entry, dict, plain=True)

    def _space(self, items: list[tuple[Any, Any]], entry: Entry) -> None:
        path = entry[1]
        for name, value in items:
            if type(name) is str and not (name.startswith("__") and name.endswith("__")):
                self._add(value, path, name if name.isidentifier() else "", entry)

    def _class(self, entry: Entry) -> None:
        if not roots.is_ours(entry[1]):
            self._space(list(namespace_of(entry[0]).items()), entry)

    def _function(self, entry: Entry) -> None:
        function, path = entry[0], entry[1]
        if roots.is_ours(path):
            return
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
            for value in gc.get_referents(cell):
                self._add(value, f"{path}.<closure>", name, entry)
        defaults = function.__defaults__ or ()
        first = code.co_argcount - len(defaults)
        for name, value in zip(code.co_varnames[first:], defaults, strict=False):
            self._add(value, f"{path}.<default>", name, entry)
        for name, value in list((function.__kwdefaults__ or {}).items()):
            self._add(value, f"{path}.<default>", name, entry)
        known = {id(function.__globals__), id(function.__builtins__), id(function.__kwdefaults__)}
        for child in gc.get_referents(function):
            if type(child) is dict and id(child) not in known:
                self._space(list(child.items()), entry)  # its own attributes, or its annotations

    def _traceback(self, entry: Entry) -> None:
        at: types.TracebackType | None = entry[0]
        length = 0
        while at is not None and length < _CHAIN:
            length += 1
            self._seen.add(id(at))
            if length <= _ENDS:
                self._add(at.tb_frame, entry[1], "", entry)
            at = at.tb_next
        self.tally.add(entry, "traceback", length)

    def _container(self, entry: Entry, base: type, *, plain: bool) -> None:
        container, path, weight, _, rank = entry
        length = length_of(container, base)
        self.tally.measure(entry, base, length)
        if length and base is not bytearray:
            if length <= 2 * _ENDS and base is not LRU:
                part = entries.everything(container, base)
            else:
                part = [*entries.newest(container, base, _ENDS), *entries.spread(container, base, _ENDS)]
            if base is dict:
                part.extend(entries.newest_keys(container, _ENDS))
            starred = f"{path}[*]"
            if not starred.endswith("[*]" * _NESTED):
                self._entries(part, starred, weight * max(1.0, length / max(1, len(part))), rank)
        if not plain:
            for name, child in self._attributes.of_container(container):
                self._add(child, path, name, entry)

    def _entries(self, part: list[Any], path: str, weight: float, rank: int) -> None:
        seen, into = self._seen, self._next
        for child in part:
            kind = type(child)
            if id(kind) not in LEAVES and id(child) not in seen:
                if kind is types.FunctionType or is_class(kind):
                    self._add(child, path, "", (child, path, weight, None, rank))
                else:
                    seen.add(id(child))
                    into.append((child, path, weight, None, rank))

    def _context(self, entry: Entry) -> None:
        for variable, value in list(entry[0].items()):
            self._add(value, f"contextvar {variable.name}", "", entry)

    def _local(self, entry: Entry) -> None:
        """A threading.local: the attributes of all threads."""
        for child in gc.get_referents(entry[0]):
            if type(child) is dict:
                for space in list(child.values()):
                    if type(space) is dict:
                        self._space(list(space.items()), entry)

    def _instance(self, entry: Entry) -> None:
        obj, path = entry[0], entry[1]
        kind = type(obj)
        for label, child in self._attributes.named(obj, entries.referents(obj)):
            if label and type(child) is kind and path.endswith(f".{label}"):
                self._chain(entry, label)
            else:
                bound = None
                base = entries.container_base(type(child))
                if base is not None and base is not LRU and (length := length_of(child, base)) >= self._least:
                    bound = self._attributes.bound(obj, length)
                self._add(child, path, label, entry, bound)

    def _chain(self, entry: Entry, label: str) -> None:
        """Objects of one class linked by one attribute: a container as long as the chain."""
        obj, path, weight, _, rank = entry
        kind, length = type(obj), 1
        at = self._attributes.read(obj, label)
        while type(at) is kind and id(at) not in self._seen and length < _CHAIN:
            length += 1
            if length <= _ENDS:
                self._next.append((at, path, weight, None, rank))
            self._seen.add(id(at))
            at = self._attributes.read(at, label)
        if length > 1:
            self.tally.add(entry, type_name(kind), length)
