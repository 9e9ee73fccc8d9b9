"""What a fork breaks is made anew in the child, at once and in one place, before anything of ours can ask for it.

A lock that another thread of the parent held stays held in the child for ever, a thread is not there, a descriptor is
the parent's too. Servers that fork without Python knowing (uWSGI) run no such hook: whoever takes a lock compares the
process number first, as :class:`~memprof_middleware.sampler.Sampler` does.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Forgetful(Protocol):
    """An object that a fork breaks."""

    def forget(self) -> None:
        """Make anew what a fork breaks. Takes no lock that it has not just made, and tells nobody."""


_first: list[Callable[[], None]] = []
_then: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def in_child(renew: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each child: for what a module holds. A decorator."""
    _first.append(renew)
    return renew


def forget_in_child(thing: Forgetful) -> None:
    """Have an object forget in each child, after the modules, whose locks it may take; as long as it lives."""
    _then.add(thing)


def _after_fork_in_child() -> None:
    for renew in [*_first, *(thing.forget for thing in list(_then))]:
        with contextlib.suppress(Exception):  # one that fails must not keep the others from it, nor print anything
            renew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)
