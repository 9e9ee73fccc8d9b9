"""The line on which the tasks of a coroutine wait."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from memprof_middleware.heap import roots, stacks, tasks
from memprof_middleware.heap.sources import Source

# So many tasks are looked at, the oldest: to ask a coroutine for its frame makes an object that stays with it.
_MOST_TASKS = 4
# A chain of coroutines, each of which awaits the next.
_LONGEST_CHAIN = 50


def waits_at(task: str) -> str:
    """Find where most of the oldest tasks of a coroutine wait, in the application's own code.

    Args:
        task: such as ``task app.watchdog``.

    Returns:
        The file and the line, such as ``shop/mail.py:19``; empty if there is no such task, or it waits elsewhere.
    """
    same = (one for one in tasks.pending() if tasks.task_name(one) == task)
    places = Counter(_place(tasks.coroutine_of(one)) for one in itertools.islice(same, _MOST_TASKS))
    return max(places, key=places.__getitem__, default="")


def _place(coroutine: Any) -> str:
    """The innermost line of the application in a chain of coroutines."""
    found, at = "", coroutine
    for _ in range(_LONGEST_CHAIN):
        frame = stacks.frame_of(at)
        if frame is None:
            break
        module = frame.f_globals.get("__name__")
        if type(module) is str and roots.class_of(module, frame.f_globals) == roots.APPLICATION:
            found = f"{Source(module).shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        at = stacks.awaited_by(at)
    return found
