"""What the page for people costs: processor time and bytes of one look, and what an open page does to the application.

Real processes publish their figures and hold slots; each has a past of 1,000 rows and 20 types. One process answers:
processor time of its thread. Then a server is kept busy in slices of five seconds, which take turns: in every second
one of them an open page looks once, as it does every five seconds. Processor time per request says what that costs
the application.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from array import array
from pathlib import Path
from typing import Any

from benchmarks import harness, load
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeProbes
from memprof_middleware.web.http.messages import Request
from memprof_middleware.web.http.page import PageEndpoint
from memprof_middleware.workers import timeline_file

ROWS, TYPES = 1_000, 20
TOKEN = "benchmark-token"
_BEARER = {"authorization": f"Bearer {TOKEN}"}
_LOOKS = {
    "page": ("/memprof/", {}),
    "page, gzip": ("/memprof/", {"accept-encoding": "gzip"}),
    "api/state.json": ("/memprof/api/state.json", {}),
}
_REFRESH_SECONDS = 5.0


def run(*, quick: bool) -> dict[str, Any]:
    """Looks with 1, 8 and 64 workers, and servers with and without an open page."""
    looks = []
    for workers in (1, 8, 64):
        looks += harness.in_process("benchmarks.web_page", workers, 5 if quick else 31)
    return {"looks": looks, "open": [_open(host, rounds=2 if quick else 8) for host in ("starlette", "flask")]}


def show(found: dict[str, Any]) -> str:
    """Both tables."""
    looks = [
        [row["workers"], row["what"], harness.spread(row["ms"]), f"{row['bytes']:,}", f"{row['past_bytes']:,}"]
        for row in found["looks"]
    ]
    opened = [[row["host"], f"{row['base']:.0f}", harness.spread(row["ratio_of_means"], 3)] for row in found["open"]]
    return "\n\n".join(
        (
            harness.table(("workers", "what", "CPU, ms", "bytes", "bytes of pasts on disk"), looks),
            harness.table(("server", "CPU a request, us", "CPU ratio with a page open"), opened),
        )
    )


def _open(host: str, *, rounds: int) -> dict[str, Any]:
    settings = {"MEMPROF_TOKEN": TOKEN, "MEMPROF_INTERVAL": "10", "BALLAST": "0"}
    with load._server(host, "ours", settings) as server:
        server.slice(1.0)

        def watched() -> dict[str, float]:
            looking = threading.Timer(_REFRESH_SECONDS / 2, _look, (server.port,))
            looking.start()
            seen = server.slice(_REFRESH_SECONDS)
            looking.join()
            return seen

        pairs = list(harness.pairs(lambda: server.slice(_REFRESH_SECONDS), watched, rounds))
    cpu = [(base["cpu"], variant["cpu"]) for base, variant in pairs]
    return {"host": host, "ratio_of_means": harness.ratio_of_means(cpu)} | harness.compared(cpu)


def _look(port: int) -> None:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/memprof/", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        if answer.status != 200:
            raise RuntimeError(f"the page answered {answer.status}")


class _Counts:
    """What a timeline asks of a history: every type grows."""

    def __init__(self, now: float) -> None:
        self.times = [now]

    def __len__(self) -> int:
        return 1

    def series(self, _column: str) -> list[float]:
        return self.times

    def counts(self, name: str, start: int = 0) -> list[int]:
        return [int(self.times[0]) % 100_000 + len(name)][start:]


def _past(path: Path, run_: str) -> None:
    """A thousand rows: twelve hours, the last of them finely."""
    types = [f"shop.models.catalogue.Class{number}" for number in range(TYPES)]
    now = time.time()
    coarse = [now - 280 - 60 * number for number in range(720, 0, -1)]
    for number, moment in enumerate([*coarse, *(now - number for number in range(280, 0, -1))]):
        memory = 200 + 0.2 * number + number % 7
        row = {"time": moment, "rss_mb": memory + 40, "heap_used_mb": memory}
        row |= {"native_in_use_mb": 40.0, "native_retained_mb": 20.0, "file_mb": 30.0, "shared_mb": 1.0}
        timeline_file.record(path, run_, row, types, _Counts(moment))


def _copy(made: Path, path: Path) -> None:
    """The same past, as if this process had lived it."""
    shutil.copyfile(made, path)
    path.chmod(0o600)
    with path.open("r+b") as file:
        for ring in (timeline_file._COARSE, timeline_file._FINE):
            for index in range(ring.rows):
                os.pwrite(file.fileno(), array("f", [os.getpid()]).tobytes(), ring.row(index))  # the first figure


def _profiler(folder: Path) -> MemoryProfiler:
    probes = FakeProbes(heap_mb=400.0, limit_mb=100_000.0)
    probes.address, probes.server = "127.0.0.1:8000", "1 1"
    probes.counts = {f"shop.models.catalogue.Class{number}": 1000 + number for number in range(TYPES)}
    return MemoryProfiler(Config(background=False, run_dir=str(folder), token=TOKEN), probes=probes)


def _worker(folder: Path, made: Path) -> int:
    """A process that has published and stays; tells its pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            profiler = _profiler(folder)
            profiler.publish()
            slot = profiler._monitor.group.slot
            _copy(made, slot.timeline)
            profiler.step()
            os.write(writing, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    if os.read(reading, 1) != b".":
        raise SystemExit("a worker failed")
    os.close(reading)
    return pid


def _measure(workers: int, rounds: int) -> list[dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="memprof-page-"))
    children: list[int] = []
    try:
        made = folder / "made.past"
        _past(made, "1 1")
        children += [_worker(folder, made) for _ in range(workers - 1)]
        profiler = _profiler(folder)
        profiler.publish()
        _copy(made, profiler._monitor.group.slot.timeline)
        profiler.step()
        endpoint = PageEndpoint(profiler)
        found = []
        on_disk = sum(path.stat().st_size for path in folder.rglob("[0-9]*.past"))
        for what, (path, headers) in _LOOKS.items():
            request = Request(method="GET", path=path, headers=_BEARER | headers)
            times = []
            for _ in range(rounds):
                began = time.thread_time()
                answer = endpoint.respond(request)
                times.append(1000 * (time.thread_time() - began))
            if answer.status != 200 or profiler.failures.counts:
                raise SystemExit(f"status {answer.status}, failures {dict(profiler.failures.counts)}")
            shown = endpoint.reader.state()
            past = shown["timeline"]
            if len(shown["workers"]) != workers or not (past["band"]["points"] or past["series"][0]["points"]):
                raise SystemExit(f"the page does not show {workers} workers")
            found.append({"workers": workers, "what": what, "ms": harness.interval(times), "bytes": len(answer.body)})
            found[-1]["past_bytes"] = on_disk
        profiler.stop()
        return found
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shutil.rmtree(folder)


if __name__ == "__main__":
    import json

    print(json.dumps(_measure(*map(int, sys.argv[1:]))))
