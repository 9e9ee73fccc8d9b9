"""What one scrape costs the worker that answers it, by the number of workers, beside client_python's multiprocess mode.

Run it with ``python benchmarks/scrape.py``. Real processes publish the full catalogue with 20 types each, in both ways
with the same number of samples; one process answers. Rounds are interleaved, figures are medians with their spread.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 31
TYPES = 20
# client_python keeps the files of dead processes, so it is also measured after as many deaths.
CASES = ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 100))
FOLDER = Path(tempfile.mkdtemp(prefix="memprof-scrape-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
# client_python reads it when it is imported.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOLDER / "theirs")

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.metrics.collector import MemoryCollector
from memprof_middleware.testing import FakeProbes
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import Request


def new_profiler() -> MemoryProfiler:
    """A worker's profiler with figures of the usual size; what it measures is invented, what it publishes is not."""
    probes = FakeProbes(limit_mb=100_000.0)
    probes.address = "127.0.0.1:8000"
    probes.counts = {f"shop.models.catalogue.Class{number}": 1000 + number for number in range(TYPES)}
    return MemoryProfiler(Config(background=False, run_dir=str(FOLDER), top_types=TYPES), probes=probes)


def publish_their_way(profiler: MemoryProfiler) -> Callable[[], None]:
    """The same samples as client_python's own metrics; returns what sets them all again."""
    registry = CollectorRegistry()
    setters: list[Callable[[], None]] = []
    for family in MemoryCollector(profiler).collect():
        if family.type == "info" or not family.samples:
            continue
        names = [label for label in family.samples[0].labels if label != "worker"]
        kind = Counter if family.type == "counter" else Gauge
        options = {} if kind is Counter else {"multiprocess_mode": "all"}
        metric = kind(family.name, family.documentation, names, registry=registry, **options)
        for sample in family.samples:
            child = metric.labels(*(sample.labels[name] for name in names)) if names else metric
            change = child.inc if kind is Counter else child.set
            setters.append(lambda change=change, value=sample.value: change(value))
    return lambda: [setter() for setter in setters] and None


class Worker:
    """A process that publishes both ways whenever it is told to."""

    def __init__(self) -> None:
        orders, self._orders = os.pipe()
        self._done, done = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                profiler = new_profiler()
                profiler.step()
                theirs = publish_their_way(profiler)
                while True:
                    theirs()
                    profiler.step()
                    os.write(done, b".")
                    os.read(orders, 1)
            finally:
                os._exit(1)
        os.close(orders)
        os.close(done)
        self._wait()

    def publish(self) -> None:
        os.write(self._orders, b".")
        self._wait()

    def _wait(self) -> None:
        if os.read(self._done, 1) != b".":
            raise SystemExit("a worker failed")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._orders)
        os.close(self._done)


def milliseconds(work: Callable[[], object]) -> float:
    # Processor time: on a busy machine the clock on the wall shows the neighbours. Neither way waits for anything.
    began = time.thread_time()
    work()
    return 1000 * (time.thread_time() - began)


def shown(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(values):.2f} ({ordered[len(values) // 10]:.2f}-{ordered[-1 - len(values) // 10]:.2f})"


def case(workers: int, deaths: int) -> str:
    """One row: the answering worker is one of them."""
    (FOLDER / "theirs").mkdir()
    for _ in range(deaths):
        Worker().kill()
    siblings = [Worker() for _ in range(workers - 1)]
    profiler = new_profiler()
    profiler.step()
    publish_their_way(profiler)()
    endpoint = MetricsEndpoint(profiler)
    joined = CollectorRegistry()
    MultiProcessCollector(joined)
    found: dict[str, list[float]] = {"fresh": [], "same": [], "theirs": [], "ratio": []}

    def ours() -> None:
        answer = endpoint.respond(Request(method="GET", path="/metrics"))
        if answer.body.count(b"memory_rss_mb{") != workers:
            raise SystemExit(f"a scrape does not show {workers} workers")

    for _ in range(ROUNDS):
        for sibling in siblings:
            sibling.publish()
        profiler.step()
        found["fresh"].append(milliseconds(ours))
        found["same"].append(milliseconds(ours))
        found["theirs"].append(milliseconds(lambda: generate_latest(joined)))
        found["ratio"].append(found["theirs"][-1] / found["fresh"][-1])
    files = len(list((FOLDER / "theirs").iterdir()))
    slots = sum(path.is_file() for path in FOLDER.glob("memprof-*/*/*"))
    for sibling in siblings:
        sibling.kill()
    profiler.stop()
    for folder in FOLDER.iterdir():
        shutil.rmtree(folder)
    cells = (workers, deaths, *(shown(found[key]) for key in ("fresh", "same", "theirs", "ratio")), slots, files)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    print("Milliseconds of processor time that one scrape takes the answering worker: the median, and in brackets the")
    print("10th to the 90th percentile. The ratio is client_python's time by ours.\n")
    print("| workers | died before | all published anew | nothing new | client_python multiprocess | ratio |", end="")
    print(" our files | their files |\n|---|---|---|---|---|---|---|---|", flush=True)
    try:
        for workers, deaths in CASES:
            pid = os.fork()  # each in a process of its own: client_python keeps its files open
            if not pid:
                print(case(workers, deaths), flush=True)
                os._exit(0)
            if os.waitpid(pid, 0)[1]:
                raise SystemExit("a case failed")
    finally:
        shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
