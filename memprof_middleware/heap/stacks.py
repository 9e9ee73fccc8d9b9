"""Roots of references that run, or wait to go on: the frames of all threads, coroutines and generators."""

from __future__ import annotations

import collections
import functools
import gc
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from memprof_middleware.heap.roots import LONGEST_NAME, function_name, is_ours
from memprof_middleware.model.clean import clean
from memprof_middleware.probes.census import type_name

MOST_FRAMES = 2_000
_SUSPENDED = ((types.CoroutineType, "cr"), (types.GeneratorType, "gi"), (types.AsyncGeneratorType, "ag"))
_traceback_of: Callable[[Any], types.TracebackType | None] = vars(BaseException)["__traceback__"].__get__
# 3.13 shows a frame's locals as they are; before, f_locals makes a copy that lives as long as the frame.
_LIVE_LOCALS = sys.version_info >= (3, 13)


def frame_name(frame: types.FrameType) -> str:
    """``frame of module.function``."""
    return f"frame of {code_name(frame.f_code, frame.f_globals)}"


def code_name(code: types.CodeType, namespace: Any = None) -> str:
    """``module.function``; what Cython compiles says its module itself."""
    module = namespace.get("__name__") if type(namespace) is dict else None
    has_module = type(module) is str and not code.co_qualname.startswith(f"{module}.")
    return clean(f"{module}.{code.co_qualname}" if has_module else code.co_qualname, LONGEST_NAME)


def running_frames(*, own: bool = False) -> list[types.FrameType]:
    """The frames of all threads, innermost first, without our own.

    Args:
        own: this thread's too: of what the program runs when it calls us itself.
    """
    found: list[types.FrameType] = []
    # By identity, and handed on: a variable that had this very frame would close a cycle, with all that its callers
    # have in theirs. Not by the thread's number: eventlet puts a greenlet's in its place.
    add = functools.partial(_add_callers, here=id(sys._getframe()), own=own, found=found)
    collections.deque(map(add, list(sys._current_frames().values())), maxlen=0)
    return found


def _add_callers(innermost: types.FrameType, *, here: int, own: bool, found: list[types.FrameType]) -> None:
    at: types.FrameType | None = innermost
    if id(innermost) == here:
        at = innermost.f_back if own else None
    while at is not None and len(found) < MOST_FRAMES:
        if not is_ours(at.f_globals.get("__name__")):
            found.append(at)
        at = at.f_back


def handled() -> list[tuple[str, BaseException]]:
    """The exceptions that running functions handle, by the names of these: no variable needs to have them."""
    found = []
    for given in list(sys._current_exceptions().values()):
        error: Any = given[1] if type(given) is tuple else given  # up to 3.11 with its type and traceback
        if error is not None:
            begins = _traceback_of(error)
            where = "exception" if begins is None else frame_name(begins.tb_frame)
            found.append((f"{where}.<{type_name(type(error)).rpartition('.')[2]}>", error))
    return found


def variables_of(frames: Iterable[types.FrameType]) -> Iterator[tuple[types.FrameType, list[tuple[str, Any]]]]:
    """Each of some running frames, callers after what they called, with the names and values of its variables.

    Up to 3.12 to ask for them fills a copy that the frame has. While something else works on it, it is not asked for.
    """
    below: types.FrameType | None = None
    known: list[tuple[str, Any]] = []
    for frame in frames:
        is_in_use = not _LIVE_LOCALS and below is not None and _works_on_copy(below, known, frame)
        known = [] if is_in_use else locals_of(frame)
        yield frame, known
        below = frame


def _works_on_copy(called: types.FrameType, variables: list[tuple[str, Any]], frame: types.FrameType) -> bool:
    """Whether a function works on the copy of its caller's variables.

    A function of ``sys.settrace`` or ``sys.setprofile`` has the frame as an argument; when it returns, what is in the
    copy becomes the variables. What ``exec`` runs has its own variables there.
    """
    if called.f_back is not frame:
        return False
    is_executed = not called.f_code.co_flags & 1 and called.f_globals is frame.f_globals
    return is_executed or any(value is frame for _, value in variables)


def locals_of(frame: types.FrameType) -> list[tuple[str, Any]]:
    """Names and values of a running function's variables."""
    if not frame.f_code.co_flags & 1:  # CO_OPTIMIZED: without it they are a module's or a class's namespace
        return []
    shown = frame.f_locals
    found = [(name, value) for name, value in list(shown.items()) if type(name) is str]
    # Three references: ours, the argument's, the frame's. More: somebody called locals().
    if not _LIVE_LOCALS and sys.getrefcount(shown) <= 3:
        code = frame.f_code  # else the copy would keep everything alive until the function returns
        for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            shown.pop(name, None)  # what exec() has put there is nowhere else, and stays
    return found


def namespaces_of(frame: types.FrameType) -> list[tuple[str, dict[str, Any]]]:
    """Names and namespaces in which a frame runs: what ``exec`` runs may have some that no module has."""
    module = frame.f_globals.get("__name__")
    name = clean(f"frame of {module if type(module) is str else '?'}.<module>", LONGEST_NAME)
    found = [(name, frame.f_globals)]
    if not frame.f_code.co_flags & 1:
        shown: Any = frame.f_locals
        found += [(frame_name(frame), shown)] if type(shown) is dict else []
    return found


def _part_of(suspended: Any, part: str) -> Any:
    """``cr_code`` of a coroutine, ``gi_code`` of a generator, and so on; ``None`` of what is neither."""
    for kind, prefix in _SUSPENDED:
        if type(suspended) is kind:
            return getattr(suspended, f"{prefix}_{part}")
    return None


def frame_of(suspended: Any) -> types.FrameType | None:
    """The frame of a coroutine or generator; ``None`` once it has ended."""
    found: types.FrameType | None = _part_of(suspended, "frame")
    return found


def awaited_by(suspended: Any) -> Any:
    """What a coroutine or generator waits for, such as another one; ``None`` if it waits for nothing."""
    return _part_of(suspended, "yieldfrom" if type(suspended) is types.GeneratorType else "await")


def is_running(suspended: Any) -> bool:
    """Return whether a coroutine or generator is running just now, which hides its variables from the collector."""
    return bool(_part_of(suspended, "running"))


def coroutine_name(coroutine: Any) -> str:
    """``module.function`` of a coroutine or generator; empty for what is neither."""
    code = _part_of(coroutine, "code")
    if code is None:
        return ""
    # The function, not the frame: asking for the frame of a coroutine makes an object that stays as long as it does.
    for child in gc.get_referents(coroutine):
        if type(child) is types.FunctionType and child.__code__ is code:
            return function_name(child)
    frame = frame_of(coroutine)
    return code_name(code, None if frame is None else frame.f_globals)
