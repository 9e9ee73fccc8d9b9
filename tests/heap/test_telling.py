"""Names of what types of the interpreter stand for."""

from __future__ import annotations

import asyncio
import functools
import sys
import weakref
from typing import Any

import pytest

from memprof_middleware.heap.stacks import code_name
from memprof_middleware.heap.telling import named, telling_name


class View:
    def expire(self) -> None:
        """What a timer calls."""


def handler() -> Any:
    return sys._getframe()


async def waiter() -> None:
    await asyncio.sleep(0)


def rows() -> Any:
    yield 1


def failed() -> Any:
    try:
        raise ValueError  # noqa: TRY301
    except ValueError as error:
        return error.__traceback__


def decorated() -> Any:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper() -> Any:
            return function()

        return wrapper

    return decorate(handler)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (handler, "frame of M.handler"),
        (failed, "traceback of M.failed"),
        (rows, "generator M.rows"),
        (lambda: View().expire, "method M.View.expire"),
        (decorated, "function M.decorated.<locals>.decorate.<locals>.wrapper"),
        (lambda: weakref.ref(View), "weak reference to M.View"),
        (lambda: type("Form17", (), {"__module__": "app"}), "class app.Form#"),
        (View, ""),
        (dict, ""),
    ],
)
def test_each_kind(make: Any, name: str) -> None:
    """By its code, its object or its class; numbers in names that a program makes up are folded."""
    assert telling_name(make()) == name.replace("M.", f"{__name__}.")


def test_tasks_coroutines_and_timers() -> None:
    """A task by its coroutine, a timer by its callback, through a partial as well."""

    async def look() -> list[str]:
        loop, coroutine = asyncio.get_running_loop(), waiter()
        task = loop.create_task(waiter())
        timer = loop.call_later(60, functools.partial(View().expire))
        gone = loop.call_later(60, View().expire)
        gone.cancel()
        found = [telling_name(one) for one in (task, coroutine, timer, gone)]
        coroutine.close()
        timer.cancel()
        await task
        return found

    assert asyncio.run(look()) == [
        f"task {__name__}.waiter",
        f"coroutine {__name__}.waiter",
        f"timer {__name__}.View.expire",
        "timer cancelled",
    ]


def calls() -> Any:
    return handler()


def test_of_frames_that_are_kept_with_their_callers_the_innermost_tells() -> None:
    """Who loses one frame loses those that called it too, and it is the first that names the function."""
    frames = [calls() for _ in range(4)]
    kept = [frame.f_back for frame in frames]
    assert named([*kept, *frames]) == f"frame of {__name__}.handler"
    assert named(kept) == f"frame of {__name__}.calls"


def test_what_cython_compiles_says_its_module_once() -> None:
    """Its functions have the module in their qualified name; those of Python have not."""
    code = handler.__code__.replace(co_qualname="packer._packer.Unpacker.unpack")
    assert code_name(code, {"__name__": "packer._packer"}) == "packer._packer.Unpacker.unpack"
    assert code_name(handler.__code__, {"__name__": "packer"}) == "packer.handler"


def test_the_name_of_a_sample() -> None:
    """The application's own tells more than the rest; else half of the sample must agree; else the type stands."""
    assert named([handler(), handler(), failed()]) == f"frame of {__name__}.handler"
    library = [telling_name.__get__(1), asyncio.sleep, asyncio.sleep]
    assert named(library) == "function asyncio.tasks.sleep"
    assert named([View(), View()]) == ""
    assert named([]) == ""
