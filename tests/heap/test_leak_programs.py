"""Each pattern of the advice by a program that leaks so, and by its healthy twin."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from memprof_middleware.text.advice import PATTERNS
from tests.heap import leak_programs

# What no small program of Python shows: native memory in three forms; caches and query logs that name their maximum
# size, which are left alone; and leaks without a pattern.
NOT_SHOWN = {"cache_too_large", "query_log", "native", "mapped", "allocator_retention", "held", "unknown"}
FILLED_IN = {
    "timer_pending": "handle, line 17 of app.py",
    "exception_kept": "request, line 13 of app.py",
    "lru_method": "Price.quote, line 5 of app.py",
    "lru_unbounded": "lookup, line 8 of app.py",
    "log_handler": "request, line 7 of app.py",
    "receivers": "request, line 18 of app.py",
    "callback_registry": "request, line 14 of app.py",
    "metric_labels": "request, line 7 of app.py",
    "client_per_request": "request, line 7 of app.py",
    "thread_kept": "request, line 12 of app.py",
    "removes_too_little": "Prices.get, line 10 of app.py",
    "module_mapping": "request, line 9 of app.py",
    "module_list": "request, line 9 of app.py",
    "ttl_rising": "Store.keep, line 7 of app.py",
}
MUTE = ("Future", "ReferenceType", "frame ", "lock", "_asyncio", "TimerHandle")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What is said of each program, each run in a process of its own."""
    folder = tmp_path_factory.mktemp("programs")
    done = subprocess.run(
        [sys.executable, leak_programs.__file__, folder], check=True, capture_output=True, text=True, timeout=300
    )
    assert not done.stderr, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["key"], row["variant"]): row for row in rows}


def test_the_line_on_which_tasks_wait_is_named(found):
    """Of tasks that never finish the line in the application is named on which they wait."""
    row = found["task_unfinished", "leaking"]
    assert (row["waits_at"], "(app.py:12)" in row["fix"]) == ("app.py:12", True), row


def test_there_is_a_program_for_each_pattern():
    """A pattern without a program is named here, with the reason."""
    assert leak_programs.PROGRAMS.keys() == {pattern.key for pattern in PATTERNS} - NOT_SHOWN


@pytest.mark.parametrize("key", leak_programs.PROGRAMS)
def test_a_leaking_program_gets_its_advice(found, key):
    """The first incident of each program has the pattern that it was written for, and a headline that tells."""
    row = found[key, "leaking"]
    assert row["advice"] == row["pattern"] == key, row
    assert not any(word in row["headline"] for word in MUTE), row["headline"]


@pytest.mark.parametrize("key", leak_programs.PROGRAMS)
def test_a_healthy_program_does_not(found, key):
    """The twin, in which the fault is mended, grows not at all or is no case of the pattern."""
    assert found[key, "healthy"].get("advice") != key


@pytest.mark.parametrize(("key", "function"), FILLED_IN.items())
def test_the_line_that_adds_is_named(found, key, function):
    """The card says in which function, on which line, the container is filled."""
    row = found[key, "leaking"]
    assert function in row["filled_in"], row
    assert row["file"] == "app.py"
    assert row["line"] > 0
