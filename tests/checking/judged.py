"""Run in a process of its own by ``test_functions.py``: what the assertion says of each function, one line each.

A test run holds all that its modules have imported, and the check walks through that; here it holds the functions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from memprof_middleware.checking.series import Series, increments
from memprof_middleware.testing import LeakError, assert_no_leak
from tests.checking import functions

HERE = "tests.checking.functions"
IGNORED = ("*.kept_list*", f"{HERE}.Visit,{HERE}.kept_list,builtins.list")


def main() -> None:
    """Judge all, and print each answer under its name."""
    for function in functions.LEAKING:
        requests = 200 if function is functions.leak_one_in_hundred else 20
        tell(function.__name__, verdict(function, requests=requests))
    for function in (*functions.HEALTHY, functions.leak_one_in_hundred):
        tell(f"{function.__name__} as it comes", verdict(function))
    for pattern in IGNORED:
        tell(pattern, verdict(functions.leak_list, ignore=pattern.split(",")))
    tell("coroutine", awaited())
    tell("readings", readings())


def tell(name: str, answer: object) -> None:
    print(json.dumps([name, answer]), flush=True)


def verdict(function: Callable[[], Any], requests: int = 20, ignore: Sequence[str] = ()) -> list[Any] | None:
    """The holders and the message; ``None``: no leak."""
    try:
        assert_no_leak(function, requests=requests, ignore=ignore)
    except LeakError as error:
        return [[leak.holder for leak in error.leaks], str(error)]
    return None


def awaited() -> list[int]:
    """How often a coroutine was awaited, and in how many event loops."""
    loops, visits = set[int](), 0

    async def visit() -> None:
        nonlocal visits
        visits += 1
        loops.add(id(asyncio.get_running_loop()))

    assert_no_leak(lambda: visit())  # noqa: PLW0108 - as people write it
    return [visits, len(loops)]


def readings() -> list[int]:
    """Blocks that each reading adds, once the names are known."""
    series = Series(8)
    for _ in range(8):
        series.take()
    return increments(series.blocks)[3:]


if __name__ == "__main__":
    main()
