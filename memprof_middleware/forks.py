"""What a fork breaks is made anew in the child, at once and in one place, before anything of ours can ask for it.

A lock that another thread of the parent held stays held in the child for ever, a thread is not there, a descriptor is
the parent's too. Servers that fork without Python knowing (uWSGI) run no such hook: there the same is done by
:func:`entering`, which whoever makes what belongs to one process passes.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

_functions: list[Callable[[], object]] = []
_notes: list[Callable[[], object]] = []
_methods: list[weakref.WeakMethod[Callable[[], object]]] = []
_exits: dict[Callable[[], object], Callable[[], None]] = {}
# The process that all of it belongs to, and by process the lock of those who enter it.
_pid = os.getpid()
_entrances: dict[int, threading.RLock] = {}


def in_child(renew: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each child: for what a module holds. A decorator."""
    _functions.append(renew)
    return renew


def before_fork(note: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in the parent before each fork: what costs memory to find out in a child. A decorator."""
    _notes.append(note)
    return note


def renew_in_child(renew: Callable[[], object]) -> None:
    """Have a bound method called in each child, after the functions, whose locks it may take.

    Its object is not held. It takes no lock that was not just made anew, and tells nobody.
    """
    _methods.append(weakref.WeakMethod(renew, _methods.remove))


@contextlib.contextmanager
def entering() -> Iterator[None]:
    """One thread at a time, in this process; what a fork broke is made anew before, where no hook has done it."""
    pid = os.getpid()
    # Of all threads of a new process one sets it, without a lock: the one that is there may be held for ever.
    with _entrances.get(pid) or _entrances.setdefault(pid, threading.RLock()):
        if _pid != pid:
            _renew()
        yield


def at_exit(function: Callable[[], object]) -> None:
    """Have a function called when this process ends, and not when a child of it does, which inherits what is due."""
    pid = os.getpid()

    def call() -> None:
        if os.getpid() == pid:
            function()

    not_at_exit(function)
    _exits[function] = call
    atexit.register(call)


def not_at_exit(function: Callable[[], object]) -> None:
    """Take :func:`at_exit` back, if it was said."""
    call = _exits.pop(function, None)
    if call is not None:
        atexit.unregister(call)


def _renew() -> None:
    global _pid
    _pid = os.getpid()
    for function in list(_exits):  # what they would end is the parent's
        not_at_exit(function)
    _call([*_functions, *(reference() for reference in list(_methods))])


def _call(functions: Iterable[Callable[[], object] | None]) -> None:
    for function in functions:
        with contextlib.suppress(Exception):  # one that fails must not keep the others from it, nor print anything
            if function is not None:
                function()


def _before_fork() -> None:
    # The list itself: what one of them loads has its turn in the same fork.
    _call(_notes)


def _after_fork_in_child() -> None:
    _entrances.clear()
    _renew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
