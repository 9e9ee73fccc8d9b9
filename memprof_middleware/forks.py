"""Repair in a forked child what a fork breaks: locks, threads and descriptors, before any other code of ours runs.

A lock that another thread of the parent held stays locked in the child for ever, threads are missing, and descriptors
belong to the parent too. Servers that fork without Python's knowledge (uWSGI) run no fork hook: there :func:`entering`
does the same, which surrounds the creation of each object that belongs to one process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

_functions: list[Callable[[], object]] = []
_notes: list[Callable[[], object]] = []
# By the reference's identity the function; no WeakMethod, see weakly.py.
_methods: dict[int, tuple[weakref.ref[Any], Callable[[Any], object]]] = {}
_exits: dict[Callable[[], object], Callable[[], None]] = {}
# The process that imported this, the one that all of it belongs to, and the lock of :func:`entering` by process.
_first = _pid = os.getpid()
_entrances: dict[int, threading.RLock] = {}
# Held while a part of this package is imported, and by a fork. The import of a module that hangs must not hang a fork.
_import = threading.RLock()
_FORK_WAITS_SECONDS = 1.0
_waited: list[threading.RLock] = []


def is_forked() -> bool:
    """Whether this process was forked after this package was imported: it shares memory with its parent."""
    return os.getpid() != _first


def in_child(renew: Callable[[], None]) -> Callable[[], None]:
    """Call a function in each forked child, for objects that a module holds. A decorator."""
    _functions.append(renew)
    return renew


def before_fork(note: Callable[[], None]) -> Callable[[], None]:
    """Call a function in the parent before each fork, for work that would cost memory in a child. A decorator."""
    _notes.append(note)
    return note


def renew_in_child(renew: Callable[[], object]) -> None:
    """Call a bound method in each forked child, after the functions, whose locks it may take.

    Its object is held weakly. It must take no lock that is not new, and call no foreign code.
    """
    methods, bound = _methods, cast("Any", renew)
    reference = weakref.ref(bound.__self__, lambda gone: methods.pop(id(gone), None))
    methods[id(reference)] = reference, bound.__func__


@contextlib.contextmanager
def entering() -> Iterator[None]:
    """Enter with one thread at a time; after a fork without a hook, repair first what it broke."""
    pid = os.getpid()
    # One thread of a new process sets it, without a lock: an inherited lock may be locked for ever.
    with _entrances.get(pid) or _entrances.setdefault(pid, threading.RLock()):
        if _pid != pid:
            _renew()
        yield


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import within the block, with one thread at a time and no fork in between.

    A child that was forked meanwhile would wait for ever for a module that no thread of it brings to its end.
    """
    with _import:
        yield


def at_exit(function: Callable[[], object]) -> None:
    """Call a function when this process ends, and not at the end of a forked child, which inherits the handlers."""
    pid = os.getpid()

    def call() -> None:
        if os.getpid() == pid:
            function()

    not_at_exit(function)
    _exits[function] = call
    atexit.register(call)


def not_at_exit(function: Callable[[], object]) -> None:
    """Remove a function of :func:`at_exit`, if it is there."""
    call = _exits.pop(function, None)
    if call is not None:
        atexit.unregister(call)


def _renew() -> None:
    global _pid
    _pid = os.getpid()
    for function in list(_exits):  # they would end resources of the parent
        not_at_exit(function)
    alive = [(one, function) for reference, function in list(_methods.values()) if (one := reference()) is not None]
    _call([*_functions, *(functools.partial(function, one) for one, function in alive)])


def _call(functions: Iterable[Callable[[], object]]) -> None:
    for function in functions:
        with contextlib.suppress(Exception):  # a failure must not stop the others, nor print anything
            function()


def _before_fork() -> None:
    # The list itself: a function that an import of one of them adds is called in the same fork.
    _call(_notes)
    if _import.acquire(timeout=_FORK_WAITS_SECONDS):
        _waited.append(_import)


def _after_fork() -> None:
    while _waited:
        _waited.pop().release()


def _after_fork_in_child() -> None:
    global _import
    _waited.clear()
    _import = threading.RLock()
    _entrances.clear()
    _renew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
