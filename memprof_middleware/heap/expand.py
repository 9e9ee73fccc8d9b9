"""References of the objects on a walk, with their names, by type."""

from __future__ import annotations

import contextvars
import gc
import types
from collections.abc import Callable
from typing import TYPE_CHECKING

from memprof_middleware.heap import entries, roots, tasks
from memprof_middleware.heap.buffers import has_buffer
from memprof_middleware.heap.entries import LRU, is_class, length_of, mro_of, namespace_of
from memprof_middleware.heap.tally import Entry
from memprof_middleware.probes.census import type_name

if TYPE_CHECKING:
    from memprof_middleware.heap.walk import Walk

# Of a long container so many of the newest entries and so many at even distances are looked into.
_ENDS = 32
_NESTED = 5  # containers in containers without a name between them
_CHAIN = 50_000
# What refers to so much is a container, though written in C and none of Python's.
_OPAQUE = 64


class Expander:
    """Add an object's references to a walk.

    Args:
        walk: the walk.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def for_type(self, kind: type) -> Callable[[Entry], None]:
        """Return the function that adds the children of a type's instances."""
        exact = {
            id(dict): self._dict,
            id(types.FunctionType): self._function,
            id(types.TracebackType): self._traceback,
            id(contextvars.Context): self._context,
            id(property): self._wrapper,
            id(classmethod): self._wrapper,
            id(staticmethod): self._wrapper,
            id(types.MethodType): self._wrapper,
        }.get(id(kind))
        if exact is not None:
            return exact
        if is_class(kind):
            return self._class
        name = type_name(kind)
        if roots.is_core_name(name) or name.startswith("typing."):
            return lambda _: None
        base = entries.container_base(kind)
        if base is not None:
            plain = kind is base
            return lambda entry: self._container(entry, base, plain=plain)
        if any(type_name(base) == "_thread._local" for base in mro_of(kind)):
            return self._local
        if tasks.is_loop(kind):
            return self._loop
        return self._buffer if has_buffer(kind) else self._instance

    def _loop(self, entry: Entry) -> None:
        tasks.remember(entry[0])
        self._instance(entry)

    def _dict(self, entry: Entry) -> None:
        if id(entry[0]) in self._walk.spaces:
            self._walk.namespace(entry[0], entry)
        else:
            self._container(entry, dict, plain=True)

    def _class(self, entry: Entry) -> None:
        if not roots.is_ours(entry[1]):
            self._walk.space(list(namespace_of(entry[0]).items()), entry)

    def _function(self, entry: Entry) -> None:
        function, path = entry[0], entry[1]
        if roots.is_ours(path):
            return
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
            for value in gc.get_referents(cell):
                if type(value) is types.FunctionType and value.__code__ is code:
                    self._wrappers(value, f"{path}.<closure>.{name}", entry)
                else:
                    self._walk.add(value, f"{path}.<closure>", name, entry)
        defaults = function.__defaults__ or ()
        first = code.co_argcount - len(defaults)
        for name, value in zip(code.co_varnames[first:], defaults, strict=False):
            self._walk.add(value, f"{path}.<default>", name, entry)
        for name, value in list((function.__kwdefaults__ or {}).items()):
            self._walk.add(value, f"{path}.<default>", name, entry)
        known = {id(function.__globals__), id(function.__builtins__), id(function.__kwdefaults__)}
        for child in gc.get_referents(function):
            if type(child) is dict and id(child) not in known:
                self._walk.space(list(child.items()), entry)  # its own attributes, or its annotations

    def _wrapper(self, entry: Entry) -> None:
        """A property or a method: its functions, and of a bound method the object."""
        for child in gc.get_referents(entry[0]):
            if type(child) is not dict:
                self._walk.add(child, entry[1], "" if type(child) is types.FunctionType else "__self__", entry)

    def _wrappers(self, function: types.FunctionType, path: str, entry: Entry) -> None:
        """A function in a function in a function of one kind: something is wrapped again and again."""
        code, length = function.__code__, 1
        inner = [function]
        while inner and length < _CHAIN:
            self._walk.seen.add(id(inner[0]))
            values = [value for cell in inner[0].__closure__ or () for value in gc.get_referents(cell)]
            inner = [one for one in values if type(one) is types.FunctionType and one.__code__ is code]
            inner = [one for one in inner if id(one) not in self._walk.seen]
            length += len(inner[:1])
        self._walk.tally.add((function, path, entry[2], None, entry[4]), "function", length)

    def _traceback(self, entry: Entry) -> None:
        at: types.TracebackType | None = entry[0]
        length = 0
        while at is not None and length < _CHAIN:
            length += 1
            self._walk.seen.add(id(at))
            if length <= _ENDS:
                self._walk.add(at.tb_frame, entry[1], "tb_frame", entry)
            at = at.tb_next
        self._walk.tally.add(entry, "traceback", length)

    def _container(self, entry: Entry, base: type, *, plain: bool) -> None:
        container, path, weight, _, rank = entry
        length = length_of(container, base)
        self._walk.tally.measure(entry, base, length)
        if length:
            if length <= 2 * _ENDS and base is not LRU:
                part = entries.everything(container, base)
            else:
                part = entries.newest(container, base, _ENDS)
                part.extend(entries.spread(container, base, _ENDS, but_last=_ENDS))
            weight *= max(1.0, length / max(1, len(part)))
            if base is dict:
                part.extend(entries.newest_keys(container, _ENDS))
            starred = f"{path}[*]"
            if starred.endswith("[*]" * _NESTED):
                self._walk.left_out = True
            else:
                self._walk.entries(part, starred, weight, rank)
        if not plain:
            for name, child in self._walk.attributes.of_container(container):
                self._walk.add(child, path, name, entry)

    def _context(self, entry: Entry) -> None:
        for variable, value in list(entry[0].items()):
            self._walk.add(value, roots.variable_name(variable), "[*]", entry)

    def _local(self, entry: Entry) -> None:
        """A threading.local: the attributes of all threads."""
        for child in gc.get_referents(entry[0]):
            if type(child) is dict:
                for space in list(child.values()):
                    if type(space) is dict:
                        self._walk.space(list(space.items()), entry)

    def _buffer(self, entry: Entry) -> None:
        """An object of C code with a buffer: an array, a file in memory."""
        self._walk.buffers.add(*entry[:3])
        self._instance(entry)

    def _instance(self, entry: Entry) -> None:
        obj, path = entry[0], entry[1]
        kind = type(obj)
        children = entries.referents(obj, texts=True)
        if len(children) >= _OPAQUE:
            self._walk.tally.add(entry, type_name(kind), len(children))
        attributes, alone = self._walk.attributes, "[*]" not in path
        for label, child in attributes.named(obj, children, thorough=alone):
            # What an instance shares with its class goes by the class: any module may have an instance.
            home = attributes.class_with(obj, label, child) if alone and label else None
            if home is not None and not roots.is_made_at_run_time(home):
                self._walk.add(child, type_name(home), label, entry)
            elif label and type(child) is kind and path.endswith(f".{label}"):
                self._chain(entry, label)
            else:
                bound = None
                base = entries.container_base(type(child))
                if base is not None and base is not LRU and (length := length_of(child, base)) >= self._walk.least:
                    bound = attributes.bound(obj, length)
                self._walk.add(child, path, label, entry, bound)

    def _chain(self, entry: Entry, label: str) -> None:
        """Objects of one class linked by one attribute: a container as long as the chain."""
        obj, path, weight, _, rank = entry
        kind, length = type(obj), 1
        at = self._walk.attributes.read(obj, label)
        while type(at) is kind and id(at) not in self._walk.seen and length < _CHAIN:
            length += 1
            if length <= _ENDS:
                self._walk.next.push(at, path, weight, None, rank)
            self._walk.seen.add(id(at))
            at = self._walk.attributes.read(at, label)
        if length > 1:
            self._walk.tally.add(entry, type_name(kind), length)
