"""The end of a worker: let it finish its requests the way its server does it, and end it after a deadline."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from memprof_middleware.errors import RecycleError
from memprof_middleware.recycling.detection import Mechanism, main_frames

DRAIN_THREAD = "memprof-drain"
# How long hypercorn's loop may take to look: it is busy with requests, and it is asked once.
_LOOP_SECONDS = 5.0


def retire(mechanism: Mechanism) -> None:
    """End this worker gracefully: the server finishes its requests. Called once in a process, from any thread.

    Raises:
        RecycleError: the server has not what the mechanism needs; nothing has happened.
    """
    if mechanism == "hypercorn":
        _retire_hypercorn()
        return
    number, main = getattr(signal, mechanism), threading.main_thread().ident
    if mechanism == "SIGTERM" and main in sys._current_frames():
        # To the main thread, the only one that runs Python's handlers: if the system hands the signal to another
        # thread, granian's WSGI worker, whose main thread waits for nothing else, sleeps on (2 of 3 runs).
        signal.pthread_kill(main, number)
    else:  # uWSGI's handler is C; under gevent the main thread goes by another number, and its hub looks by itself
        os.kill(os.getpid(), number)


def end_after(seconds: float, in_flight: Callable[[], int], end: Callable[[int], None]) -> threading.Thread:
    """End the process if it is still there after the drain deadline: endless streams would keep it for ever.

    A worker that drains does not accept and is not replaced yet, so each second of it is a worker fewer.

    Args:
        seconds: the deadline.
        in_flight: asks how many requests there are.
        end: called with that number; ends the process.
    """

    def wait() -> None:
        threading.Event().wait(seconds)  # Event, not sleep: under gevent it lets the hub go on
        end(in_flight())

    thread = threading.Thread(target=wait, name=DRAIN_THREAD, daemon=True)
    thread.start()
    return thread


def _retire_hypercorn() -> None:
    """Set what ``max_requests`` sets. A signal would make hypercorn's master end all of itself."""
    import asyncio  # both are loaded there already; elsewhere they would weigh 2 MB
    import concurrent.futures

    loop = next((loop for loop in map(_loop, main_frames()) if loop is not None), None)
    if loop is None:
        raise RecycleError("hypercorn's event loop is not on the main thread: use hypercorn's own --max-requests")
    begun: concurrent.futures.Future[bool] = concurrent.futures.Future()

    def look() -> None:
        if not begun.set_running_or_notify_cancel():
            return  # nobody waits any more, so nothing must happen either
        context = next((c for c in map(_context, asyncio.all_tasks(loop)) if c is not None), None)
        if context is not None:
            kept.append(loop.create_task(context.terminate.set()))
        begun.set_result(context is not None)

    kept: list[object] = []  # a loop has only weak references to its tasks
    loop.call_soon_threadsafe(look)
    try:
        found = begun.result(_LOOP_SECONDS)
    except concurrent.futures.TimeoutError:
        found = not begun.cancel() and begun.result()
    if not found:
        raise RecycleError("this hypercorn's worker cannot be told to end: use its own --max-requests")


def _loop(frame: Any) -> Any:
    """The event loop that a frame of asyncio's runner holds; uvloop's own frames cannot be seen."""
    if frame.f_globals.get("__name__") != "asyncio.runners" or frame.f_code.co_name != "run":
        return None
    return getattr(frame.f_locals.get("self"), "_loop", None)


def _context(task: Any) -> Any:
    frame = getattr(task.get_coro(), "cr_frame", None)
    if frame is None or frame.f_globals.get("__name__") != "hypercorn.asyncio.run":
        return None
    context = frame.f_locals.get("context")
    return context if hasattr(context, "terminate") else None
