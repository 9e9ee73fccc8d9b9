"""Names of references between objects, and ranks of root objects."""

from __future__ import annotations

import contextvars
import dataclasses
import gc
import itertools
import threading
import types
from typing import Any, TypeVar

from memprof_middleware.heap import entries, roots, stacks, tasks
from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.entries import is_class, mro_of
from memprof_middleware.probes.census import type_name

_T = TypeVar("_T")

_LABELS = 24
_NAMESPACE = 512
# What a context is made of inside.
_MAPS = frozenset(f"builtins.hamt{rest}" for rest in ("", "_bitmap_node", "_array_node", "_collision_node"))
_SUSPENDED = frozenset(map(id, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)))


@dataclasses.dataclass(slots=True)
class Step:
    """The path from one object to a sampled object below it.

    Attributes:
        labels: names of the references, the first from this object.
        child: identity of the object that the first of them leads to.
        key: name under which this object, if it is a dict, has the child.
        below: the same of the child.
        kind: identity of the type of the last instance on the way.
        run: so many of that type in a row.
    """

    labels: tuple[str, ...]
    child: int = 0
    key: str = ""
    below: str = ""
    kind: int = 0
    run: int = 1


def with_label(label: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels with one more in front; repeated names are folded."""
    if not label:
        return labels
    if labels and label != "[*]" and labels[0].rstrip("…") == label:
        return (f"{label}…", *labels[1:])
    return (label, *labels)[:_LABELS]


class Edges:
    """Names of the references that lead to a sampled object."""

    def __init__(self) -> None:
        self._attributes = Attributes()
        found = roots.modules()
        self.spaces = {id(space): (rank, order, name) for order, (name, space, rank) in enumerate(found)}
        self._ours = roots.our_spaces()
        self._registries = roots.registries()

    def is_noise(self, parent: Any) -> bool:
        """Return whether a referrer says nothing: what is ours, but for frames, which link those of the program."""
        kind = type(parent)
        if kind is types.ModuleType:
            return False
        if id(kind) in entries.LEAVES or id(parent) in self._ours or roots.is_core_name(type_name(kind)):
            return True
        if kind is types.FunctionType:
            return roots.is_core_name(roots.function_name(parent))
        if any(base is threading.Thread for base in mro_of(kind)):
            return roots.is_our_thread(parent)
        return is_class(kind) and roots.is_ours(type_name(parent))

    def step(self, parent: Any, child: Any, step: Step) -> Step:
        """The step from a referrer to an object, by the step from that object on."""
        kind = type(parent)
        if kind is dict:
            key = _key(parent, child)
            return Step(with_label("[*]", step.labels), id(child), key, step.key, step.kind, step.run)
        if type_name(kind) in _MAPS:
            inside = type_name(type(child)) in _MAPS
            return Step(step.labels, step.child if inside else id(child), kind=step.kind, run=step.run)
        run = step.run + 1 if step.kind == id(kind) else 1
        label, instead = self._label(parent, child, step)
        labels = step.labels[instead:]
        if kind is tuple or kind is list or kind is types.CellType:
            return Step(with_label(label, labels), id(child), kind=step.kind, run=step.run)
        return Step(with_label(label, labels), id(child), kind=id(kind), run=run)

    def _label(self, parent: Any, child: Any, step: Step) -> tuple[str, int]:
        """The name of a reference, and how many of those below it stands for as well."""
        kind = type(parent)
        if is_class(kind) or kind is types.ModuleType:
            return (f".{step.key}", 1) if type(child) is dict and step.key else ("", 0)
        if kind is types.CellType or kind is types.MappingProxyType or tasks.is_task(kind):
            return "", 0
        if kind is types.FunctionType:
            return _of_function(parent, child, step)
        if kind is types.TracebackType:
            return (".tb_frame" if type(child) is types.FrameType else ""), 0
        if kind is types.FrameType:
            return _local(parent, child), 0
        if id(kind) in _SUSPENDED:
            name = stacks.coroutine_name(parent)
            return "" if roots.is_ours(name) else f".<{name}>{_local(stacks.frame_of(parent), child)}", 0
        if kind is contextvars.Context:
            return _variable(parent, step), 0
        if kind is entries.LRU:
            return ("" if type(child) is dict else "[*]"), 0
        if kind is entries.container_base(kind):
            return "[*]", 0
        return self._of_instance(parent, child, step)

    def _of_instance(self, parent: Any, child: Any, step: Step) -> tuple[str, int]:
        kind = type(parent)
        if type(child) is dict and step.key:
            value = self._attributes.read(parent, step.key)
            if value is not None and id(value) == step.child:
                return f".{step.key}", 1
        if type(child) is dict and any(type_name(base) == "_thread._local" for base in mro_of(kind)):
            return (f".{step.below}", 2) if step.below else ("", 0)
        name = next((name for name, one in self._attributes.named(parent, [child], thorough=True) if one is child), "")
        if name:
            return f".{name}", 0
        if entries.container_base(kind) is not None:
            return "[*]", 0
        return f".<{type_name(type(child)).rpartition('.')[2]}>", 0

    def root(self, parent: Any, child: Any, step: Step) -> tuple[int, int, str] | None:
        """How good a root an object is, the lower the better, and the path from it; ``None`` if it is none.

        Args:
            parent: an object.
            child: what it refers to.
            step: the step from the object to the child.
        """
        kind = type(parent)
        space = self.spaces.get(id(parent))
        if space is not None:
            name = f".{step.key}" if step.key else "[*]"
            return space[0], space[1], f"{space[2]}{name}{''.join(step.labels[1:])}"
        path = "".join(step.labels)
        if is_class(kind):
            found = type(child) is dict and not roots.is_made_at_run_time(parent)
            return (1, 0, type_name(parent) + path) if found else None
        if kind is types.FunctionType and not roots.is_nested(parent) and child is not parent.__globals__:
            name = roots.function_name(parent)
            return None if roots.is_ours(name) else (1, 1, name + path)
        if any(base is threading.Thread for base in mro_of(kind)):
            return 1, 2, f"{roots.thread_name(parent)}{path}"
        return None

    def soft_root(self, parent: Any, step: Step) -> str | None:
        """The path from what others may hold in turn, but which lives without them: a task, a context, a loop."""
        kind = type(parent)
        path = "".join(step.labels)
        if id(parent) in self._registries:
            return f"{self._registries[id(parent)]}{path}"
        if tasks.is_task(kind):
            name = tasks.task_name(parent)
            return name + path.removeprefix(f".<{name.removeprefix('task ')}>")
        if kind is contextvars.Context:
            return path[2:].replace(">", "", 1)
        if id(kind) in _SUSPENDED and stacks.is_running(parent) and not roots.is_ours(stacks.coroutine_name(parent)):
            return f"frame of {stacks.coroutine_name(parent)}{path}"
        if any(type_name(base) == "asyncio.events.AbstractEventLoop" for base in mro_of(kind)):
            return f"event loop{path}"
        return None

    def of_suspended(self, parent: Any, step: Step) -> str:
        """The path from the variables of a suspended coroutine or generator; empty for what is neither, or ours."""
        name = stacks.coroutine_name(parent) if id(type(parent)) in _SUSPENDED else ""
        if not name or roots.is_ours(name):
            return ""
        return f"frame of {name}{''.join(step.labels).removeprefix(f'.<{name}>')}"


def children(parent: Any, level: dict[int, _T]) -> list[_T]:
    """What stands, by address, for those objects of a level to which an object refers."""
    if type(parent) is types.ModuleType:  # only the namespace: CPython 3.12.1 gives out freed objects of some
        space = id(roots.namespace_of_module(parent))
        return [level[space]] if space in level else []
    base = entries.container_base(type(parent))
    if base is not None and base is not entries.LRU and entries.length_of(parent, base) > entries.WHOLE:
        return entries.present(parent, base, level)
    return [level[one] for one in dict.fromkeys(map(id, gc.get_referents(parent))) if one in level]


def _variable(context: contextvars.Context, step: Step) -> str:
    for variable, value in list(context.items()):
        if id(value) == step.child:
            return f".<{roots.variable_name(variable)}>"
    return ".<contextvar>"


def _key(parent: dict[Any, Any], child: Any) -> str:
    """The name under which a dict has a value, if all looks like a namespace; a key of another dict is no name."""
    if len(parent) <= _NAMESPACE or "__name__" in parent:
        for key, value in list(itertools.islice(parent.items(), 20_000)):
            if value is child:
                return key if type(key) is str and key.isidentifier() else ""
    return ""


def _of_function(parent: types.FunctionType, child: Any, step: Step) -> tuple[str, int]:
    closure = parent.__closure__
    if closure is not None and child is closure:
        for name, cell in zip(parent.__code__.co_freevars, closure, strict=False):
            if id(cell) == step.child:
                return f".<closure>.{name}", 1
        return ".<closure>", 1
    if child is parent.__defaults__:
        return ".<default>", 1
    return (f".{step.key}", 1) if type(child) is dict and step.key else ("", 0)


def _local(frame: types.FrameType | None, child: Any) -> str:
    """The name of the variable that has an object; nothing for one that is being worked with."""
    for name, value in () if frame is None else stacks.locals_of(frame):
        if value is child:
            return f".{name}"
    return ""
