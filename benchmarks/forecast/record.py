"""Records the resident memory of real Python processes, some of which leak: ``python -m benchmarks.forecast.record``.

Time is compressed: one second stands for four minutes, so that eight minutes are 32 hours. What is kept are numbers
only, so that the file may be passed on with the project.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from benchmarks.forecast.series import RECORDED, corpus

HOURS = 32
SECONDS_PER_TICK = 240.0  # of the recorded time
TICK = 1.0  # of real time


def _day(tick: int) -> float:
    """Load between 0.2 and 1, over a day."""
    return 0.6 - 0.4 * math.cos(2 * math.pi * tick * SECONDS_PER_TICK / 86400)


def _work(amount: int) -> list[dict[str, object]]:
    return [{"id": number, "text": str(number) * 8, "row": list(range(8))} for number in range(amount)]


class Workloads:
    """What the processes do in each tick; each a method, kept state on the object."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kept: list[object] = []
        self.cache: OrderedDict[int, object] = OrderedDict()

    def steady(self, _: int) -> None:
        """The same garbage every tick."""
        _work(self.random.randint(2000, 6000))

    def batch(self, tick: int) -> None:
        """A report that is built for hours and then dropped."""
        self.kept.append(_work(700))
        if tick % 75 == 74:
            self.kept.clear()

    def daily(self, tick: int) -> None:
        """Sessions that follow the load of the day."""
        self.kept = [_work(60) for _ in range(int(_day(tick) * 600))]

    def lru(self, _: int) -> None:
        """A cache that fills to its bound."""
        for _ in range(120):
            self.cache[self.random.randint(0, 4000)] = _work(8)
            if len(self.cache) > 2500:
                self.cache.popitem(last=False)

    def import_steps(self, tick: int) -> None:
        """Tables loaded at a few moments, and kept for good reasons."""
        if tick in {20, 110, 300}:
            self.kept.append(_work(20_000))
        _work(3000)

    def leak(self, _: int) -> None:
        """A list in a module."""
        self.kept.append(_work(150))
        _work(2000)

    def leak_in_batches(self, tick: int) -> None:
        """The same beside a report that comes and goes."""
        self.cache[tick] = _work(110)
        self.batch(tick)

    def leak_with_load(self, tick: int) -> None:
        """More with more load."""
        self.kept.append(_work(int(240 * _day(tick))))
        _work(int(4000 * _day(tick)))

    def leak_of_bytes(self, tick: int) -> None:
        """Not tracked by the collector, from the tenth hour on."""
        if tick * SECONDS_PER_TICK > 36_000:
            self.kept.append(b"x" * 180_000)
        _work(self.random.randint(1000, 5000))


LEAKS = ("leak", "leak_in_batches", "leak_with_load", "leak_of_bytes")
KINDS = ("steady", "batch", "daily", "lru", "import_steps", *LEAKS)


def child(kind: str) -> None:
    """Do the work of one kind and print the resident memory in MB after each tick."""
    work: Callable[[int], None] = getattr(Workloads(sum(kind.encode())), kind)
    page = os.sysconf("SC_PAGE_SIZE")
    began = time.monotonic()
    for tick in range(int(HOURS * 3600 / SECONDS_PER_TICK)):
        work(tick)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
        print(f"{resident / 2**20:.2f}", flush=True)
        time.sleep(max(0.0, began + (tick + 1) * TICK - time.monotonic()))


def main() -> None:
    """Run one process of each kind side by side and keep what they print."""
    command = [sys.executable, "-m", "benchmarks.forecast.record"]
    running = {kind: subprocess.Popen([*command, kind], stdout=subprocess.PIPE, text=True) for kind in KINDS}
    found = {}
    for kind, process in running.items():
        output, _ = process.communicate()
        found[kind] = {"leaks": kind in LEAKS, "mb": [float(line) for line in output.split()]}
    keep(found)


def keep(found: dict[str, dict[str, object]]) -> None:
    """Write the file; with it an extract of the corpus of measured leaks, numbers only."""
    data = {
        "seconds_per_sample": SECONDS_PER_TICK,
        "python": sys.version.split()[0],
        "series": found,
        "corpus": corpus(),
    }
    RECORDED.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
