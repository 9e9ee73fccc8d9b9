"""The profiler under real servers: where it lives, what it tells, and that it ends with them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import psutil
import pytest

from tests.servers.harness import (
    LEAKING,
    START_SECONDS,
    STOP_MARGIN,
    Server,
    gunicorn_options,
    least_stop_seconds,
    started,
)
from tests.servers.scrape import Scrape

pytestmark = pytest.mark.server
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}"]
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}"]
HYPERCORN = ["-m", "hypercorn", "--bind", "127.0.0.1:{port}"]
# The command, and how many processes serve.
SERVERS = {
    "gunicorn": ([*GUNICORN, "wsgi_app"], 1),
    "gunicorn --preload -w 2": ([*GUNICORN, "--preload", "--workers", "2", "flask_app"], 2),
    "uvicorn": ([*UVICORN, "asgi_app:application"], 1),
    "uvicorn --workers 2": ([*UVICORN, "--workers", "2", "asgi_app:application"], 2),
    "waitress": (["-m", "waitress", "--listen", "127.0.0.1:{port}", "wsgi_app:application"], 1),
    "runserver": (["django_app.py", "runserver", "127.0.0.1:{port}"], 1),
}
SAMPLER = "memprof-sampler"


@dataclasses.dataclass
class Seen:
    """One life of a server, from its first answer to its end.

    Attributes:
        serving: thread names of each serving process, by pid.
        masters: how many threads each other process has.
        told: the scrape that showed the leak of every worker.
        rss_mb: resident memory of each worker, as the system tells it and as a scrape soon after did.
        alerts: records of the leak in the log.
        log: all that the server wrote.
        stop_seconds: from SIGTERM to the end.
        left: processes that outlived it.
    """

    serving: dict[int, list[str]]
    masters: list[int]
    told: Scrape | None
    rss_mb: dict[str, tuple[float, float]]
    alerts: int
    log: str
    stop_seconds: float
    left: list[int]


def observe(server: Server, workers: int, *, profiled: bool) -> Seen:
    told, rss_mb = None, {}
    server.inside(workers)
    if profiled:
        told = server.leak_until_told(workers)
        rss_mb = memory(server, workers)
    serving = {pid: inside.threads for pid, inside in server.inside(workers).items()}
    masters = server.masters(serving)
    stop_seconds, left = server.stop()
    return Seen(serving, masters, told, rss_mb, server.alerts, server.log, stop_seconds, left)


def memory(server: Server, workers: int) -> dict[str, tuple[float, float]]:
    """The resident MB of each worker, measured from outside and told by a snapshot that was taken after that."""
    pids = {inside.worker: pid for pid, inside in server.inside(workers).items()}
    taken = server.scrape().of("snapshots_total")
    real = {worker: psutil.Process(pid).memory_info().rss / 2**20 for worker, pid in pids.items()}
    scrapes: list[Scrape] = []

    def newer() -> bool:
        scrapes.append(server.scrape())
        return all(count > taken[worker] for worker, count in scrapes[-1].of("snapshots_total").items())

    server.wait_for(newer, START_SECONDS, "the next snapshot of each worker")
    return {worker: (real[worker], value) for worker, value in scrapes[-1].of("rss_mb").items()}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"life of {name}")) for name in SERVERS]
)
def lives(request, tmp_path_factory):
    """The life of each kind of server with the profiler, and of the same without."""
    command, workers = SERVERS[request.param]
    if "gunicorn" in command:
        command = [*command, *gunicorn_options()]
    directory = tmp_path_factory.mktemp("server")
    seen = {}
    for bare in (True, False):
        with started(command, directory / f"{bare}.log", bare=bare) as server:
            seen[bare] = observe(server, workers, profiled=not bare)

    def stop_again(bare: bool) -> float:
        with started(command, directory / "again.log", bare=bare) as server:
            server.inside(workers)
            return server.stop()[0]

    ours, alone = seen[False], seen[True]
    ours.stop_seconds, alone.stop_seconds = least_stop_seconds(ours.stop_seconds, alone.stop_seconds, stop_again)
    return workers, ours, alone


def test_it_lives_in_each_serving_process(lives):
    """Each process that serves has the one thread; without the middleware none has."""
    workers, ours, bare = lives
    assert len(ours.serving) == workers
    assert [threads.count(SAMPLER) for threads in ours.serving.values()] == [1] * workers
    assert not any(SAMPLER in threads for threads in bare.serving.values())


def test_no_master_has_a_thread(lives):
    """Arbiters, supervisors and reloaders have exactly the threads that they have without us."""
    _, ours, bare = lives
    assert ours.masters == bare.masters


def test_the_alert_reaches_the_servers_log(lives):
    """The leak is reported where the server logs: once, or once by each worker where the log shows INFO."""
    workers, ours, _ = lives
    assert 1 <= ours.alerts <= workers, ours.log


def test_real_figures(lives):
    """A scrape tells the real memory and the leak of every worker, whichever answers."""
    workers, ours, _ = lives
    slots = {str(number) for number in range(workers)}
    assert set(ours.rss_mb) == slots
    for real, told in ours.rss_mb.values():
        assert told == pytest.approx(real, rel=0.2)
    for name in ("rss_mb", "heap_used_mb", "snapshots_total", "requests_total", "active_leaks"):
        assert set(ours.told.of(name)) == slots
    for worker in slots:
        assert 0 < ours.told.of("heap_used_mb")[worker] <= ours.told.of("rss_mb")[worker]
        assert ours.told.of("snapshots_total")[worker] >= 4
        assert ours.told.of("requests_total")[worker] > 1
        assert ours.told.of("active_leaks")[worker] >= 1
        assert ours.told.of("object_count", object_type=LEAKING)[worker] >= 300


def test_it_ends_with_the_server(lives):
    """SIGTERM ends every process, no later than a second after it would have ended without us."""
    _, ours, bare = lives
    assert ours.left == []
    assert ours.stop_seconds <= bare.stop_seconds + STOP_MARGIN


def test_no_warning(lives):
    """The server writes no warning (fork with threads, first of all), no traceback that it does not write alone."""
    _, ours, bare = lives
    pattern = re.compile(r"\w*Warning: .*|^Traceback.*", re.MULTILINE)
    with_us, alone = ({re.sub(r"\d+", "#", line) for line in pattern.findall(seen.log)} for seen in (ours, bare))
    assert with_us <= alone
    assert "internal error in " not in ours.log


def test_hypercorn_has_the_lines_and_no_command_that_ends_it(tmp_path: Path) -> None:
    """Its log has no handler before the application has started, and a worker that is ended is not replaced."""
    settings = {"MEMPROF_LOG_LEVEL": "INFO", "MEMPROF_HEAP_SIZE_MB": "1000"}
    settings |= {"MEMPROF_HEAP_WARNING_PERCENT": "0.5", "MEMPROF_HEAP_CRITICAL_PERCENT": "1"}
    with started([*HYPERCORN, "asgi_app:application"], tmp_path / "log", settings=settings) as server:
        server.wait_for(lambda: "memory critical" in server.log, START_SECONDS, "an alert")
        [pid] = server.inside(1)
        stamped = r"^\[[^]]+\] \[%d\] \[%s\] memprof: %s"
        assert len(re.findall(stamped % (pid, "INFO", "started in process"), server.log, re.MULTILINE)) == 1
        assert len(re.findall(stamped % (pid, "CRITICAL", "memory critical"), server.log, re.MULTILINE)) == 1
        assert f"Restart the service: its server does not replace process {pid}" in server.log
        assert "kill -TERM" not in server.log
