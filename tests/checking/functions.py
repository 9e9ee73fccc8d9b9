"""Twenty small functions, eleven that leak and nine that do not: what the check is judged by."""

from __future__ import annotations

import asyncio
import collections
import functools
import itertools
import logging
import re
import threading
import weakref
from collections.abc import Callable


class Visit:
    """What is kept."""

    def __init__(self) -> None:
        self.lines: list[int] = []


class Table:
    def __init__(self) -> None:
        self.rows: list[int] = list(range(10))

    @functools.lru_cache(None)  # noqa: B019 - the leak
    def total(self) -> int:
        return sum(self.rows)


kept_list: list[Visit] = []
kept_dict: dict[int, Visit] = {}
kept_bytes: list[bytes] = []
kept_one_in_ten: list[Visit] = []
kept_one_in_hundred: list[Visit] = []
kept_errors: list[BaseException] = []
kept_tasks: list[asyncio.Task[None]] = []
closures: list[Callable[[], object]] = []
signals: list[Callable[[], object]] = []
local = threading.local()
ids = itertools.count()
logger = logging.getLogger("tests.checking.functions")
logger.propagate = False


def leak_list() -> None:
    kept_list.append(Visit())


def leak_dict() -> None:
    kept_dict[next(ids)] = Visit()


def leak_lru_method() -> None:
    Table().total()


def leak_handler() -> None:
    logger.addHandler(logging.NullHandler())


def leak_closure() -> None:
    visit = Visit()
    closures.append(lambda: visit)


def leak_bytes() -> None:
    kept_bytes.append(bytes(100_000))
    if len(kept_bytes) > 50:  # a test must not take the machine's memory: small ones go on
        kept_bytes[-1] = bytes(600)


def leak_one_in_ten() -> None:
    if next(ids) % 10 == 0:
        kept_one_in_ten.append(Visit())


def leak_one_in_hundred() -> None:
    if next(ids) % 100 == 0:
        kept_one_in_hundred.append(Visit())


def leak_exception() -> None:
    try:
        int("no number")
    except ValueError as error:
        kept_errors.append(error)


async def leak_task() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    kept_tasks.append(asyncio.ensure_future(wait()))
    await asyncio.sleep(0)


def leak_thread_local() -> None:
    visits = local.__dict__.setdefault("visits", [])
    visits.append(Visit())


@functools.lru_cache(128)
def _small(number: int) -> str:
    return f"small {number}"


@functools.lru_cache(5000)
def _large(number: int) -> str:
    return f"large {number}"


def fine_lru_small() -> None:
    _small(next(ids))


def fine_lru_large() -> None:
    _large(next(ids))


recent: collections.deque[Visit] = collections.deque(maxlen=1000)


def fine_deque() -> None:
    recent.append(Visit())


table: dict[int, Visit] = {}


def fine_dictionary() -> None:
    number = next(ids)
    table[number % 300] = Visit()


patterns: dict[str, re.Pattern[str]] = {}


def fine_expressions() -> None:
    text = f"a{next(ids) % 700}b"
    if text not in patterns:
        patterns[text] = re.compile(text)


class Node:
    def __init__(self) -> None:
        self.me = self


def fine_cycles() -> None:
    Node()


living: weakref.WeakValueDictionary[int, Visit] = weakref.WeakValueDictionary()


def fine_weak() -> None:
    living[next(ids)] = Visit()


async def fine_tasks() -> None:
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))


def fine_sorting() -> None:
    sorted(str(number) for number in range(100))


LEAKING = [function for name, function in list(globals().items()) if name.startswith("leak_")]
HEALTHY = [function for name, function in list(globals().items()) if name.startswith("fine_")]
