"""Does a forked child ever hang? Forks from a process whose profiler is at work, and has each child use it.

Run it with ``python benchmarks/forks.py [FORKS] [WAY ...]``. No socket listens, so the profiler's thread looks for one
once a second and holds its locks for long; two more threads ask for the metrics and log now and then. They log without
a buffer: that of a stream has a lock which Python does not renew in a child, with or without a profiler. The ways:

- ``fork``: the child calls ``ensure_running()``, counts a request, is scraped, logs and ends
- ``request``: the same while the forking thread is in the middle of a request
- ``exit``: the child ends as Python does, with what is registered for it
- ``mp-fork``, ``mp-forkserver``: children of ``multiprocessing``

Prints the children that hung, with their stacks, and those that failed; its status is 1 if there were any.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import NoReturn

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import Request

# A child is done within a tenth of a second; on a machine that does much else a little later.
_HUNG_SECONDS = 20.0
# Of those that cost a new interpreter or a second at their end, as many as take no longer than the others.
_DEAR = {"exit": 10, "mp-fork": 10, "mp-forkserver": 50}


class Unbuffered(logging.Handler):
    """Writes to nowhere, as a handler of the standard library writes to a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._nowhere = os.open(os.devnull, os.O_WRONLY)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        os.write(self._nowhere, self.format(record).encode())


def work(profiler: MemoryProfiler) -> None:
    """What a worker does."""
    profiler.ensure_running()
    profiler.traffic.started += 1
    profiler.traffic.end("GET /")
    response = MetricsEndpoint(profiler).respond(Request(method="GET", path="/metrics"))
    logging.getLogger("memprof").warning("a child")
    assert response.status == 200
    assert profiler.running
    assert profiler.metrics().requests == 1


def fork(profiler: MemoryProfiler, end: Callable[[int], NoReturn] = os._exit) -> int:
    """The pid of a child that does its work."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            faulthandler.dump_traceback_later(_HUNG_SECONDS / 2)
            work(profiler)
            status = 0
        except BaseException:
            traceback.print_exc()
        end(status)
    return pid


def ended_well(pid: int) -> str:
    """Empty if a child ended well in time, else what it did."""
    until = time.monotonic() + _HUNG_SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return f"failed with {status}" if status else ""
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


def forked(profiler: MemoryProfiler) -> str:
    """One child of this process."""
    return ended_well(fork(profiler))


def forked_in_a_request(profiler: MemoryProfiler) -> str:
    """One child that is made while a request is under way."""
    profiler.traffic.started += 1
    try:
        return forked(profiler)
    finally:
        profiler.traffic.end("GET /fork")


def as_python_ends(status: int) -> NoReturn:
    """End with what is registered for the end, but not with what this program has open around it."""
    atexit._run_exitfuncs()
    os._exit(status)


def exited(profiler: MemoryProfiler) -> str:
    """One child that ends by the way out that Python has, after a fork in which nothing of ours is used."""
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(_HUNG_SECONDS / 2)
        as_python_ends(0)
    return ended_well(pid) or ended_well(fork(profiler, as_python_ends))


def _work_there(given: MemoryProfiler | None) -> None:
    work(given or MemoryProfiler(Config(interval=1, run_dir=tempfile.gettempdir())))


def multiprocessed(method: str, profiler: MemoryProfiler | None) -> str:
    """One child of multiprocessing."""
    process = multiprocessing.get_context(method).Process(target=_work_there, args=(profiler,))
    process.start()
    process.join(_HUNG_SECONDS)
    if process.exitcode is None:
        process.kill()
        return "hung"
    return f"failed with {process.exitcode}" if process.exitcode else ""


WAYS: dict[str, Callable[[MemoryProfiler], str]] = {
    "fork": forked,
    "request": forked_in_a_request,
    "exit": exited,
    "mp-fork": lambda profiler: multiprocessed("fork", profiler),
    "mp-forkserver": lambda _: multiprocessed("forkserver", None),
}


@contextlib.contextmanager
def at_work(profiler: MemoryProfiler) -> Iterator[None]:
    """Threads that ask and log while the block runs, beside the profiler's own."""
    ending = threading.Event()
    endpoint = MetricsEndpoint(profiler)

    def ask() -> None:
        while not ending.wait(0.1):
            endpoint.respond(Request(method="GET", path="/metrics"))

    def tell() -> None:
        while not ending.wait(0.01):
            logging.getLogger("memprof").info("the parent")

    threads = [threading.Thread(target=target, daemon=True) for target in (ask, tell)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def main(forks: int, ways: list[str]) -> int:
    """Fork so often each way; how many children hung or failed."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # that a process with threads forks is the point
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        logger = logging.getLogger("memprof")
        logger.addHandler(Unbuffered())
        logger.setLevel(logging.INFO)
        logger.propagate = False
        profiler = MemoryProfiler(Config(interval=1, run_dir=folder))
        profiler.start()
        with at_work(profiler):
            for way in ways:
                number = max(1, forks // _DEAR.get(way, 1))
                outcomes = [outcome for outcome in (WAYS[way](profiler) for _ in range(number)) if outcome]
                print(
                    f"Python {sys.version.split()[0]} {way}: {number} forks, {outcomes.count('hung')} hung, "
                    f"{len(outcomes) - outcomes.count('hung')} failed",
                    flush=True,
                )
                bad += len(outcomes)
        profiler.stop()
    return bad


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(1 if main(int(given[0]) if given else 5000, given[1:] or list(WAYS)) else 0)
