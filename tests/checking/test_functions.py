"""Leaks and non-leaks of a few lines each, by the assertion for tests."""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware.checking.series import steady
from memprof_middleware.errors import ConfigError
from memprof_middleware.testing import assert_no_leak
from tests.checking import functions
from tests.checking.judged import HERE, IGNORED

ROOT = Path(__file__).parents[2]
HOLDERS = {
    "leak_list": "kept_list",
    "leak_dict": "kept_dict",
    "leak_lru_method": "Table.total",
    "leak_handler": "logger.handlers",
    "leak_closure": "closures",
    "leak_bytes": "kept_bytes",
    "leak_one_in_ten": "kept_one_in_ten",
    "leak_one_in_hundred": "kept_one_in_hundred",
    "leak_exception": "kept_errors",
    "leak_task": "kept_tasks",
    "leak_thread_local": "local.visits",
}
# A test run as people have one: a leak, a clean piece of work, and one that logs and warns.
SHOP = """
import logging, sys, warnings
KEPT = []
class Visit: pass
def test_loads_nothing():
    assert [name for name in sys.modules if name.startswith("memprof_middleware")] == []
def test_leaks(memprof):
    memprof(lambda: KEPT.append(Visit()))
def test_clean(memprof):
    memprof(lambda: Visit())
def test_log_records_and_warnings_are_no_leak(memprof, caplog):
    logger = logging.getLogger("shop")
    with caplog.at_level(logging.INFO):
        logger.info("before")
        def work():
            logger.info("a visit")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            memprof(work)
        logger.info("after")
    assert caplog.messages == ["before", "after"]
"""


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    """What the assertion says of each function, in a process that holds nothing beside them."""
    command = [sys.executable, "-m", "tests.checking.judged"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints of a test run with the fixture, each test by name."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "test_shop.py").write_text(SHOP)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", "test_shop.py"]
    if not _is_registered():  # installed before the plugin was there
        command[3:3] = ["-p", "pytest_memprof"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def name_of(function: Callable[[], Any]) -> str:
    return function.__name__


@pytest.mark.parametrize("function", functions.LEAKING, ids=name_of)
def test_a_leak_is_found_with_its_holder(judged: dict[str, Any], function: Callable[[], Any]) -> None:
    """The failure names what keeps it, and says what to do; one in a hundred needs rounds that are long enough."""
    holders, message = judged[function.__name__]
    holder = f"{HERE}.{HOLDERS[function.__name__]}"
    assert holders[0].startswith(holder)  # logging has a list of weak references to its handlers too: a second place
    assert "with each call:" in message
    assert f"held by {holder}" in message
    assert "fix: " in message


@pytest.mark.parametrize("function", functions.HEALTHY, ids=name_of)
def test_a_cache_that_fills_is_no_leak(judged: dict[str, Any], function: Callable[[], Any]) -> None:
    """Nor is anything else that is let go of, or that says itself how large it becomes."""
    assert judged[f"{function.__name__} as it comes"] is None


def test_nineteen_of_the_twenty_are_right_as_they_come(judged: dict[str, Any]) -> None:
    """With the settings as they are, one in a hundred is the one that is not seen."""
    assert (len(functions.LEAKING), len(functions.HEALTHY)) == (11, 9)
    assert judged["leak_one_in_hundred as it comes"] is None


@pytest.mark.parametrize("pattern", IGNORED)
def test_what_is_to_be_ignored_is(judged: dict[str, Any], pattern: str) -> None:
    """A type or a holder that may grow is named, with a star for anything."""
    assert judged[pattern] is None


def test_log_records_and_warnings_are_no_leak(shop: str) -> None:
    """A test keeps each record and each warning of a test for its report; what was caught before stays."""
    assert "test_log_records_and_warnings_are_no_leak PASSED" in shop


def test_what_the_work_raises_passes_through() -> None:
    """An error of the work is the test's, from a plain function and from a coroutine."""

    def work() -> None:
        raise KeyError("cart")

    async def later() -> None:
        await asyncio.sleep(0)
        raise KeyError("cart")

    for one in (work, later):
        with pytest.raises(KeyError, match="cart"):
            assert_no_leak(one)


def test_a_function_that_gives_a_coroutine_is_awaited(judged: dict[str, Any]) -> None:
    """As a client's ``lambda: client.get(path)`` does, all of it in one event loop."""
    assert judged["coroutine"] == [7 * 20, 1]


async def _within_a_loop() -> None:
    assert_no_leak(functions.fine_tasks)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: assert_no_leak(None), "work is of type NoneType"),  # type: ignore[arg-type]
        (lambda: assert_no_leak(functions.fine_weak, requests=1), "requests=1 is out of range"),
        (lambda: assert_no_leak(functions.fine_weak, requests=100, confirm=400), "confirm=400 is out of range"),
        (lambda: asyncio.run(_within_a_loop()), "await asyncio.to_thread"),
    ],
)
def test_bad_arguments(call: Callable[[], None], words: str) -> None:
    """Each says what was given and what to do."""
    with pytest.raises(ConfigError, match=words):
        call()


@pytest.mark.parametrize(
    ("values", "pace"),
    [
        ([0, 20, 40, 60, 80, 100], 1.0),
        ([0, 2, 4, 6, 8, 10], 0.1),
        ([0, 1, 2, 3, 4, 5], None),  # below two a round
        ([0, 20, 40, 60, 60, 80], None),  # one round added nothing
        ([0, 50, 60, 70, 80, 90], None),  # slows down, as a cache does
        ([0, 20, 40, 60, 80, 140], None),  # one round is another matter
        ([9], None),
    ],
)
def test_what_grows_steadily(values: list[int], pace: float | None) -> None:
    """Each round must add about as much, and enough."""
    assert steady(values, 20, 0.05) == pace


def test_a_pace_must_go_on() -> None:
    """What added one for each request and now adds a fifth is a cache that is nearly full."""
    assert steady([0, 80, 160, 240], 400, 0.01) == 0.2
    assert steady([0, 80, 160, 240], 400, 0.01, pace=1.0) is None


def test_keeping_the_readings_grows_nothing(judged: dict[str, Any]) -> None:
    """The bookkeeping itself takes no block from reading to reading, once the names are known."""
    assert len(judged["readings"]) == 4
    assert max(judged["readings"]) < 20


def test_the_fixture_is_the_function_and_loads_nothing_before(shop: str) -> None:
    """A test run that does not use it imports the plugin alone; one that does fails as it should."""
    assert "1 failed, 3 passed" in shop
    assert "test_shop.KEPT keeps one Visit for each call" in shop


def _is_registered() -> bool:
    from importlib.metadata import entry_points

    return any(one.name == "memprof" for one in entry_points(group="pytest11"))


queries: collections.deque[dict[str, str]] = collections.deque(maxlen=9000)
numbers = itertools.count()


def test_what_lies_in_a_container_with_a_maximum_is_no_leak() -> None:
    """As Django keeps its last 9,000 queries with DEBUG: texts in dictionaries in a deque that says how long it is."""

    def work() -> None:
        number = next(numbers)
        queries.append({"sql": f"select {number}", "time": f"0.{number}"})

    assert_no_leak(work)
