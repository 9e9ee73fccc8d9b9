"""Names of what types of the interpreter stand for: a frame by its function, a timer by its callback."""

from __future__ import annotations

import gc
import types
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from memprof_middleware.heap import roots, stacks, tasks
from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.entries import is_class, mro_of
from memprof_middleware.heap.origins import rank_of
from memprof_middleware.model.clean import fold_name
from memprof_middleware.probes.census import type_name

_HANDLES = {
    "asyncio.events.TimerHandle": "timer",
    "uvloop.loop.TimerHandle": "timer",
    "asyncio.events.Handle": "callback",
    "uvloop.loop.Handle": "callback",
}
_CALLABLE = frozenset(map(id, (types.FunctionType, types.MethodType, types.BuiltinFunctionType)))
# By identity: the hash of a class may be the program's code.
_SUSPENDED = {
    id(types.CoroutineType): "coroutine",
    id(types.GeneratorType): "generator",
    id(types.AsyncGeneratorType): "generator",
}
_LONGEST = 160
# So many callers of a frame are looked at.
_CALLERS = 16
# A name stands for a type if so large a share of the sample has it; one of the application's own tells more.
_SHARE, _OWN_SHARE = 0.5, 0.1


def named(sample: Iterable[Any]) -> str:
    """The name that most of a sample have; empty where the type says all, or the names differ.

    Of frames that are kept with their callers, the one that called nobody.
    """
    objects = list(sample)
    names = [telling_name(one) for one in objects]
    callers = {telling_name(frame) for one in objects for frame in _callers(one)}
    names = [name for name in names if name not in callers] or names  # a frame keeps those that called it
    counts = Counter(name for name in names if name).most_common()
    own = ((name, count) for name, count in counts if _is_own(name.rpartition(" ")[2]))
    for name, count, least in (*((*one, _OWN_SHARE) for one in own), *((*one, _SHARE) for one in counts)):
        if count >= least * len(names):
            return name
    return ""


def _callers(one: Any) -> Iterator[types.FrameType]:
    """The frames that a frame keeps because they called it."""
    at = one.f_back if type(one) is types.FrameType else None
    for _ in range(_CALLERS):
        if at is None:
            return
        yield at
        at = at.f_back


def _is_own(name: str) -> bool:
    return rank_of(name) == roots.APPLICATION and not roots.is_ours(name)


def telling_name(one: Any) -> str:
    """``frame of app.handler``, ``timer app.expire``, ``task app.waiter``; empty where the type says all.

    Nothing of the program runs.
    """
    return fold_name(_name(one), _LONGEST)


def _name(one: Any) -> str:
    kind = type(one)
    if kind is types.FrameType:
        return stacks.frame_name(one)
    if kind is types.TracebackType:
        return f"traceback of {stacks.code_name(one.tb_frame.f_code, one.tb_frame.f_globals)}"
    if id(kind) in _SUSPENDED:
        return f"{_SUSPENDED[id(kind)]} {stacks.coroutine_name(one)}"
    if kind is types.MethodType:
        return f"method {roots.callable_name(one)}"
    if kind is types.FunctionType:
        return f"function {stacks.code_name(one.__code__, one.__globals__)}"
    if kind is weakref.ReferenceType:
        return f"weak reference to {_referent(one)}"
    if is_class(kind):
        return f"class {type_name(one)}"
    if tasks.is_task(kind):
        return tasks.task_name(one)
    handle = next((word for base in mro_of(kind) if (word := _HANDLES.get(type_name(base)))), "")
    return f"{handle} {_callback(one)}" if handle else ""


def _referent(reference: Any) -> str:
    target = weakref.ReferenceType.__call__(reference)
    if target is None:
        return "what is gone"
    return type_name(target) if is_class(type(target)) else type_name(type(target))


def _callback(handle: Any) -> str:
    """The callback of a handle: by its attribute, or for a handle of C code by what it refers to."""
    found = Attributes().read(handle, "_callback")
    if found is None:
        found = next((child for child in gc.get_referents(handle) if id(type(child)) in _CALLABLE), None)
    return "cancelled" if found is None else roots.callable_name(found)
