"""Leaks and non-leaks of a few lines each, by the assertion for tests."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware.checking.series import Series, increments, steady
from memprof_middleware.errors import ConfigError
from memprof_middleware.testing import LeakError, assert_no_leak
from tests.checking import functions

HERE = "tests.checking.functions"
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


def name_of(function: Callable[[], Any]) -> str:
    return function.__name__


@pytest.mark.parametrize("function", functions.LEAKING, ids=name_of)
def test_a_leak_is_found_with_its_holder(function: Callable[[], Any]) -> None:
    """The failure names what keeps it, and says what to do; one in a hundred needs rounds that are long enough."""
    requests = 200 if function is functions.leak_one_in_hundred else 20
    with pytest.raises(LeakError) as caught:
        assert_no_leak(function, requests=requests)
    leak = caught.value.leaks[0]  # logging has a list of weak references to its handlers too: a second place
    holder = f"{HERE}.{HOLDERS[function.__name__]}"
    assert leak.holder.startswith(holder)
    message = str(caught.value)
    assert "with each call:" in message
    assert f"held by {holder}" in message
    assert "fix: " in message


@pytest.mark.parametrize("function", functions.HEALTHY, ids=name_of)
def test_a_cache_that_fills_is_no_leak(function: Callable[[], Any]) -> None:
    """Nor is anything else that is let go of, or that says itself how large it becomes."""
    assert_no_leak(function)


def test_nineteen_of_the_twenty_are_right_as_they_come() -> None:
    """With the settings as they are, one in a hundred is the one that is not seen."""
    assert (len(functions.LEAKING), len(functions.HEALTHY)) == (11, 9)
    assert_no_leak(functions.leak_one_in_hundred)


@pytest.mark.parametrize("pattern", ["*.kept_list*", f"{HERE}.Visit,{HERE}.kept_list,builtins.list"])
def test_what_is_to_be_ignored_is(pattern: str) -> None:
    """A type or a holder that may grow is named, with a star for anything."""
    assert_no_leak(functions.leak_list, ignore=pattern.split(","))


def test_log_records_and_warnings_are_no_leak(caplog: pytest.LogCaptureFixture) -> None:
    """A test keeps each record and each warning of a test for its report; what was caught before stays."""
    logger = logging.getLogger("tests.checking")
    with caplog.at_level(logging.INFO):
        logger.info("before")

        def work() -> None:
            logger.info("a visit")
            warnings.warn("old", DeprecationWarning, stacklevel=1)

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert_no_leak(work)
        logger.info("after")
    assert caplog.messages == ["before", "after"]


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


def test_a_function_that_gives_a_coroutine_is_awaited() -> None:
    """As a client's ``lambda: client.get(path)`` does, all of it in one event loop."""
    loops, visits = set[int](), 0

    async def visit() -> None:
        nonlocal visits
        visits += 1
        loops.add(id(asyncio.get_running_loop()))

    assert_no_leak(lambda: visit())  # noqa: PLW0108 - as people write it
    assert (visits, len(loops)) == (7 * 20, 1)


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


def test_keeping_the_readings_grows_nothing() -> None:
    """The bookkeeping itself takes no block from reading to reading, once the names are known."""
    series = Series(8)
    for _ in range(8):
        series.take()
    assert max(increments(series.blocks)[3:]) < 20


def test_the_fixture_is_the_function_and_loads_nothing_before(tmp_path: Path) -> None:
    """A test run that does not use it imports the plugin alone; one that does fails as it should."""
    (tmp_path / "test_shop.py").write_text(
        "import sys\nKEPT = []\n"
        "class Visit: pass\n"
        "def test_loads_nothing():\n"
        "    assert [name for name in sys.modules if name.startswith('memprof_middleware')] == []\n"
        "def test_leaks(memprof):\n    memprof(lambda: KEPT.append(Visit()))\n"
        "def test_clean(memprof):\n    memprof(lambda: Visit())\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_shop.py"]
    if not _is_registered():  # installed before the plugin was there
        command[3:3] = ["-p", "pytest_memprof"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "test_shop.KEPT keeps one Visit for each call" in done.stdout


def _is_registered() -> bool:
    from importlib.metadata import entry_points

    return any(one.name == "memprof" for one in entry_points(group="pytest11"))
