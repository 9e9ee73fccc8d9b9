"""What a middleware adds to a request, in the process and without a network: processor time and instructions.

Bursts of requests against the bare application and against a variant take turns; only the processor time of the
thread that serves them counts, so that a neighbour's load does not. Instructions come from callgrind: they do not
depend on the machine's mood at all.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness, hosts

WARM_UP = 300
CALLGRIND_REQUESTS = 200
_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1:8000",
    "HTTP_ACCEPT": "*/*",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}
Burst = Callable[[int], None]


def run(*, quick: bool) -> dict[str, Any]:
    """Every host in a process of its own: added microseconds, and instructions where there is valgrind."""
    found: dict[str, Any] = {}
    for host in hosts.VARIANTS:
        found[host] = harness.in_process("benchmarks.request_cost", "time", host, 6 if quick else 24)
        if shutil.which("valgrind") and not quick:
            for variant, count in instructions(host).items():
                found[host][variant]["instructions"] = count
    return found


def show(found: dict[str, Any]) -> str:
    """The table."""
    rows = []
    for host, variants in found.items():
        exporter = found[exporter_host(host)][hosts.EXPORTERS[host]]["added"][0]
        for variant, row in variants.items():
            rows.append(
                (
                    host,
                    variant,
                    harness.number(row["base"], 2),
                    harness.spread(row["added"]),
                    harness.spread(row["ratio"], 3),
                    harness.number(row.get("instructions"), 0),
                    harness.number(row["added"][0] / exporter, 3),
                )
            )
    header = ("host", "variant", "bare, us", "added, us", "ratio to bare", "instructions added", "share of exporter")
    return harness.table(header, rows)


def exporter_host(host: str) -> str:
    """The host on which the exporter runs that a host is compared with; plain WSGI has none of its own."""
    return "flask" if host == "wsgi" else host


def instructions(host: str) -> dict[str, float]:
    """Instructions that each variant adds to a request of a host, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        # The process calls getppid() before and after each burst, and nothing else does: each call ends a count.
        command = (
            *("valgrind", "--tool=callgrind", "--dump-before=getppid", "--separate-threads=yes"),
            f"--callgrind-out-file={folder}/out",
        )
        variants = harness.in_process("benchmarks.request_cost", "count", host, prefix=command)
        counts = [_total(Path(folder, f"out.{number}-01")) for number in range(1, 2 * len(variants) + 1)]
    per_request = {variant: counts[2 * place + 1] / CALLGRIND_REQUESTS for place, variant in enumerate(variants)}
    bare = per_request.pop("bare")
    return {variant: count - bare for variant, count in per_request.items()}


def _total(path: Path) -> int:
    for line in path.read_text().splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise RuntimeError(f"{path} is no output of callgrind: it has no line of totals")


def burst_of(host: str, variant: str) -> Burst:
    """A function that sends so many requests to an application."""
    app = hosts.make(host, variant)
    return _asgi_burst(app) if host in hosts.ASGI else _wsgi_burst(app)


def _wsgi_burst(app: Any) -> Burst:
    import io

    def start_response(status: str, _headers: object, _error: object = None) -> None:
        if not status.startswith("200"):
            raise RuntimeError(f"the application answered {status}")

    def burst(requests: int) -> None:
        for _ in range(requests):
            answer = app(_ENVIRON | {"wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}, start_response)
            for _part in answer:
                pass
            if (close := getattr(answer, "close", None)) is not None:
                close()

    return burst


def _asgi_burst(app: Any) -> Burst:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"the application answered {message['status']}")

    async def requests_to(requests: int) -> None:
        for _ in range(requests):
            await app({**_SCOPE, "state": {}}, receive, send)

    def burst(requests: int) -> None:
        asyncio.run(requests_to(requests))

    return burst


def _time(host: str, rounds: int) -> dict[str, Any]:
    bare = burst_of(host, "bare")
    bare(WARM_UP)
    requests = WARM_UP
    # 60 ms a burst: long against the clock, short against the moods of the machine.
    while (seconds := _cpu(bare, requests)) * requests < 0.06:
        requests = int(0.07 / seconds)

    def measured(burst: Burst) -> Callable[[], float]:
        return lambda: _cpu(burst, requests) * 1e6

    bursts = {variant: burst_of(host, variant) for variant in hosts.VARIANTS[host]}
    for burst in bursts.values():
        burst(WARM_UP)
    found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in bursts}
    for number in range(rounds):
        for variant, burst in bursts.items():
            found[variant] += harness.pairs(measured(bare), measured(burst), 1, first=number % 2)
    return {variant: harness.compared(measured_pairs) for variant, measured_pairs in found.items()}


def _cpu(burst: Burst, requests: int) -> float:
    began = time.thread_time()
    burst(requests)
    return (time.thread_time() - began) / requests


def _count(host: str) -> list[str]:
    variants = ["bare", *hosts.VARIANTS[host]]
    for variant in variants:
        burst = burst_of(host, variant)
        burst(50)
        # What there is by now stays out of the collections that fall into the burst: how many do is chance.
        gc.collect()
        gc.freeze()
        os.getppid()
        burst(CALLGRIND_REQUESTS)
        os.getppid()
    return variants


if __name__ == "__main__":
    _, mode, host, *rest = sys.argv
    print(json.dumps(_time(host, int(rest[0])) if mode == "time" else _count(host)))
