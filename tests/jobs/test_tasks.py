"""Jobs are counted as requests; their metrics are served on a shared port, pushed or written."""

from __future__ import annotations

import asyncio
import http.server
import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from memprof_middleware import Config, ConfigError, ExporterError, MemoryExporter, MemoryProfiler, get_memory_profiler
from memprof_middleware.jobs import push, serve, task, tasks, write_textfile
from memprof_middleware.routes import labels
from memprof_middleware.testing import FakeProbes
from memprof_middleware.web.http import shared_port


@pytest.fixture
def profiler() -> Iterator[MemoryProfiler]:
    made = MemoryProfiler(Config(background=False), probes=FakeProbes())
    yield made
    made.stop()


def counted(profiler: MemoryProfiler) -> dict[str, int]:
    return profiler.traffic.read()[0]


def test_each_way_to_use_it_counts_once(profiler: MemoryProfiler) -> None:
    """A with statement, a function and a coroutine function, each also where it raises; what it gives is unchanged."""

    @task("add", profiler=profiler)
    def add(one: int, other: int = 1) -> int:
        """Adds."""
        return one + other

    @task("wait", profiler=profiler)
    async def wait() -> int:
        await asyncio.sleep(0)
        assert profiler.traffic.in_flight == 1
        return 5

    with task("import", profiler=profiler):
        assert profiler.traffic.in_flight == 1
    with pytest.raises(KeyError), task("import", profiler=profiler):
        raise KeyError("no such order")
    assert (add(1, other=2), asyncio.run(wait()), add.__doc__) == (3, 5, "Adds.")
    assert counted(profiler) == {"TASK import": 2, "TASK add": 1, "TASK wait": 1}
    assert (profiler.traffic.in_flight, profiler.traffic.failed) == (0, 1)


def test_one_object_serves_threads_at_once(profiler: MemoryProfiler) -> None:
    """The same task run by several threads is counted as often as it ran."""
    both, shared = threading.Barrier(2), task("resize", profiler=profiler)

    def run() -> None:
        with shared:
            both.wait(10)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counted(profiler), profiler.traffic.in_flight) == ({"TASK resize": 2}, 0)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("shop.tasks.resize", "TASK shop.tasks.resize"),
        ("sync:4711", "TASK sync:{id}"),
        ("import/0190163d-8694-739b-aea5-966c26f8ad91", "TASK import/{id}"),
        ("two\nlines", "TASK two?lines"),
        ("", "TASK "),
        ("v2.import", "TASK v2.import"),
    ],
)
def test_a_name_is_cleaned_and_folded(name: str, label: str) -> None:
    """Ids are folded as those of a path are, and no log line can be forged."""
    assert labels.job(name) == label


def test_names_from_users_make_nothing_grow(profiler: MemoryProfiler) -> None:
    """Ten thousand names of strangers take a bounded number of names, and of bytes."""
    for number in range(10_000):
        with task(f"mail to {'x' * 500} customer{number}x@example.org", profiler=profiler):
            pass
        with task(f"customer{number}x", profiler=profiler):
            pass
    assert len(counted(profiler)) <= profiler.config.max_routes + 2
    assert sum(counted(profiler).values()) == 20_000
    assert len(labels._JOBS) <= labels._MOST_LABELS


def test_a_name_is_a_text() -> None:
    """A decorator without its name says how it is written."""
    with pytest.raises(ConfigError, match=r"a job's name must be a string, not function: @task\('name'\)"):
        task(lambda: None)  # type: ignore[arg-type]


def test_the_process_has_one_profiler() -> None:
    """Without a profiler given, jobs count in the process's own."""
    made = MemoryProfiler(Config(background=False), probes=FakeProbes())
    from memprof_middleware.registry import profiler_for

    assert profiler_for(made) is get_memory_profiler() is made
    with task("import"):
        pass
    assert counted(made) == {"TASK import": 1}
    made.stop()


