"""What the running profiler uses, as a share of one core: at its default interval, every second, while objects grow.

The figure is the processor time of the profiler's thread, as the kernel has it; the process does nothing else.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.ballast import build
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cpu_budget import initial_credit
from memprof_middleware.runtime.sampler import THREAD_NAME

MILLION = 1_000_000
GROWING = "100 k objects that grow to 5 M, every 1 s, whatever the pause"
# Name in the table: interval in seconds, longest stall wanted in ms, objects at the start, objects at the end.
_SCENES = {
    "1 M objects, every 60 s": (60, 10, MILLION, MILLION),
    "1 M objects, every 1 s": (1, 10, MILLION, MILLION),
    "100 k objects that grow to 5 M, every 1 s": (1, 10, 100_000, 5 * MILLION),
    # The budget alone decides here.
    GROWING: (1, 10_000, 100_000, 5 * MILLION),
}
_STEPS = 20


def run(*, quick: bool) -> dict[str, Any]:
    """The scenes, at the same time: each is idle nearly always."""
    seconds = 20 if quick else 150
    # A short run sees no steady state of the long interval.
    names = [name for name in _SCENES if not (quick and name.endswith("60 s"))]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        measured = functools.partial(harness.in_process, "benchmarks.steady")
        found = list(pool.map(measured, names, [seconds] * len(names)))
    return dict(zip(names, found, strict=True))


def show(found: dict[str, Any]) -> str:
    """The table."""
    header = (
        *(
            "scene",
            "seconds",
            "snapshots",
            "object counts",
            "CPU, % of a core",
            "budget, %",
            "most expensive object count, ms of CPU",
            "longest pause, ms",
        ),
        "most above the budget, ms of CPU",
    )
    return harness.table(
        header,
        [
            (
                name,
                harness.number(row["seconds"], 0),
                row["snapshots"],
                row["censuses"],
                harness.number(row["percent"], 3),
                row["budget"],
                harness.number(row["dearest"], 0),
                harness.number(row["stall"], 1),
                harness.number(row["most_above"], 0),
            )
            for name, row in found.items()
        ],
    )


def _watch(name: str, seconds: float) -> dict[str, Any]:
    interval, max_stall, first, last = _SCENES[name]
    build(first)
    config = Config(interval=interval, max_stall=max_stall)
    profiler = MemoryProfiler(config)
    profiler.start()
    began = time.monotonic()
    thread = next(thread for thread in threading.enumerate() if thread.name == THREAD_NAME)
    used = functools.partial(_cpu_seconds, thread.native_id)
    marks = [(0.0, used())]  # seconds since the start, processor time by then
    _wait_for(lambda: len(profiler.history) > 0, "the profiler took no snapshot")
    if first == last and interval < 60:
        # A young process may spend some minutes' budget at once; asked is how it goes on after that.
        _wait_for(lambda: profiler.metrics().census_skipped.get("budget"), "the budget did not bind")
    start, paid = time.monotonic(), used()
    grown = first
    while (now := time.monotonic()) - start < seconds:
        # Grows over the first half, so that the second shows how it goes on.
        wanted = min(last, int(first + (last - first) * _STEPS * 2 * (now - began) / seconds // 1 / _STEPS))
        if wanted > grown:
            build(wanted)
            grown = wanted
        marks.append((time.monotonic() - began, used()))
        time.sleep(0.1)
    end, spent = time.monotonic(), used()
    history = list(profiler.history)
    found = {
        "seconds": end - start,
        "percent": 100 * (spent - paid) / (end - start),
        "snapshots": len(history),
        "censuses": len({one.census_timestamp for one in history if one.census_timestamp is not None}),
        "budget": config.cpu_budget,
        "credit": 1000 * initial_credit(config.cpu_budget),
        "dearest": 1000 * max(one.census_cpu_seconds for one in history),
        "stall": 1000 * max(one.census_stall_seconds for one in history),
        "most_above": 1000 * max(cpu - at * config.cpu_budget / 100 for at, cpu in marks),
    }
    profiler.stop()
    return found


def _wait_for(reached: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} within five minutes")
        time.sleep(0.01)


def _cpu_seconds(thread: int | None) -> float:
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    print(json.dumps(_watch(sys.argv[1], float(sys.argv[2]))))
