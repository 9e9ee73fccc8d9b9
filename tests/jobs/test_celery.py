"""A real Celery worker on a broker of files: its children on one port, its leak named by its task."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from memprof_middleware import Config, MemoryExporter, MemoryProfiler
from tests.servers.harness import reserved_ports
from tests.servers.scrape import Scrape

pytest.importorskip("celery")
HERE = Path(__file__).parent
SECONDS = 90.0


class Worker:
    """One run of ``celery worker``."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port, self.folder, self.log_file = port, folder, folder / "log"
        for name in ("outbox", "queue", "control", "run"):
            (folder / name).mkdir(exist_ok=True)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("MEMPROF_")}
        self.environ |= {"CELERY_FOLDER": str(folder), "METRICS_PORT": str(port), "PYTHONPATH": str(HERE)}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-l", "INFO", *options],
                cwd=HERE,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, name: str, times: int) -> None:
        program = f"from celery_app import app\nfor _ in range({times}): app.send_task({name!r})"
        subprocess.run([sys.executable, "-c", program], cwd=HERE, env=self.environ, check=True)
        for message in (self.folder / "outbox").glob("*.celery.msg"):
            message.rename(self.folder / "queue" / message.name)

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def scrape(self) -> Scrape:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return Scrape(answer.read().decode())

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < until, f"{what} not seen\n{self.log_file.read_text()}"
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_ports(1) as (port,):
        yield port


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def start(*options: str) -> Worker:
        made.append(Worker(tmp_path, port, *options))
        return made[-1]

    yield start
    for worker in made:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait(60)


def tasks(scrape: Scrape, name: str) -> dict[str, float]:
    return scrape.of("route_requests_total", route=f"TASK {name}")


@pytest.mark.server
def test_two_children_are_one_scrape_and_the_leak_has_its_task(start: Callable[..., Worker]) -> None:
    """Whoever answers shows both children; one that is killed is replaced in its place; the leak names its task."""
    worker = start("--concurrency", "2")
    worker.wait_for(lambda: len(worker.scrape().start_times) == 2, "two children on one scrape")
    first = worker.children()
    worker.send("shop.receipt", 3000)

    def told() -> bool:
        return bool(
            worker.scrape().of("leak_info", holder="celery_app.KEPT", route="TASK shop.receipt")
            and "memprof: leak confirmed" in worker.log_file.read_text()
        )

    worker.wait_for(told, "the leak, its holder and its task")
    worker.wait_for(
        lambda: len(worker.scrape().of("object_count", object_type="celery_app.Receipt")) == 2, "both children's leak"
    )
    assert sum(tasks(worker.scrape(), "shop.receipt").values()) > 0
    os.kill(first[0], signal.SIGKILL)
    worker.wait_for(
        lambda: first[0] not in worker.children() and len(worker.scrape().start_times) == 2,
        "another child in its place",
    )
    assert set(worker.scrape().start_times) == {"0", "1"}
    # It is not asked to end: Celery itself may stand still after the death of a child, without the profiler too.
    assert "memprof: no metrics" not in worker.log_file.read_text()


@pytest.mark.server
@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_the_other_pools_serve_from_the_worker_itself(start: Callable[..., Worker], pool: str) -> None:
    """One process has all tasks, those that fail included, and ends as it did without."""
    if pool == "gevent":
        pytest.importorskip("gevent")
    worker = start("--pool", pool, "--concurrency", "2")
    worker.wait_for(lambda: len(worker.scrape().start_times) == 1, "the worker on its scrape")
    worker.send("shop.fail", 7)
    worker.send("shop.receipt", 5)
    worker.wait_for(
        lambda: (
            (sum(tasks(worker.scrape(), "shop.fail").values()), sum(tasks(worker.scrape(), "shop.receipt").values()))
            == (7, 5)
        ),
        "twelve tasks",
    )
    assert worker.stop() == 0


@pytest.mark.server
def test_a_port_of_another_application_is_told_in_one_line(start: Callable[..., Worker], port: int) -> None:
    """The worker runs on without metrics, and says once whose port it is."""
    profiler = MemoryProfiler(Config(background=False))
    other = MemoryExporter(profiler, port=port, host="127.0.0.1", shared=True, group="bakery").start()
    try:
        worker = start("--concurrency", "2")
        worker.wait_for(lambda: "ready" in worker.log_file.read_text(), "a worker that is ready")
        log = worker.log_file.read_text()
        assert log.count("memprof: no metrics of this Celery worker") == 1
        assert f"port {port} on 127.0.0.1 belongs to the exporter of another application, 'bakery'" in log
        assert worker.stop() == 0
    finally:
        other.stop()
        profiler.stop()
