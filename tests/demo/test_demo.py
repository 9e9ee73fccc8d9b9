"""The demo as a user runs it: the command, real servers, real signals."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.server
_COMMAND = "import sys; from memprof_middleware.cli import main; sys.exit(main())"
# For what must happen, not for how fast: the machine may be busy with much else.
_PATIENCE = 240.0


class Demo:
    """One run of ``memprof demo``, with a mark in its environment by which its processes are known."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "demo", "--port", "0", "--seconds", "15", "--patience", "120", *options],
            cwd=folder,
            env=os.environ | {"SHOP_TEST_MARK": self._mark} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._lines: queue.Queue[str | None] = queue.Queue()  # None: no more will come
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def read_until(self, wanted: str) -> str:
        """The first line that holds a text."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"ended without {wanted!r}: {self.output}"
            if wanted in line:
                return line

    def wait(self) -> int:
        status = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return status

    def others(self) -> list[psutil.Process]:
        """What it started and still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != self.process.pid and process.environ().get("SHOP_TEST_MARK") == self._mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def await_no_others(self) -> None:
        """What is killed takes a moment to be gone."""
        deadline = time.monotonic() + _PATIENCE
        while left := self.others():
            if time.monotonic() > deadline:
                for process in left:
                    process.kill()
                raise AssertionError(f"left behind: {left}")
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output += line
                self._lines.put(line)
        self._lines.put(None)


def requests_of(url: str) -> float:
    """How many requests the shop has answered, which a scrape is none of."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = re.search(r"^fogcompute_memory_requests_total\S* (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def await_death(process: psutil.Process) -> None:
    """Until its parent, which waits, could learn of it."""
    deadline = time.monotonic() + _PATIENCE
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it lives"
            time.sleep(0.01)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    runs: list[Demo] = []

    def start(*options: str, **environment: str) -> Demo:
        runs.append(Demo(tmp_path, *options, **environment))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.terminate()
        run.wait()
        run.await_no_others()


def _check_report(output: str) -> None:
    assert "The leak: found" in output
    assert "The cache: left alone" in output
    assert "Also" not in output  # no third type was called
    assert "600, reached after" in output
    assert "Route POST /cart" in " ".join(output.replace("│", "").split())
    assert "memprof: leak confirmed (" in output
    assert 'fogcompute_memory_object_count{object_type="shop.Product",worker="0"} 600.0' in output
    assert ", 0 failed)" in output
    assert output.rstrip().splitlines()[-1].startswith(("Passed: ", "  http"))
    assert not [character for character in output if not character.isprintable() and character != "\n"]


@pytest.mark.parametrize("host", ["wsgi", "flask", "django"])
def test_the_leak_is_found_and_the_cache_left_alone(demo, host):
    """On each host the demo ends with status 0 and a whole report that a log file can hold."""
    run = demo("--host", host)
    assert run.wait() == 0, run.output
    _check_report(run.output)


def test_keep_leaves_the_shop_serving_until_ctrl_c(demo):
    """With --keep the printed URLs work, visitors go on, Ctrl-C is the regular end; settings of others do no harm."""
    run = demo("--host", "asgi", "--keep", MEMPROF_METRICS_TOKEN="not-for-the-demo", MEMPROF_INTERVAL="3600")
    url = run.read_until("/metrics  for Prometheus").split()[0]
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"fogcompute_memory_active_leaks" in answer.read()
    address, *_, token = run.read_until("/memprof/  the page; its token").split()
    asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert b"shop.SESSIONS" in answer.read()
    served = requests_of(url)
    deadline = time.monotonic() + _PATIENCE
    while requests_of(url) < served + 20:
        assert time.monotonic() < deadline, "no visitor comes any more"
        time.sleep(0.2)
    assert run.others()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0, run.output
    _check_report(run.output)


def test_a_shop_without_a_leak_fails_the_demo(demo):
    """The demo does not pass by itself: with the leak repaired it says that none was found."""
    run = demo("--host", "asgi", "--patience", "0", SHOP_SESSION_LIMIT="100")
    assert run.wait() == 1, run.output
    assert "Failed: The leak was not found: the log never called shop.Session." in run.output
    assert "The cache: left alone" in run.output


def test_a_server_that_dies_fails_the_demo(demo):
    """When the server is gone the demo ends at once and says so."""
    run = demo("--host", "asgi")
    run.read_until("5 s  ")
    # The demo waits meanwhile, however long it takes us.
    run.process.send_signal(signal.SIGSTOP)
    (server,) = run.others()
    server.kill()
    await_death(server)
    run.process.send_signal(signal.SIGCONT)
    assert run.wait() == 1, run.output
    assert " 10 s  " not in run.output
    assert "The server died (status -9)." in run.output
    assert "The end of the server's log" in run.output
    assert "Uvicorn running on" in run.output


def test_a_shop_that_cannot_start_shows_why(demo):
    """A server that ends before it serves is an error with its log, not a traceback of the demo."""
    run = demo("--host", "asgi", SHOP_SESSION_LIMIT="many")
    assert run.wait() == 1
    assert "invalid literal for int() with base 10: 'many'" in run.output
    assert run.output.splitlines()[-1] == "memprof demo: the server ended with status 1 before it served"


@pytest.mark.parametrize(
    ("host", "sent", "moment"),
    [
        ("asgi", signal.SIGINT, "5 s  "),
        ("asgi", signal.SIGHUP, "Starting"),
        ("flask", signal.SIGTERM, "5 s  "),
        ("flask", signal.SIGINT, "Starting"),
    ],
)
def test_an_interrupted_demo_leaves_no_process(demo, host, sent, moment):
    """Ctrl-C, a polite kill, a closed terminal: each ends the server and its workers, at the start as in the middle."""
    run = demo("--host", host)
    run.read_until(moment)
    run.process.send_signal(sent)
    assert run.wait() == 130, run.output
    assert run.output.endswith("memprof demo: stopped\n")
    run.await_no_others()
