"""Work that must not hold up gevent's or eventlet's hub, where every ``Thread`` is a greenlet of one real thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_real_thread(work: Callable[[], _T]) -> _T:
    """Do the work and return its result: under gevent or eventlet in the hub's thread pool, else right here."""
    pool = _thread_pool()
    result: _T = work() if pool is None else pool(work)
    return result


def real_sleep(seconds: float) -> None:
    """Sleep and let other threads run; in the pool's thread the patched ``time.sleep`` would make a hub of its own."""
    monkey: Any = sys.modules.get("gevent.monkey")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if monkey is not None:
        monkey.get_original("time", "sleep")(seconds)
    elif eventlet is not None:
        eventlet.original("time").sleep(seconds)
    else:
        time.sleep(seconds)


def _thread_pool() -> Callable[[Callable[[], Any]], Any] | None:
    # Asked of the loaded modules: a library that the host does not use is not imported.
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        hub: Any = sys.modules["gevent"].get_hub()
        apply: Callable[[Callable[[], Any]], Any] = hub.threadpool.apply
        return apply
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        from importlib import import_module

        execute: Callable[[Callable[[], Any]], Any] = import_module("eventlet.tpool").execute
        return execute
    return None
