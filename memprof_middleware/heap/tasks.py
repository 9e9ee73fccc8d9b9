"""The asyncio tasks of a process, and the event loops that they run in."""

from __future__ import annotations

import contextlib
import itertools
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from memprof_middleware.heap import stacks
from memprof_middleware.heap.entries import mro_of, namespace_of
from memprof_middleware.probes.census import type_name

_REGISTRIES = ("_scheduled_tasks", "_all_tasks", "_eager_tasks")
# What ``asyncio.all_tasks`` asks of each task.
_ASKED = frozenset({"done", "get_loop", "__hash__", "__eq__", "__getattribute__", "__getattr__"})
_remembered: dict[int, weakref.ref[Any]] = {}


def _known_in(name: str, what: str) -> Any:
    """What a module of asyncio has under a name, ``None`` where it is not loaded: we load it for nobody."""
    module = sys.modules.get(name)
    return None if module is None else vars(module).get(what)


def _task_base(kind: type) -> Any:
    """Asyncio's class in a task's ancestry, whose methods are not the program's; ``None`` for what is no task."""
    if kind is _known_in("_asyncio", "Task"):
        return kind
    for base in mro_of(kind):
        if type_name(base) in {"_asyncio.Task", "asyncio.tasks.Task", "asyncio.tasks._PyTask"}:
            return base
    return None


def is_task(kind: type) -> bool:
    """Return whether a class is asyncio's Task or derives from it."""
    return _task_base(kind) is not None


def pending() -> list[Any]:
    """The asyncio tasks that are not done; none if asyncio is not loaded.

    Those of all event loops. From 3.14 on a loop tells its tasks and nobody tells the loops: there they are those of
    the loops that are known.
    """
    found: dict[int, Any] = {}
    for task in itertools.chain(*map(_registered, _REGISTRIES), _told_by_loops()):
        if (base := _task_base(type(task))) is not None and not base.done(task):
            found[id(task)] = task
    return list(found.values())


def _registered(name: str) -> list[Any]:
    # The set in the WeakSet: iterating the WeakSet itself runs its guards against removal.
    weak = _known_in("asyncio.tasks", name)
    members = weak if type(weak) is set else getattr(weak, "data", None)
    for _ in range(3):
        try:
            copy = list(members or ())
            break
        except RuntimeError:
            continue  # another thread makes tasks meanwhile
    else:
        return []
    alive = (member() if type(member) is weakref.ref else member for member in copy)
    return [task for task in alive if task is not None]


def _told_by_loops() -> Iterator[Any]:
    """From 3.14 on the tasks that C made are in lists of C's own, by thread."""
    all_tasks, base = _known_in("_asyncio", "all_tasks"), _known_in("_asyncio", "Task")
    if all_tasks is None or _answers_itself(base):
        return
    for loop in _loops():
        try:
            yield from all_tasks(loop)
        except RuntimeError:
            continue  # another thread makes tasks meanwhile


def _answers_itself(base: type) -> bool:
    """Whether a task class of the program's own has code for what is asked of a task, which we must not run."""
    kinds = [base]
    for kind in kinds:
        between = itertools.takewhile(lambda one: one is not base, mro_of(kind))
        if any(not _ASKED.isdisjoint(namespace_of(one)) for one in between):
            return True
        kinds.extend(type.__subclasses__(kind))
    return False


def _loops() -> list[Any]:
    """The event loops that are known: those that run, and those that did or that a walk has met."""
    for loop in _running_loops():
        remember(loop)
    known = {number: loop for number, ref in list(_remembered.items()) if (loop := ref()) is not None}
    for number in _remembered.keys() - known.keys():
        _remembered.pop(number, None)
    return list(known.values())


def _running_loops() -> Iterator[Any]:
    """The event loops that running functions have in variables. One that runs is in such a variable.

    If not as ``self`` in a method of its own, since it may be compiled, then in whatever has started it.
    """
    runner = _known_in("asyncio.runners", "Runner")
    for frame, variables in stacks.variables_of(stacks.running_frames(own=True)):
        values = [value for _, value in variables]
        if frame.f_code.co_name == "<module>":
            values = list(frame.f_globals.values())
        for value in values:
            loop = vars(value).get("_loop") if type(value) is runner else value
            if is_loop(type(loop)):
                yield loop


def is_loop(kind: type) -> bool:
    """Return whether the instances of a class are event loops of asyncio."""
    loop = _known_in("asyncio.events", "AbstractEventLoop")
    return loop is not None and any(base is loop for base in mro_of(kind))


def remember(loop: Any) -> None:
    """Keep an event loop in mind, as long as it is alive."""
    with contextlib.suppress(TypeError):  # a class that has slots without one for weak references
        _remembered[id(loop)] = weakref.ref(loop)


def coroutine_of(task: Any) -> Any:
    """The coroutine that a task runs."""
    return _task_base(type(task)).get_coro(task)


def task_name(task: Any) -> str:
    """``task module.function``, by the coroutine that it runs."""
    coroutine = coroutine_of(task)
    return f"task {stacks.coroutine_name(coroutine) or type_name(type(coroutine))}"


def loops(of: list[Any]) -> list[Any]:
    """The event loops of some tasks and those that are known, each once: one that rests has its timers all the same."""
    found = {id(loop): loop for ref in list(_remembered.values()) if (loop := ref()) is not None}
    for task in itertools.islice(of, 1000):
        loop = _task_base(type(task)).get_loop(task)
        found[id(loop)] = loop
    return list(found.values())
