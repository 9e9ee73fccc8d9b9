"""The whole chain, for real: two applications under gunicorn, Prometheus, Alertmanager and a webhook."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers.harness import reserved_ports

# Of each application.
WORKERS = 2
# An hour of the rules takes twelve seconds here: what a busy machine delays is a small part of it.
TIME_SCALE = 300
# What a worker of the shop may use, in MB, and from which rate per (short) hour growth counts.
LIMIT_MB = 300
# Sixty snapshots where usually there is one cost sixty times as much; four hours to the limit are 48 seconds.
THRESHOLDS = {
    "growth-mb-per-hour": 5,
    "fast-growth-mb-per-hour": 10,
    "profiler-cpu-percent": 60,
    "leak-critical-seconds": 48,
}
MEMPROF = Path(sys.executable).with_name("memprof")
HERE = Path(__file__).parent
# For what must happen, not for how fast: the machine may be busy with much else.
READY_SECONDS = 90


class Stack:
    """What runs, and how to ask it.

    Attributes:
        shop: the application that will leak, as ``host:port``.
        twin: the same application, which nobody makes leak.
        deliveries: what the webhook got: seconds since the epoch, path, alert.
        workers: how many each application has.
        limit_mb: what a worker of the shop may use.
    """

    workers, limit_mb = WORKERS, LIMIT_MB

    def __init__(self, folder: Path, program: Callable[[str], str], undo: contextlib.ExitStack) -> None:
        self._folder, self._program, self._undo = folder, program, undo
        self.deliveries: list[tuple[float, str, dict[str, Any]]] = []
        ports = undo.enter_context(reserved_ports(4))
        self.shop, self.twin, self.prometheus, self.alertmanager = (f"127.0.0.1:{port}" for port in ports)

    def start(self) -> None:
        hook = self._hook()
        # Hours take seconds here, so a leak is confirmed after as short a time.
        soon = {"MEMPROF_LEAK_CONFIRM_HOURS": "0.003"}
        self._run("shop", *self._gunicorn(self.shop), MEMPROF_HEAP_SIZE_MB=str(LIMIT_MB), **soon)
        self._run("twin", *self._gunicorn(self.twin), **soon)
        self._write("alertmanager.yml", "alertmanager", **{f"{name}-url": f"{hook}/{name}" for name in RECEIVERS},
                    **{"group-wait": "1s", "group-interval": "1s", "repeat-interval": "1h"})  # fmt: skip
        self._write("rules.yml", "rules", **{"time-scale": TIME_SCALE}, **THRESHOLDS)
        self._write("prometheus.yml", "prometheus", rules="rules.yml", app=self.shop, exporter=self.twin,
                    alertmanager=self.alertmanager, **{"scrape-interval": "1s"})  # fmt: skip
        self._run(
            "alertmanager", self._program("prometheus-alertmanager"), "--config.file=alertmanager.yml",
            "--storage.path=am", f"--web.listen-address={self.alertmanager}", "--cluster.listen-address=",
        )  # fmt: skip
        self._run(
            "prometheus", self._program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
            f"--web.listen-address={self.prometheus}",
        )  # fmt: skip
        for url in (f"{self.shop}/", f"{self.twin}/", f"{self.alertmanager}/-/ready", f"{self.prometheus}/-/ready"):
            self.until(lambda url=url: get(url) is not None, READY_SECONDS, f"{url} to answer")

    def get(self, address: str, path: str, **headers: object) -> Any:
        """The JSON that an application answers; ``None`` if it answers none."""
        return json.loads(get(f"{address}{path}", **headers) or "null")

    def ask(self, promql: str, *, over: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus answers: now, or over the last seconds."""
        if over is None:
            path, arguments = "query", {"query": promql}
        else:
            now = time.time()
            path, arguments = "query_range", {"query": promql, "start": now - over, "end": now, "step": 1}
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        # One request that fails on a busy machine says nothing; a query that is refused stays refused.
        body = self.until(lambda: get(url), READY_SECONDS, f"Prometheus to answer {promql}")
        return json.loads(body)["data"]["result"]

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Asks again and again until the answer is true, and hands it back; fails with the programs' logs."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{self._state()}"
            time.sleep(0.02)
        return answer

    def each_worker(self, path: str, **headers: object) -> None:
        """Visits the shop until every worker has answered."""
        answered: set[int] = set()

        def all_have() -> bool:
            answer = self.get(self.shop, path, **headers)
            if answer is not None:
                answered.add(answer["pid"])
            return len(answered) == self.workers

        self.until(all_have, READY_SECONDS, f"every worker to answer {path}")

    def suppressed(self) -> dict[str, list[str]]:
        """The alerts that Alertmanager holds back, each with those that mute it."""
        found = json.loads(get(f"{self.alertmanager}/api/v2/alerts") or "[]")
        names = {alert["fingerprint"]: alert["labels"]["alertname"] for alert in found}
        return {
            alert["labels"]["alertname"]: [names[by] for by in alert["status"]["inhibitedBy"]]
            for alert in found
            if alert["status"]["state"] == "suppressed"
        }

    def delivered(self) -> dict[str, tuple[float, str, dict[str, Any]]]:
        """The first message that each alert fires."""
        found: dict[str, tuple[float, str, dict[str, Any]]] = {}
        for message in self._of_one_worker():
            if message[2]["status"] == "firing":
                found.setdefault(message[2]["labels"]["alertname"], message)
        return found

    def firing(self, until: float) -> set[str]:
        """The alerts of which, up to then, the last message about some worker says that they fire."""
        last = {
            (alert["labels"]["alertname"], alert["labels"]["worker"]): alert["status"]
            for when, _, alert in self._of_one_worker()
            if when <= until
        }
        return {name for (name, _), status in last.items() if status == "firing"}

    def ended(self, until: float) -> list[dict[str, str]]:
        """The labels of the alerts about some worker that were told to be over, up to then."""
        return [
            alert["labels"]
            for when, _, alert in self._of_one_worker()
            if when <= until and alert["status"] == "resolved"
        ]

    def _of_one_worker(self) -> list[tuple[float, str, dict[str, Any]]]:
        """What arrived, without what is about all workers together: others use this machine's memory too."""
        return [message for message in list(self.deliveries) if message[2]["labels"].get("worker", "all") != "all"]

    def _state(self) -> str:
        told = [f"{path} {alert['status']} {alert['labels']}" for _, path, alert in list(self.deliveries)]
        return "\n".join([*told, f"held back: {self.suppressed()}", self._logs()])

    def _logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in self._folder.glob("*.log"))

    def _hook(self) -> str:
        deliveries = self.deliveries

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                deliveries.extend((time.time(), self.path, alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self._undo.callback(lambda: (server.shutdown(), thread.join(), server.server_close()))
        return f"http://127.0.0.1:{server.server_address[1]}"

    def _gunicorn(self, address: str) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--bind", address, "app:app"]
        usage = subprocess.run([*command[:3], "--help"], capture_output=True, text=True, check=True).stdout
        # Newer ones would otherwise leave a socket in the home folder.
        return [*command, "--no-control-socket"] if "--no-control-socket" in usage else command

    def _write(self, file: str, command: str, **options: object) -> None:
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self._folder / file).open("w") as out:
            subprocess.run([MEMPROF, command, *flags], stdout=out, check=True)

    def _run(self, name: str, *command: str, **settings: str) -> None:
        log = self._undo.enter_context((self._folder / f"{name}.log").open("w"))
        process = subprocess.Popen(
            command,
            cwd=HERE if "gunicorn" in command else self._folder,
            env=os.environ | SETTINGS | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._undo.callback(lambda: (process.terminate(), process.wait(60)))


# Sixty times as often as usual takes sixty times the processor.
SETTINGS = {"MEMPROF_INTERVAL": "1", "MEMPROF_CPU_BUDGET": "50", "MEMPROF_MAX_STALL": "1000"}
RECEIVERS = ("pager", "developers", "chat")


def get(url: str, **headers: object) -> str | None:
    """The answer's body; ``None`` while nobody answers. A header ``mb=1`` is sent as ``X-mb: 1``."""
    request = urllib.request.Request(f"http://{url}", headers={f"X-{k}": str(v) for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()
    except OSError:  # also an answer that is an error
        return None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Stack]:
    with contextlib.ExitStack() as undo:
        running = Stack(tmp_path_factory.mktemp("e2e"), program, undo)
        running.start()
        yield running