def test_a_bad_setting_stops_no_job(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The job runs, nothing is watched, and one line says which setting it is."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "often")
    monkeypatch.setattr(tasks, "_refused", False)
    done = []
    with caplog.at_level(logging.ERROR, "memprof"):
        for number in range(3):
            with task("import"):
                done.append(number)
    assert done == [0, 1, 2]
    [line] = caplog.messages
    assert line.startswith("memprof: jobs are not watched: MEMPROF_INTERVAL='often' is not a number")
    assert not write_textfile("/nowhere/at/all.prom")


def test_a_job_that_forks_leaves_both_sides_right(profiler: MemoryProfiler) -> None:
    """The parent's count is its own; the child begins anew and may run on."""
    with task("before", profiler=profiler):
        pass
    reading, writing = os.pipe()
    with task("forks", profiler=profiler):
        child = os.fork()
    if child == 0:
        with task("in the child", profiler=profiler):
            pass
        found = sorted(counted(profiler)), profiler.traffic.in_flight
        os.write(writing, repr(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.read().decode() == repr((["TASK forks", "TASK in the child"], 0))
    os.waitpid(child, 0)
    assert counted(profiler) == {"TASK before": 1, "TASK forks": 1}


def test_a_file_is_private_whole_and_as_it_is_now(profiler: MemoryProfiler, tmp_path: Path) -> None:
    """The metrics of a job that is over: only this user may read them, unless a mode says otherwise."""
    path = tmp_path / "import.prom"
    with task("import", profiler=profiler):
        pass
    assert write_textfile(path, profiler=profiler)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'memory_requests_total{worker="0"} 1.0' in path.read_text()
    assert 'memory_route_requests_total{route="TASK import",worker="0"} 1.0' in path.read_text()
    assert write_textfile(path, mode=0o644, profiler=profiler)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_fails_stops_no_job(profiler: MemoryProfiler, tmp_path: Path) -> None:
    """A folder that is missing or a gateway that is down is counted, and the job ends as it would."""
    assert not write_textfile(tmp_path / "missing" / "import.prom", profiler=profiler)
    assert not push("127.0.0.1:9", "import", timeout=1, profiler=profiler)
    assert profiler.failures.counts == {"textfile": 1, "push": 1}


def test_a_push_arrives(profiler: MemoryProfiler) -> None:
    """A gateway gets the metrics under job and grouping key."""
    got: list[tuple[str, str, bytes]] = []

    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.command, self.path, body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with task("import", profiler=profiler):
        pass
    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        assert push(address, "import", grouping_key={"shop": "north"}, profiler=profiler)
        server.shutdown()
    [(command, path, body)] = got
    assert (command, path) == ("PUT", "/metrics/job/import/shop/north")
    assert b"fogcompute_memory_heap_used_mb" in body
    assert b'memory_route_requests_total{route="TASK import",worker="0"} 1.0' in body


def test_two_processes_share_a_port_and_another_application_is_refused(profiler: MemoryProfiler) -> None:
    """The second of a group serves beside the first; one of another group is told whose port it is."""
    first = serve(0, host="127.0.0.1", group="shop", profiler=profiler)
    second = None
    try:
        assert shared_port.owner_of("127.0.0.1", first.port) == "shop"
        second = serve(first.port, host="127.0.0.1", group="shop", profiler=profiler)
        with pytest.raises(ExporterError, match=r"belongs to the exporter of another application, 'shop'.*'bakery'"):
            serve(first.port, host="127.0.0.1", group="bakery", profiler=profiler)
    finally:
        first.stop()
        if second is not None:
            second.stop()
    assert shared_port.owner_of("127.0.0.1", first.port) is None


def test_a_port_that_is_not_shared_is_refused_both_ways(profiler: MemoryProfiler) -> None:
    """An exporter by itself and a shared one do not meet on one port."""
    alone = MemoryExporter(profiler, port=0, host="127.0.0.1").start()
    try:
        with pytest.raises(ExporterError, match=r"cannot listen on .*in use"):
            serve(alone.port, host="127.0.0.1", group="shop", profiler=profiler)
    finally:
        alone.stop()


def test_a_reserved_port_is_kept_and_hears_nobody(profiler: MemoryProfiler) -> None:
    """A parent that reserves it takes no scrape away from the children that serve."""
    parent = MemoryExporter(profiler, port=0, host="127.0.0.1", shared=True, group="shop").reserve().reserve()
    assert parent.port != 0
    child = MemoryExporter(profiler, port=parent.port, host="127.0.0.1", shared=True, group="shop").start()
    try:
        assert [shared_port.owner_of("127.0.0.1", parent.port) for _ in range(8)] == ["shop"] * 8
    finally:
        child.stop()
        parent.stop()
    with pytest.raises(ExporterError, match="shared=True"):
        MemoryExporter(profiler, port=0).reserve()
