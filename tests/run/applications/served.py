"""One application, served: started by its command, asked, and ended as a supervisor ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import signal
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.run.applications.six import Application, Ask
from tests.servers.harness import reserved_ports
from tests.servers.scrape import Scrape

START_SECONDS, STOP_SECONDS, ANSWER_SECONDS = 180.0, 60.0, 60.0


@dataclasses.dataclass
class Served:
    """A running application.

    Attributes:
        application: which.
        port: where it listens.
        process: of its command.
        folder: for its data and its output.
    """

    application: Application
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def ask(self, ask: Ask) -> bool:
        """Whether the answer is right."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{ask.path}")
        request.add_header("Accept", "application/json, text/html;q=0.5")
        if ask.body:
            request.data = ask.body.encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return status == ask.status and ask.word in body.decode(errors="replace")

    def scrape(self) -> Scrape:
        """Its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=ANSWER_SECONDS) as answer:
            return Scrape(answer.read().decode())

    def counted(self) -> Counter[str]:
        """Requests so far, by route, of all workers."""
        found: Counter[str] = Counter()
        for (name, labels), value in self.scrape().values.items():
            if name == "fogcompute_memory_route_requests_total" and dict(labels)["worker"] != "all":
                found[dict(labels)["route"]] += int(value)
        return found

    def workers(self) -> int:
        """Workers on one scrape."""
        return len(self.scrape().start_times)

    def stop(self) -> tuple[float, int | None, int]:
        """End it by TERM: the seconds until its last process has ended, its status, and how many were left."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        _, left = psutil.wait_procs(tree, timeout=STOP_SECONDS)
        return time.monotonic() - began, self.process.poll(), len(left)

    def said(self, stream: str = "out") -> str:
        """What it has printed."""
        return (self.folder / f"{stream}.log").read_text(errors="replace")


@contextlib.contextmanager
def served(
    application: Application, programs: Path, folder: Path, *, watched: bool, interval: str = "1"
) -> Iterator[Served]:
    """Run an application's command, with ``memprof run`` before it or without.

    Args:
        application: which.
        programs: the folder of its environment's programs.
        folder: for its data.
        watched: whether ``memprof run`` stands before the command.
        interval: seconds between snapshots; empty: as it is by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    application.prepare(programs, folder)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MEMPROF_", "PYTHON"))}
    environ |= {key: value.format(folder=folder) for key, value in application.settings.items()}
    environ["PATH"] = f"{programs}{os.pathsep}{environ['PATH']}"
    if interval:
        environ["MEMPROF_INTERVAL"] = interval
    with reserved_ports(1) as (port,), (folder / "out.log").open("wb") as out, (folder / "err.log").open("wb") as err:
        command = [part.format(port=port) for part in application.command]
        process = subprocess.Popen(
            [*(("memprof", "run") if watched else ()), *command],
            executable=str(programs / ("memprof" if watched else command[0])),
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        found = Served(application, port, process, folder)
        try:
            until(lambda: found.ask(application.asks[0]), f"{application.name} does not answer", found)
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], bool], what: str, found: Served, *, seconds: float = START_SECONDS) -> None:
    """Wait for something that must come to pass.

    Raises:
        TimeoutError: it has not, or the process has ended before.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if condition():
                return
        if found.process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(
                f"{what}: status {found.process.poll()}\n{found.said()[-2000:]}\n{found.said('err')[-3000:]}"
            )
        time.sleep(0.1)


def shapes(text: str) -> set[str]:
    """Lines without what differs from run to run: numbers, ids, times."""
    return {re.sub(r"[0-9a-f]*\d[0-9a-f]*", "0", line).strip() for line in text.splitlines()} - {""}


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)
