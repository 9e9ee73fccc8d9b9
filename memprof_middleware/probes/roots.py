"""Where references begin: modules, running frames, tasks and event loops."""

from __future__ import annotations

import itertools
import os
import sys
import sysconfig
import threading
import types
from typing import Any

from memprof_middleware.probes.census import type_name
from memprof_middleware.probes.entries import mro_of

APPLICATION, LIBRARY, STANDARD = range(3)
OURS = ("memprof_middleware", "asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof")
_STDLIB = tuple(
    os.path.join(path, "") for path in {sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"]}
)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_module_dict = types.ModuleType.__dict__["__dict__"].__get__
# 3.13 shows a frame's locals as they are; before, f_locals makes a copy that lives as long as the frame.
LIVE_LOCALS = sys.version_info >= (3, 13)


def is_ours(name: Any) -> bool:
    """Whether a module is this package's or an adapter's."""
    return type(name) is str and name.partition(".")[0] in OURS


def modules() -> list[tuple[str, dict[str, Any], int]]:
    """Name, namespace and class of the loaded modules, but not ours; those imported last first.

    A module is entered before those that it imports, so in this order an object is met where it is defined, not where
    it is imported.
    """
    found = []
    for name, module in reversed(list(sys.modules.items())):
        kind = type(module)
        if type(name) is not str or is_ours(name):
            continue
        if kind is types.ModuleType or any(base is types.ModuleType for base in mro_of(kind)):
            space = _module_dict(module)
            if type(space) is dict:
                found.append((name, space, _class_of(name, space)))
    return found


def _class_of(name: str, space: dict[str, Any]) -> int:
    file = space.get("__file__")
    if type(file) is not str:
        return APPLICATION if name == "__main__" else STANDARD
    if any(part in file for part in _PACKAGES):
        return LIBRARY
    return STANDARD if file.startswith(_STDLIB) else APPLICATION


def frame_name(frame: types.FrameType) -> str:
    """``frame of module.function``."""
    return f"frame of {code_name(frame.f_code, frame.f_globals)}"


def code_name(code: types.CodeType, namespace: Any = None) -> str:
    """``module.function``."""
    module = namespace.get("__name__") if type(namespace) is dict else None
    return f"{module}.{code.co_qualname}" if type(module) is str else code.co_qualname


def running_frames() -> list[types.FrameType]:
    """The frames of all threads but this one, innermost first."""
    here = threading.get_ident()
    found = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way to other threads' frames
        if ident != here:
            at: types.FrameType | None = frame
            while at is not None and len(found) < 2000:
                found.append(at)
                at = at.f_back
    return found


def locals_of(frame: types.FrameType) -> list[tuple[str, Any]]:
    """Names and values of a running function's variables."""
    if not frame.f_code.co_flags & 1:  # CO_OPTIMIZED: without it they are a module's or a class's namespace
        return []
    shown = frame.f_locals
    found = [(name, value) for name, value in list(shown.items()) if type(name) is str]
    if not LIVE_LOCALS and sys.getrefcount(shown) <= 3:  # ours, the argument's, the frame's: nobody called locals()
        shown.clear()  # else the copy would keep everything alive until the function returns
    return found


def tasks() -> list[Any]:
    """The asyncio tasks of all event loops that are not done; none if asyncio is not loaded."""
    module: Any = sys.modules.get("asyncio.tasks")
    if module is None:
        return []
    found: dict[int, Any] = {}
    for registry in ("_scheduled_tasks", "_eager_tasks", "_all_tasks"):
        weak = getattr(module, registry, None)
        for _ in range(3):
            try:
                # Their data, not the WeakSet: iterating that has a lock of its own against removal, in Python code.
                members = list(weak.data if hasattr(weak, "data") else weak or ())
            except RuntimeError:
                continue  # changed meanwhile
            for member in members:
                task = member() if callable(member) and not hasattr(member, "get_loop") else member
                if task is not None:
                    found[id(task)] = task
            break
    return [task for task in found.values() if not _done(task)]


def _done(task: Any) -> bool:
    done = getattr(task, "done", None)
    return done is None or bool(done())


def coroutine_name(coroutine: Any) -> str:
    """``module.function`` of a coroutine or generator."""
    kind = type(coroutine)
    if kind is types.CoroutineType:
        frame, code = coroutine.cr_frame, coroutine.cr_code
    elif kind is types.GeneratorType:
        frame, code = coroutine.gi_frame, coroutine.gi_code
    elif kind is types.AsyncGeneratorType:
        frame, code = coroutine.ag_frame, coroutine.ag_code
    else:
        return type_name(kind)
    return code_name(code, None if frame is None else frame.f_globals)


def task_name(task: Any) -> str:
    """``task module.function``, by the coroutine that it runs."""
    coroutine = getattr(task, "get_coro", lambda: None)()
    return f"task {coroutine_name(coroutine)}" if coroutine is not None else f"task {type_name(type(task))}"


def loops(of: list[Any]) -> list[Any]:
    """The event loops of some tasks, each once."""
    found = {id(loop): loop for loop in (task.get_loop() for task in itertools.islice(of, 1000))}
    return list(found.values())
