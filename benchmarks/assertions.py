"""What fails a test that leaks: ``assert_no_leak`` beside pytest-memray, python-leak-hunter and pyleak.

The same twenty functions, eleven that leak and nine that do not, each in a test of pytest as the tool's manual writes
it. Every tool has a process of its own, and the tests without a tool are run beside them for the cost.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import harness

_HEAD = """
import asyncio, inspect, pytest
from tests.checking import functions
EACH = pytest.mark.parametrize("work", [*functions.LEAKING, *functions.HEALTHY], ids=lambda one: one.__name__)

async def repeat_async(work):
    for _ in range(140):
        await work()

def repeat(work):
    if inspect.iscoroutinefunction(work):
        asyncio.run(repeat_async(work))
    else:
        for _ in range(140):
            work()

"""
# The limit of pytest-memray is of one place that allocates: what 140 calls keep of the smallest leak is some 4 kB.
_MEMRAY = """
@EACH
@pytest.mark.limit_leaks("{limit}")
def test_work(work):
    repeat(work)
"""
TOOLS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no tool": ("", "@EACH\ndef test_work(work):\n    repeat(work)\n", ()),
    "memprof assert_no_leak": ("", "@EACH\ndef test_work(work, memprof):\n    memprof(work)\n", ()),
    "pytest-memray, limit 1 KB": ("pytest-memray", _MEMRAY.format(limit="1 KB"), ("--memray",)),
    "pytest-memray, limit 10 KB": ("pytest-memray", _MEMRAY.format(limit="10 KB"), ("--memray",)),
    "python-leak-hunter": (
        "python-leak-hunter",
        (
            "from leak_hunter import assert_no_leak, assert_no_leak_async\n\n@EACH\ndef test_work(work):\n"
            "    if inspect.iscoroutinefunction(work):\n        asyncio.run(assert_no_leak_async(work))\n"
            "    else:\n        assert_no_leak(work)\n"
        ),
        (),
    ),
    "python-leak-hunter, trace": (
        "python-leak-hunter",
        (
            "from leak_hunter import assert_no_leak, assert_no_leak_async\n\n@EACH\ndef test_work(work):\n"
            "    if inspect.iscoroutinefunction(work):\n        asyncio.run(assert_no_leak_async(work, trace=True))\n"
            "    else:\n        assert_no_leak(work, trace=True)\n"
        ),
        (),
    ),
    "pyleak": (
        "pyleak",
        (
            "from pyleak import no_task_leaks, no_thread_leaks\n\n@EACH\ndef test_work(work):\n"
            "    async def watched():\n        async with no_task_leaks(action='raise'):\n"
            "            await repeat_async(work)\n"
            "    if inspect.iscoroutinefunction(work):\n        asyncio.run(watched())\n"
            "    else:\n        with no_thread_leaks(action='raise'):\n            repeat(work)\n"
        ),
        (),
    ),
}
"""By name, the distribution that it needs, its test, and its options of pytest."""
_REPORT = """
import json, os, pytest, time

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    began = time.process_time()
    yield
    _write(cpu=item.nodeid, seconds=time.process_time() - began)
    return True

def pytest_runtest_logreport(report):
    if report.when == "call":
        _write(node=report.nodeid, outcome=report.outcome, text=str(report.longrepr or "")[:4000])

def _write(**line):
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps(line) + chr(10))
"""


def run(*, quick: bool = False) -> dict[str, Any]:  # noqa: ARG001 - it takes a minute
    """Right answers and processor time of each tool."""
    return {name: _measured(*tool) for name, tool in TOOLS.items()}


def _measured(needs: str, test: str, options: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = version(needs) if needs else ""
    except PackageNotFoundError:
        return {"version": None}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text(_REPORT)
        Path(folder, "test_work.py").write_text(_HEAD + test)
        outcomes = Path(folder, "outcomes")
        environ = {**os.environ, "PYTHONPATH": str(harness.ROOT), "OUTCOMES": str(outcomes)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
        done = subprocess.run(
            [*command, "test_work.py"], cwd=folder, env=environ, check=False, capture_output=True, text=True
        )
        if not outcomes.exists():
            raise RuntimeError(f"no test was run:\n{done.stdout[-2000:]}")
        lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
    tests = [line for line in lines if "node" in line]
    return {
        "version": found,
        "cpu_seconds": {_name(line["cpu"]): line["seconds"] for line in lines if "cpu" in line},
        "failed": {_name(line["node"]): line["outcome"] == "failed" for line in tests},
        "named": [_name(line["node"]) for line in tests if _names_holder(_name(line["node"]), line["text"])],
    }


def _name(node: str) -> str:
    return node.partition("[")[2].removesuffix("]")


def _names_holder(name: str, text: str) -> bool:
    """Whether the failure says what keeps it: the variable, not the line that allocated."""
    from tests.checking.test_functions import HOLDERS

    return f"functions.{HOLDERS.get(name, '?')}" in text


def show(results: dict[str, Any]) -> str:
    """A table."""
    rows = [
        "| tool | leaks found | with holder | false alarms | right of 20 | cpu s, healthy | cpu s, leaking |",
        "|---|---|---|---|---|---|---|",
    ]
    wrong = []
    for name, one in results.items():
        if one["version"] is None:
            rows.append(f"| {name} | not installed | | | | | |")
            continue
        leaks = {test for test in one["failed"] if test.startswith("leak_")}
        found = {test for test in leaks if one["failed"][test]}
        false = {test for test, failed in one["failed"].items() if failed} - leaks
        right = len(one["failed"]) - len(leaks - found) - len(false)
        cost = one["cpu_seconds"]
        rows.append(
            f"| {name} {one['version']} | {len(found)} of {len(leaks)} | {len(one['named'])} | {len(false)} | {right} "
            f"| {_median(cost, cost.keys() - leaks):.3f} | {_median(cost, leaks):.3f} |"
        )
        wrong.append(f"{name}: missed {sorted(leaks - found)}, false alarms {sorted(false)}")
    return "\n".join([*rows, "", *wrong])


def _median(seconds: dict[str, float], tests: Iterable[str]) -> float:
    return statistics.median(seconds[test] for test in tests)
