"""The repeated work: called, and awaited if it is async, with nothing that keeps its output."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

from memprof_middleware.errors import ConfigError

# Handlers that keep each record for a report: of pytest's own, and of unittest's assertLogs.
_KEEPING = ("_pytest.", "unittest.")
# Turns of the event loop after a round, in which callbacks of what is done are called.
_TURNS = 5


class Work:
    """A function to be repeated, in one event loop if it gives something to await. Enter it before use.

    Args:
        function: takes no argument.

    Raises:
        ConfigError: it is not callable.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        if not callable(function):
            raise ConfigError(f"work is of type {type(function).__name__}: pass a function without arguments")
        self._function = function
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._runner is not None:
            self._runner.close()

    def repeat(self, times: int) -> None:
        """Do it so many times. Whatever it raises passes through."""
        with _nothing_kept():
            if self._runner is not None or inspect.iscoroutinefunction(self._function):
                self._run(self._repeat(times))
                return
            for _ in range(times):
                found = self._function()
                if inspect.isawaitable(found):
                    self._run(_awaited(found))

    def _run(self, coroutine: Any) -> None:
        if self._runner is None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop()
                coroutine.close()
                raise ConfigError(
                    "an event loop runs in this thread: call assert_no_leak() from a plain function, or with "
                    "await asyncio.to_thread(assert_no_leak, work)"
                )
            self._runner = asyncio.Runner()
        self._runner.run(coroutine)

    async def _repeat(self, times: int) -> None:
        for _ in range(times):
            found = self._function()
            if inspect.isawaitable(found):
                await found
            del found
        for _ in range(_TURNS):
            await asyncio.sleep(0)


async def _awaited(found: Awaitable[object]) -> None:
    await found


@contextlib.contextmanager
def _nothing_kept() -> Iterator[None]:
    """Keep log records and warnings away from those that collect them for a report: each would look like a leak."""
    keeping = [handler for handler in _handlers() if type(handler).__module__.startswith(_KEEPING)]
    levels = [handler.level for handler in keeping]
    with warnings.catch_warnings():
        warnings.showwarning = _drop
        for handler in keeping:
            handler.setLevel(sys.maxsize)
        try:
            yield
        finally:
            for handler, level in zip(keeping, levels, strict=True):
                handler.setLevel(level)


def _handlers() -> Iterator[logging.Handler]:
    yield from logging.root.handlers
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers


def _drop(*_: object, **__: object) -> None:
    """A warning that is shown to nobody."""
