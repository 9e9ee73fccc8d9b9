"""Flame graphs and ``memprof top`` with a real server of two workers: the right one is looked at, whoever answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.servers.harness import gunicorn_options, started

pytestmark = pytest.mark.server
TOKEN = "open-sesame-42"
WAIT_SECONDS = 60.0


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


class Shop:
    """The server, asked with the token."""

    def __init__(self, server, run_dir):
        self.server, self.run_dir = server, run_dir

    def ask(self, path, method="GET"):
        """Status, headers and body; errors are answers too."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}/memprof/{path}",
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        try:
            with OPENER.open(request, timeout=20) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def pids(self):
        found = set()

        def both():
            state = json.loads(self.ask("api/state.json")[2])
            found.update(row["pid"] for row in state["workers"] if row["live"])
            return len(found) == 2

        self.server.wait_for(both, WAIT_SECONDS, "two workers in the state")
        return sorted(found)

    def limits(self, path="/tracing"):
        """How deep each worker traces; 0: it does not."""
        found = {}

        def both():
            for text in self.server.get_many(path, 8):
                answer = json.loads(text)
                found[answer["pid"]] = answer["limit"]
            return len(found) == 2

        self.server.wait_for(both, WAIT_SECONDS, "both workers' answers")
        return found

    def order(self, pid, seconds, engine="tracemalloc"):
        """The path of the graph, once the server's pause is over."""
        location = []

        def taken():
            path = f"flame?pid={pid}&seconds={seconds}&engine={engine}"
            status, headers, body = self.ask(path, "POST")
            assert status in {303, 429}, body
            location.append(headers.get("Location"))
            return status == 303

        self.server.wait_for(taken, WAIT_SECONDS, "an order that is taken")
        return location[-1]

    def result(self, path):
        """The figures of a graph, once they are there."""
        found = []

        def there():
            status, _, body = self.ask(f"{path}.json")
            if status == 200:
                found.append(json.loads(body))
            return status == 200

        self.server.wait_for(there, WAIT_SECONDS, f"the result {path}")
        return found[0]


@pytest.fixture
def shop(tmp_path):
    run_dir = tmp_path / "run"
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *gunicorn_options(), "flame_app"]
    settings = {"MEMPROF_TOKEN": TOKEN, "MEMPROF_RUN_DIR": str(run_dir)}
    with started(command, tmp_path / "log", settings=settings) as server:
        yield Shop(server, run_dir)


def test_the_worker_that_was_asked_for_is_looked_at(shop):
    """Whichever worker answers, the window opens in the one that was named, and only there; all know its result.

    After the last worker has left, nothing is left of it on the disk.
    """
    for pid in shop.pids():
        path = shop.order(pid, 3)
        seen = []

        def it_traces(pid=pid, seen=seen):
            seen.append(shop.limits())
            return seen[-1][pid] > 0

        shop.server.wait_for(it_traces, WAIT_SECONDS, f"a trace in {pid}")
        assert [limits for limits in seen for other in limits if other != pid and limits[other]] == []
        shop.server.get_many("/basket", 40)
        result = shop.result(path)
        assert (result["pid"], result["error"]) == (pid, "")
        assert result["requests"] > 0
        stacks = {shop.ask(f"{path}.collapsed")[2] for _ in range(8)}
        assert len(stacks) == 1, "both workers give the same"
        assert b"flame_app.py:fill_basket" in stacks.pop()
        assert set(shop.limits().values()) == {0}
    page = shop.ask(path)[2].decode()
    assert "flame_app.py:fill_basket" in page
    assert "wsgi_memprof" not in page
    shop.server.stop()
    assert [path for path in shop.run_dir.rglob("*") if path.is_file()] == []
    assert "internal error in " not in shop.server.log


def test_a_trace_of_the_applications_is_never_stopped(shop):
    """The application traces in both workers: there is no graph, the page says why, and the traces go on."""
    shop.server.wait_for(lambda: set(shop.limits("/trace").values()) == {3}, WAIT_SECONDS, "traces of the application")
    result = shop.result(shop.order(shop.pids()[0], 2))
    assert "tracemalloc traces already" in result["error"]
    assert set(shop.limits().values()) == {3}


def test_memray_in_the_worker_that_was_asked_for(shop):
    """With the extra, memray's tracker runs in the named worker, and its own file can be read by memray."""
    memray = pytest.importorskip("memray", reason="memray is not installed here")
    pid = shop.pids()[1]
    path = shop.order(pid, 3, "memray")

    def begun():
        return b"left." in shop.ask(path)[2] or shop.ask(f"{path}.json")[0] == 200

    shop.server.wait_for(begun, WAIT_SECONDS, "a window")
    while shop.ask(f"{path}.json")[0] != 200:
        shop.server.get_many("/basket", 20)
    result = shop.result(path)
    assert (result["pid"], result["error"], result["has_bin"]) == (pid, "", True)
    assert b"flame_app.py:fill_basket" in shop.ask(f"{path}.collapsed")[2]
    file = Path(shop.run_dir, "memray.bin")
    file.write_bytes(shop.ask(f"{path}.bin")[2])
    with memray.FileReader(file) as reader:
        assert reader.metadata.pid == pid


def test_a_worker_that_dies_in_its_window(shop):
    """The window's worker is killed: its page says so at once, and the next graph of the others is not held up."""
    pid, other = shop.pids()
    path = shop.order(pid, 60)
    shop.server.wait_for(lambda: b"left." in shop.ask(path)[2], WAIT_SECONDS, "a window")
    os.kill(pid, signal.SIGKILL)
    assert "the worker ended" in shop.result(path)["error"]
    assert shop.result(shop.order(other, 1))["error"] == ""


def test_top(shop):
    """``memprof top --once`` shows both workers of the real server, and the leak; it ends as the state says."""
    pids = shop.pids()
    program = "import sys; from memprof_middleware.cli import main; sys.exit(main())"
    shown = []

    def leak_is_shown():
        shop.server.get_many("/leak", 8)
        done = subprocess.run(
            [sys.executable, "-c", program, "top", f"127.0.0.1:{shop.server.port}", "--once"],
            capture_output=True,
            text=True,
            env={**os.environ, "MEMPROF_TOKEN": TOKEN},
            check=False,
            timeout=60,
        )
        assert done.returncode in {0, 1}, done.stderr
        shown.append(done)
        return (
            "more and more Session objects: +" in done.stdout and "common.Session" in done.stdout.partition("TYPE")[2]
        )

    shop.server.wait_for(leak_is_shown, WAIT_SECONDS, "the leak in the terminal")
    assert all(str(pid) in shown[-1].stdout for pid in pids)
    assert shown[-1].returncode == (re.search(r"(?<!NO )LEAK CONFIRMED", shown[-1].stdout) is not None)
