"""What the workers of a real ``gunicorn --preload`` keep to themselves, with 2 and with 8 of them: private memory.

The application is that of the benchmark ``preload``: Django and 150,000 objects. Each worker serves 300 requests; with
the profiler it takes a snapshot a second meanwhile, 60, an hour's at the default interval. Counts of pages, no timing.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness, preload

WORKERS = (2, 8)
_SECONDS = 60.0
_REQUESTS = 300  # of each worker
VARIANTS = ("bare", "pure", "compiled")
_MB = 2**20


def application() -> Any:
    """What gunicorn loads before it forks; the variant is in the environment."""
    variant = os.environ["BENCHMARK_VARIANT"]
    if variant == "pure":
        sys.modules["memprof_native"] = None  # type: ignore[assignment]
    # A budget that puts nothing off, since an hour's snapshots are to be taken in a minute.
    return preload.load(variant, background=True, interval=1, cpu_budget=100)


def run(*, quick: bool) -> dict[str, Any]:
    """Each variant under a server of its own, one after the other."""
    numbers = WORKERS[:1] if quick else WORKERS
    return {str(number): {one: harness.interval(_served(one, number)) for one in VARIANTS} for number in numbers}


def show(results: dict[str, Any]) -> str:
    """One table."""
    return table("workers", results)


def table(first: str, results: dict[str, Any]) -> str:
    """One table, with a row for each case."""
    return harness.table(
        (first, "private memory of one, MB: bare", "pure", "ratio", "compiled", "ratio"),
        [
            (
                number,
                harness.spread(row["bare"], 1),
                *(
                    cell
                    for variant in VARIANTS[1:]
                    for cell in (harness.spread(row[variant], 1), f"{row[variant][0] / row['bare'][0]:.2f}")
                ),
            )
            for number, row in results.items()
        ],
    )


def _served(variant: str, number: int) -> list[float]:
    return served("benchmarks.preforked", variant, number)


def served(
    module: str,
    variant: str,
    number: int,
    *,
    python: Path = Path(sys.executable),
    pages: Sequence[str] = ("/",),
    environ: Mapping[str, str] | None = None,
) -> list[float]:
    """Private memory of each worker in the end, in MB.

    Args:
        module: where the application is.
        variant: with which profiler.
        number: how many workers.
        python: the interpreter that has the application's packages.
        pages: what is asked for, in turn.
        environ: environment variables to add.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEMPROF_")}
    command = [str(python), "-m", "gunicorn", f"{module}:application()", "--preload"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = subprocess.Popen(
            [*command, "--workers", str(number), "--bind", f"fd://{listener.fileno()}", "--log-level", "warning"],
            cwd=harness.ROOT,
            env=inherited | {"BENCHMARK_VARIANT": variant, "PYTHONHASHSEED": "0"} | dict(environ or {}),
            pass_fds=[listener.fileno()],
        )
    try:
        _serve(port, pages[0])  # the socket is there: it waits until the first worker is
        began, total = time.monotonic(), number * _REQUESTS
        for done in range(total):
            _serve(port, pages[done % len(pages)])
            time.sleep(max(0.0, began + _SECONDS * done / total - time.monotonic()))
        workers = psutil.Process(server.pid).children()
        if len(workers) != number:
            raise RuntimeError(f"{len(workers)} workers are there, not {number}")
        return [worker.memory_full_info().uss / _MB for worker in workers]
    finally:
        server.terminate()
        server.wait()


def _serve(port: int, page: str) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", page)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the application answers {page} with {answer.status}")
