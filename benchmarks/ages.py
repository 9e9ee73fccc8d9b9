"""How old object counts become at intervals of 1, 5 and 60 seconds under load, and what the profiler uses meanwhile.

As many objects as applications of others have, each in a process of its own, with the default CPU budget. A thread
serves requests for three tenths of a core: it makes and drops dicts. At an interval of one second the first five
minutes are not counted: until then a young process spends what it was given to begin with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks import harness
from benchmarks.ballast import build

SIZES = (60_000, 130_000, 300_000)
# By the seconds between snapshots: seconds that are not counted, and those that are.
_INTERVALS = {1: (300.0, 100.0), 5: (40.0, 80.0), 60: (100.0, 200.0)}
_COUNTS = ("compiled", "pure")


def run(*, quick: bool) -> dict[str, Any]:
    """All sizes of one interval side by side."""
    found: dict[str, Any] = {}
    for interval, (before, measured) in _INTERVALS.items():
        for count in _COUNTS:
            part = 10 if quick else 1
            going = {size: _start(count, size, interval, before / part, measured / part) for size in SIZES}
            for size, process in going.items():
                found[f"{interval} {count} {size}"] = json.loads(process.communicate()[0].splitlines()[-1])
    return found


def show(results: dict[str, Any]) -> str:
    """One table."""
    rows = []
    for key, row in results.items():
        interval, count, size = key.split()
        rows.append(
            (
                *(interval, count, f"{int(size):,}", harness.number(row["oldest"]), row["counts"]),
                *(harness.number(row["percent"], 2), harness.number(row["ms"])),
            )
        )
    header = ("interval, s", "count", "objects", "oldest count, s", "counts", "CPU, % of a core", "a count, CPU ms")
    return harness.table(header, rows)


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.ages", *map(str, arguments)]
    return subprocess.Popen(command, cwd=harness.ROOT, stdout=subprocess.PIPE, text=True)


def _serve(stopping: threading.Event) -> None:
    while not stopping.wait(0.007):
        ending = time.thread_time() + 0.003
        while time.thread_time() < ending:
            made = [{"number": index} for index in range(100)]
            made.clear()


def _measured(count: str, size: int, interval: float, unmeasured: float, measured: float) -> dict[str, Any]:
    if count == "pure":
        sys.modules["memprof_native"] = None  # type: ignore[assignment]
    from memprof_middleware import Config, MemoryProfiler

    held = build(size)
    stopping = threading.Event()
    load = threading.Thread(target=_serve, args=[stopping])
    load.start()
    profiler = MemoryProfiler(Config(interval=interval, metrics_path=None))
    profiler.start()
    time.sleep(unmeasured)
    began, before, ages = time.monotonic(), profiler.metrics(), []
    while time.monotonic() < began + measured:
        time.sleep(0.2)
        snapshot = profiler.metrics().snapshot
        ages.append(time.time() - snapshot.census_timestamp)
    after = profiler.metrics()
    used = after.cpu_seconds - before.cpu_seconds
    profiler.stop()
    stopping.set()
    load.join()
    held.clear()
    return {
        "oldest": max(ages),
        "counts": after.censuses_taken - before.censuses_taken,
        "percent": 100 * used / (time.monotonic() - began),
        "ms": 1000 * snapshot.census_cpu_seconds,
    }


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))))
