"""What a fork breaks is made anew in the child, at once and in one place, before anything of ours can ask for it.

A lock that another thread of the parent held stays held in the child for ever, a thread is not there, a descriptor is
the parent's too. Servers that fork without Python knowing (uWSGI) run no such hook: whoever takes a lock compares the
process number first, as :class:`~memprof_middleware.runtime.sampler.Sampler` does.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable

_functions: list[Callable[[], object]] = []
_methods: list[weakref.WeakMethod[Callable[[], object]]] = []


def in_child(renew: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each child: for what a module holds. A decorator."""
    _functions.append(renew)
    return renew


def renew_in_child(renew: Callable[[], object]) -> None:
    """Have a bound method called in each child, after the functions, whose locks it may take.

    Its object is not held. It takes no lock that was not just made anew, and tells nobody.
    """
    _methods.append(weakref.WeakMethod(renew, _methods.remove))


def _after_fork_in_child() -> None:
    for renew in [*_functions, *(reference() for reference in list(_methods))]:
        with contextlib.suppress(Exception):  # one that fails must not keep the others from it, nor print anything
            if renew is not None:
                renew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)
