"""Real servers: started on a free loopback port, watched from outside, and gone at the end whatever happens."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import http.client
import importlib.metadata
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.servers.scrape import Scrape

APPS = Path(__file__).with_name("apps")
# Deadlines for what must happen, not for how fast: the machine may be busy with much else.
START_SECONDS = 90.0
ALERT_SECONDS = 120.0
STOP_SECONDS = 60.0
ANSWER_SECONDS = 30.0
# How much longer a server may take to end with the profiler than without, and how often it is tried.
STOP_MARGIN = 1.0
_STOP_TRIES = 5
# Below what Linux and macOS take for outgoing connections: one of those must not have it when the server binds.
_PORTS = range(20_000, 32_000)
LEAKING = "common.Session"
# By its holder or by its type, whichever is known when it is reported.
_ALERT = re.compile(r"memprof: leak confirmed \(\d+ %\)[^:\n]*: [^\n]*\bSession\b")


class Inside(NamedTuple):
    """A serving process, as it says itself: its threads' names, and its slot if it has the profiler."""

    threads: list[str]
    worker: str | None


@dataclasses.dataclass
class Server:
    """One running server.

    Attributes:
        port: where it listens.
        process: the process that was started; others may be below it.
        log_file: its standard output and error.
    """

    port: int
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWER_SECONDS) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            error.close()  # it is an answer too, and 3.14 warns of one that is left open
            raise

    def get_many(self, path: str, times: int) -> list[str]:
        """Several requests at once, so that every worker gets some."""
        with concurrent.futures.ThreadPoolExecutor(times) as pool:
            return list(pool.map(self.get, [path] * times))

    def tree(self) -> list[psutil.Process]:
        """The server's processes."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def inside(self, workers: int, besides: Collection[int] = ()) -> dict[int, Inside]:
        """What each serving process says of itself, by pid; asked of each by requests until so many have answered.

        Args:
            workers: how many are waited for.
            besides: pids of processes that do not count, because they are about to end.
        """
        found: dict[int, Inside] = {}

        def all_seen() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):  # a worker may be killed meanwhile
                for text in self.get_many("/inside", 4 * workers):
                    answer = json.loads(text)
                    if answer["pid"] not in besides:
                        found[answer["pid"]] = Inside(answer["threads"], answer["worker"])
            return len(found) >= workers

        self.wait_for(all_seen, START_SECONDS, f"{workers} serving processes")
        return found

    @contextlib.contextmanager
    def traffic(self) -> Iterator[None]:
        """Requests without end in the background; those that a killed worker takes with it are nobody's fault."""
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.get("/inside")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(ask)
            try:
                yield
            finally:
                over.set()

    def scrape(self) -> Scrape:
        return Scrape(self.get("/metrics"))

    def leak_in_each(self, workers: int) -> None:
        """Make every worker leak from now on: request the route until each has answered, as nobody can choose who."""
        answered: set[int] = set()

        def all_have() -> bool:
            answered.update(json.loads(text)["pid"] for text in self.get_many("/leak", 4 * workers))
            return len(answered) >= workers

        self.wait_for(all_have, START_SECONDS, f"a leak in each of {workers} workers")

    def leak_until_told(self, workers: int) -> Scrape:
        """Let every worker leak; wait until the log has it and one scrape shows it as confirmed in all of them.

        One worker reports an incident of the server, and logs it before the scrape shows it. Returns that scrape.
        """
        scrapes: list[Scrape] = []
        self.leak_in_each(workers)

        def told() -> bool:
            scrapes.append(self.scrape())
            leaks, found = scrapes[-1].of("confirmed_leaks"), scrapes[-1].of("object_count", object_type=LEAKING)
            open_leaks = [worker for worker in found if leaks.get(worker, 0) >= 1]
            return self.alerts >= 1 and len(open_leaks) >= workers

        self.wait_for(told, ALERT_SECONDS, f"the leak of {workers} workers in the log and on one scrape")
        return scrapes[-1]

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Ask again and again until the condition is met.

        A request that gets no answer says nothing on a busy machine, so the condition is not met yet. An answer that
        is an error (`urllib.error.HTTPError`) is one, at once.
        """
        deadline = time.monotonic() + seconds
        while (unanswered := self._unmet(condition)) is not None:
            assert self.process.poll() is None, f"the server ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{what}: not seen in {seconds:.0f} s {unanswered}\n{self.log}"
            time.sleep(0.05)

    def _unmet(self, condition: Callable[[], bool]) -> str | None:
        """``None``: the condition is met; else why not, as far as it is known."""
        try:
            return None if condition() else ""
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            return repr(error)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get("/inside"))
        return False

    def masters(self, serving: Collection[int]) -> list[int]:
        """How many threads each process has that does not serve, once that has stopped to change."""
        looks: list[list[int]] = []

        def settled() -> bool:
            looks.append(sorted(process.num_threads() for process in self.tree() if process.pid not in serving))
            return len(looks) >= 4 and looks[-4:] == [looks[-1]] * 4

        self.wait_for(settled, START_SECONDS, "a number of threads that stays")
        return looks[-1]

    def stop(self) -> tuple[float, list[int]]:
        """Ask it to end; the seconds that took, and the pids of processes that are left."""
        tree = self.tree()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        _, left = psutil.wait_procs(tree, timeout=STOP_SECONDS)
        return time.monotonic() - began, [process.pid for process in left]

    @property
    def alerts(self) -> int:
        """Records of the leak in the log."""
        return len(_ALERT.findall(self.log))


@contextlib.contextmanager
def started(
    command: list[str],
    log_file: Path,
    *,
    bare: bool = False,
    apps: Path = APPS,
    program: str = sys.executable,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server in the folder of the applications; ``{port}`` in the command stands for the port."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MEMPROF_")}
    environ |= {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default", "BARE": "1" if bare else ""}
    environ["PYTHONPATH"] = str(apps)  # django's runserver and uvicorn's workers start anew with it
    environ |= settings or {}
    with reserved_ports(1) as (port,), log_file.open("wb") as log:
        process = subprocess.Popen(
            [program, *(part.format(port=port) for part in command)],
            cwd=apps,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        server = Server(port, process, log_file)
        try:
            server.wait_for(server.answers, START_SECONDS, "an answer")
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # workers whose master is gone are no longer below it
            process.wait(STOP_SECONDS)


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports of the loopback interface where nobody listens, and which no other test is given meanwhile.

    Not every server takes over an open socket, so each binds by itself, some time after its port was chosen. What
    reserves a port is a UDP socket with the same number: it stands in no TCP server's way, and the kernel lets it go
    with its process.
    """
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.choice(_PORTS)
            reservation = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with socket.socket() as probe, contextlib.suppress(OSError):
                reservation.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
                found.append(port)
        yield found


def least_stop_seconds(ours: float, bare: float, again: Callable[[bool], float]) -> tuple[float, float]:
    """How long a server takes to end with us and without, both as they are when nothing else delays them.

    Load can only ever add to it. So where we seem to be slow, both end once more, and of each the least counts.

    Args:
        ours: seconds with the profiler, once.
        bare: seconds without it, once.
        again: lets a server live and end once more, without the profiler or with it, and returns the seconds.
    """
    for _ in range(_STOP_TRIES):
        if ours <= bare + STOP_MARGIN:
            break
        bare, ours = min(bare, again(True)), min(ours, again(False))
    return ours, bare


def version_of(package: str, *needs: str) -> str | None:
    """The version of an installed package; ``None`` if it or one that it needs is not there."""
    try:
        return [importlib.metadata.version(name) for name in (*needs, package)][-1]
    except importlib.metadata.PackageNotFoundError:
        return None


def gunicorn_options() -> list[str]:
    """Newer gunicorns open a control socket, in one place for all; not here."""
    text = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return ["--no-control-socket"] if "--no-control-socket" in text else []
