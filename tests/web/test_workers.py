"""The page of a real server: all workers, whichever answers, and a past that outlives a worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server
TOKEN = "open-sesame"
APP = """
from wsgi_memprof import MemProfMiddleware
from memprof_middleware import Config

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

application = MemProfMiddleware(app, config=Config(interval=1))
"""
_PATIENCE = 60.0


def poll(look: Callable[[], Any], what: str) -> Any:
    """What the look gives once it gives something."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not seen within {_PATIENCE:.0f} s: {what}")


class Server:
    """gunicorn with two workers on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "shop.py").write_text(APP)
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--workers",
            "2",
            "--bind",
            "127.0.0.1:0",
            *options,
            "shop:application",
        ]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MEMPROF_")}
        environment |= {"MEMPROF_TOKEN": TOKEN, "MEMPROF_RUN_DIR": str(folder / "run"), "PYTHONUNBUFFERED": "1"}
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.folder = folder
        self.port = poll(self._port, "the port in gunicorn's log")

    def _port(self) -> int | None:
        text = (self.folder / "log").read_text()
        assert self.process.poll() is None, text
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+) ", text)  # the line may be half written
        return int(found[1]) if found is not None else None

    def state(self) -> dict[str, Any]:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/memprof/api/state.json", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    if found.process.poll() is None:
        found.stop()


def rows(state: dict[str, Any]) -> dict[str, int]:
    """The live workers, by slot."""
    return {row["worker"]: row["pid"] for row in state["workers"] if row["live"]}


def seen_both(server: Server) -> dict[str, Any] | None:
    state = server.state()
    return state if len(rows(state)) == 2 and all(len(row["recent"]) > 3 for row in state["workers"]) else None


def test_all_workers_whichever_answers_and_a_past_that_outlives_one(server):
    """Both workers answer with the same picture; the one that is killed is followed by its successor in one past."""
    before = poll(lambda: seen_both(server), "two workers with a past")
    answered = {before["answering"]: rows(before)}

    def both_answered() -> bool:
        state = server.state()
        answered[state["answering"]] = rows(state)
        return len(answered) == 2

    poll(both_answered, "answers of both workers")
    assert list(answered.values()) == [rows(before)] * 2
    slot, pid = next(iter(rows(before).items()))
    began = next(row for row in before["timeline"]["series"] if row["worker"] == slot)["points"][0]
    os.kill(pid, signal.SIGKILL)

    def replaced() -> list[Any] | None:
        state = server.state()
        line = next((row for row in state["timeline"]["series"] if row["worker"] == slot), None)
        if line is None or rows(state).get(slot) in {None, pid}:
            return None
        return line["points"] if any(value is None for _, value in line["points"]) else None

    points = poll(replaced, "the successor's first row behind the past of the killed worker")
    assert points[0] == began
    run = server.folder / "run"
    kept = sum(path.stat().st_size for path in run.rglob("*.past"))
    assert kept <= 2 * 180_000
    assert all(path.stat().st_mode & 0o077 == 0 for path in run.rglob("*"))
    server.stop()
    assert not list(run.rglob("*.past")), "a server that ended left its pasts behind"
