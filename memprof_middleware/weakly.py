"""Weak methods, which do not hold their object: for threads, hooks and finalizers that outlive it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def weakly(method: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """A bound method that does nothing and returns ``None`` once its object is gone.

    Not by ``weakref.WeakMethod``: at the interpreter's end, where all is freed together, its callback fails and prints
    so (CPython 3.14).
    """
    bound: Any = method
    reference, function = weakref.ref(bound.__self__), bound.__func__

    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        found = reference()
        return None if found is None else function(found, *args, **kwargs)

    return call
