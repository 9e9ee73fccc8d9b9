"""The profiler under real servers: where it lives, what it tells, and that it ends with them."""

from __future__ import annotations

import dataclasses
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.servers.harness import Server, gunicorn_options, started

pytestmark = pytest.mark.server
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}"]
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}"]
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
        rss_mb: resident memory of the serving processes, as the system tells it.
        scrape: an answer of ``/metrics`` at the same moment.
        alerts: records of the leak in the log.
        log: all that the server wrote.
        stop_seconds: from SIGTERM to the end.
        left: processes that outlived it.
    """

    serving: dict[int, list[str]]
    masters: list[int]
    rss_mb: list[float]
    scrape: str
    alerts: int
    log: str
    stop_seconds: float
    left: list[int]


def observe(server: Server, workers: int, *, profiled: bool) -> Seen:
    serving = {pid: inside.threads for pid, inside in server.inside(workers).items()}
    if profiled:
        server.leak_until_told(workers)
    scrape = server.get("/metrics") if profiled else ""
    tree = server.tree()
    masters = sorted(process.num_threads() for process in tree if process.pid not in serving)
    rss_mb = [process.memory_info().rss / 2**20 for process in tree if process.pid in serving]
    stop_seconds, left = server.stop()
    return Seen(serving, masters, rss_mb, scrape, server.alerts, server.log, stop_seconds, left)


@pytest.fixture(scope="module", params=SERVERS)
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
    return workers, seen[False], seen[True]


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
    """Each worker tells its leak once where the server logs."""
    workers, ours, _ = lives
    assert ours.alerts == workers, ours.log


def test_real_figures(lives):
    """A scrape tells a serving process's real memory and the leak."""
    _, ours, _ = lives
    told = {sample.name: sample.value for family in parse(ours.scrape) for sample in family.samples}
    rss = told["fogcompute_memory_rss_mb"]
    assert min(ours.rss_mb) * 0.8 <= rss <= max(ours.rss_mb) * 1.2
    assert 0 < told["fogcompute_memory_heap_used_mb"] <= rss
    assert told["fogcompute_memory_snapshots_total"] >= 4
    assert told["fogcompute_memory_requests_total"] > 1
    assert told["fogcompute_memory_active_leaks"] >= 1
    assert "common.Session" in ours.scrape


def test_it_ends_with_the_server(lives):
    """SIGTERM ends every process, no later than a second after it would have ended without us."""
    _, ours, bare = lives
    assert ours.left == []
    assert ours.stop_seconds <= bare.stop_seconds + 1.0


def test_no_warning(lives):
    """The server writes no warning (fork with threads, first of all), no traceback that it does not write alone."""
    _, ours, bare = lives
    pattern = re.compile(r"\w*Warning: .*|^Traceback.*", re.MULTILINE)
    with_us, alone = ({re.sub(r"\d+", "#", line) for line in pattern.findall(seen.log)} for seen in (ours, bare))
    assert with_us <= alone
    assert " failed with " not in ours.log
