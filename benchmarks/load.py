"""What a profiler costs a real server that is kept busy: processor time per request, throughput, latency.

A bare server and one with a variant run side by side, and slices of load take turns. Processor time per request is
the figure to trust, as a ratio of means, so that work which comes now and then counts in full; throughput and
latency on a machine of few cores say as much about the neighbours. A profiler's work comes by the second, not by the
request: where neighbours take the processor away, fewer requests share it, and the ratio rises.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import client, harness

CONNECTIONS = 8
START_SECONDS = 90.0
RATIOS = ("throughput ratio", "p99 ratio")
_COMMANDS = {
    "starlette": "uvicorn --factory benchmarks.hosts:served --port {port} --log-level warning --no-access-log",
    "flask": "gunicorn benchmarks.hosts:served() --bind 127.0.0.1:{port} --workers 1 --log-level warning",
}
# Without a budget objects are counted every second, whatever it costs.
_NO_BUDGET = {"MEMPROF_CPU_BUDGET": "100", "MEMPROF_MAX_STALL": "100000"}
_SETTINGS: dict[str, tuple[str, dict[str, str]]] = {
    "again": ("bare", {}),
    "ours, every 1 s": ("ours", {"MEMPROF_INTERVAL": "1"}),
    "ours, every 1 s, no budget": ("ours", {"MEMPROF_INTERVAL": "1"} | _NO_BUDGET),
    "starlette-exporter": ("starlette-exporter", {}),
    "prometheus-flask-exporter": ("prometheus-flask-exporter", {}),
    "dozer": ("dozer", {}),
}
_ROWS = {
    "starlette": ("again", "ours, every 1 s", "ours, every 1 s, no budget", "starlette-exporter"),
    "flask": ("again", "ours, every 1 s", "ours, every 1 s, no budget", "prometheus-flask-exporter", "dozer"),
}


def run(*, quick: bool) -> dict[str, Any]:
    """Two servers, without ballast and with a million live objects."""
    found: dict[str, Any] = {"client": "wrk" if shutil.which("wrk") else "asyncio", "rows": []}
    for host, names in _ROWS.items():
        for ballast in (1_000_000,) if quick else (0, 1_000_000):
            with _server(host, "bare", {"BALLAST": str(ballast)}) as bare:
                for name in names:
                    variant, settings = _SETTINGS[name]
                    with _server(host, variant, settings | {"BALLAST": str(ballast)}) as other:
                        if ballast and settings.keys() == {"MEMPROF_INTERVAL"} and not quick:
                            _wait_until_budget_binds(other)
                        row = _compare(bare, other, rounds=2 if quick else 14, seconds=0.8 if quick else 1.0)
                    found["rows"].append({"host": host, "objects": ballast, "variant": name} | row)
    return found


def show(found: dict[str, Any]) -> str:
    """The table."""
    header = (
        "server",
        "objects",
        "variant",
        "CPU a request, bare, us (and how busy the server was)",
        "CPU ratio",
        *RATIOS,
    )
    return harness.table(header, [_shown(row) for row in found["rows"]])


def _shown(row: dict[str, Any]) -> list[str]:
    ratios = [row["cpu"]["ratio_of_means"], *(row[key]["ratio"] for key in ("throughput", "p99"))]
    bare = f"{row['cpu']['base']:.0f} ({row['busy']['base']:.0%} busy)"
    return [row["host"], f"{row['objects']:,}", row["variant"], bare, *(harness.spread(ratio, 3) for ratio in ratios)]


class _Server:
    """A running server, and the processes that serve."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        top = psutil.Process(process.pid)
        self.pids = [child.pid for child in top.children(recursive=True)] or [process.pid]

    def cpu_seconds(self) -> float:
        """Processor time of all threads, to the nanosecond: the ticks of /proc/pid/stat are 10 ms."""
        return sum(
            int(path.read_text().split()[0]) / 1e9
            for pid in self.pids
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )

    def slice(self, seconds: float) -> dict[str, float]:
        """One slice of load."""
        before = self.cpu_seconds()
        seen = _wrk(self.port, seconds) if shutil.which("wrk") else client.drive(self.port, seconds, CONNECTIONS)
        if not seen["requests"] or seen["errors"] > 0.01 * seen["requests"]:
            raise RuntimeError(f"{seen['errors']:.0f} errors in {seen['requests']:.0f} requests: no measurement")
        used = self.cpu_seconds() - before
        return {
            "cpu": 1e6 * used / seen["requests"],
            "throughput": seen["requests"] / seen["seconds"],
            "p99": seen["p99"],
            "max": seen["max"],
            "busy": used / seen["seconds"],
        }


def _compare(bare: _Server, other: _Server, *, rounds: int, seconds: float) -> dict[str, Any]:
    for server in (bare, other):
        server.slice(1.0)
    found = list(harness.pairs(lambda: bare.slice(seconds), lambda: other.slice(seconds), rounds))
    row = {
        key: harness.compared((base[key], variant[key]) for base, variant in found)
        for key in ("cpu", "throughput", "p99", "max", "busy")
    }
    row["cpu"]["ratio_of_means"] = harness.ratio_of_means([(base["cpu"], variant["cpu"]) for base, variant in found])
    return row


def _wrk(port: int, seconds: float) -> dict[str, float]:
    # wrk knows whole seconds only: a shorter slice is ended by hand, and it reports all the same.
    script = str(Path(__file__).with_name("slice.lua"))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d60s", "-s", script, f"http://127.0.0.1:{port}/"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    seen: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return seen


@contextlib.contextmanager
def _server(host: str, variant: str, settings: dict[str, str]) -> Iterator[_Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEMPROF_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *_COMMANDS[host].format(port=port).split()],
        cwd=harness.ROOT,
        env=inherited | {"HOST": host, "VARIANT": variant, "PYTHONWARNINGS": "ignore"} | settings,
        start_new_session=True,
    )
    try:
        _wait_until_answers(port, process)
        yield _Server(port, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait_until_budget_binds(server: _Server) -> None:
    """A young process may spend some minutes' budget at once; what is asked here is how it goes on after that."""
    skipped = re.compile(rb"^\w+_census_skipped_total\{[^}]*\} [1-9]", re.MULTILINE)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            if skipped.search(answer.read()):
                return
        time.sleep(0.5)
    raise RuntimeError(f"the budget did not bind within {START_SECONDS:.0f} s")


def _wait_until_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not answer: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]
        time.sleep(0.05)
