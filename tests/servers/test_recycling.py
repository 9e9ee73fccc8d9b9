"""Workers of real servers retire under load, and nobody notices; servers that cannot do it refuse, and serve on.

What was seen goes to `build/recycling/`, from which `python tests/servers/table.py` writes the table in
`docs/recycling.md`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import platform
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from memprof_middleware.probes.allocator import allocator_stats
from memprof_middleware.workers.locked_file import SlotFile
from tests.servers.harness import Server, started
from tests.servers.recycling_cases import RECYCLED, REFUSING, Case
from tests.servers.recycling_load import Load, Tally

pytestmark = pytest.mark.server
RESULTS = Path(__file__).parents[2] / "build" / "recycling"
THRESHOLD_MB = 120
RETIREMENTS = 3
AT_A_TIME = 2
SECONDS = 90.0
_RETIRES = re.compile(r"memprof: recycling process (\d+)")
_SETTINGS = {
    "MEMPROF_INTERVAL": "1",
    "MEMPROF_RECYCLE": str(THRESHOLD_MB),
    "MEMPROF_RECYCLE_PATIENCE": "2",
    "MEMPROF_RECYCLE_MIN_LIFETIME": "6",
    "MEMPROF_RECYCLE_PER_HOUR": str(RETIREMENTS),
}


class Life(NamedTuple):
    """One server under load: pids of the workers that retired, what the clients saw, and its log."""

    retired: list[int]
    tally: Tally
    log: str


@contextlib.contextmanager
def running(case: Case, folder: Path, **settings: str) -> Iterator[Server]:
    if case.version is None:
        pytest.skip(f"{case.package} is not installed")
    run = folder / "run"
    given = {"MEMPROF_RECYCLE_COOLDOWN": f"{case.cooldown:g}", "MEMPROF_RUN_DIR": str(run), **_SETTINGS, **settings}
    given["RECYCLING_SEEN"] = str(folder / "seen")
    with started([*case.command], folder / "log", program=case.program, settings=given | dict(case.settings)) as server:
        yield server


def past(folder: Path) -> dict[str, object]:
    """What the workers wrote down; empty before they have."""
    for path in folder.glob("run/memprof-*/recycle-*"):
        return json.loads(SlotFile(path).read(live=False) or b"{}")
    return {}


def wait_for(server: Server, condition: Callable[[], object], what: str) -> None:
    server.wait_for(lambda: bool(condition()), SECONDS, what)


def retired(server: Server) -> list[int]:
    return [int(pid) for pid in _RETIRES.findall(server.log)]


def recycles(server: Server) -> float:
    found = re.search(r'^fogcompute_memory_recycles_total\{worker="all"\} (\S+)', server.get("/metrics"), re.MULTILINE)
    return float(found[1]) if found else -1.0


def live(case: Case, folder: Path) -> Life:
    """Under load, let workers that leak retire until the hour's are used up."""
    with running(case, folder) as server:
        server.inside(case.workers)
        wait_for(server, lambda: past(folder).get("fresh_mb"), "a fresh worker's size")
        with Load(server.port, folder / "seen") as load:
            with load.leaking():
                wait_for(server, lambda: len(retired(server)) == RETIREMENTS, "three retirements")
                wait_for(server, lambda: not any(map(psutil.pid_exists, retired(server))), "the end of the three")
                wait_for(server, lambda: "memprof: recycling paused: " in server.log, "the refusal of the fourth")
            wait_for(server, lambda: recycles(server) == RETIREMENTS, "the metric")
        return Life(retired(server), load.tally, server.log)


@pytest.fixture(scope="module")
def lives(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[dict[str, Future[Life]]]:
    """The lives of all servers that this run asks for, some at a time: a life is mostly waiting."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    cases = [spec.params["recycled"] for spec in asked if spec is not None and "recycled" in spec.params]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            case.name: pool.submit(live, case, tmp_path_factory.mktemp(case.package))
            for case in cases
            if case.version is not None
        }


@pytest.mark.xdist_group("lives of the recycled")
@pytest.mark.parametrize("recycled", RECYCLED, ids=lambda case: case.name)
def test_workers_retire_under_load(recycled: Case, lives: dict[str, Future[Life]]) -> None:
    """No request is lost while three workers that leak retire; the fourth is not, for the hour's are used up."""
    if recycled.name not in lives:
        pytest.skip(f"{recycled.package} is not installed")
    life = lives[recycled.name].result()
    tally = life.tally
    assert len(life.retired) == len(set(life.retired)) == RETIREMENTS, life.log
    assert len(tally.pids - set(life.retired)) >= recycled.workers, "those that retired were replaced"
    assert tally.dropped == [], life.log
    assert len(tally.cut) <= recycled.cuts, (tally.cut, life.log)
    assert "longer than recycle_drain=" not in life.log, "nothing but the server ended a worker"
    assert tally.refused == 0, life.log
    assert tally.unread <= RETIREMENTS, life.log
    assert "Traceback" not in life.log
    assert "internal error in " not in life.log
    write(recycled, tally)


def write(case: Case, tally: Tally) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    seen = {
        "server": case.name,
        "version": case.version,
        "mechanism": case.mechanism,
        "retired": RETIREMENTS,
        "answered": tally.answered,
        "dropped": len(tally.dropped) + len(tally.cut),
        "refused": tally.refused,
        "unread": tally.unread,
        "stale": None if case.silent_close else tally.stale,
        "gap_seconds": tally.gap_seconds,
        "python": platform.python_version(),
    }
    number = RECYCLED.index(case)
    (RESULTS / f"{number:02}.json").write_text(json.dumps(seen))


@pytest.mark.parametrize("case", REFUSING, ids=lambda case: case.name)
def test_a_server_that_cannot_refuses(case: Case, tmp_path: Path) -> None:
    """Where nobody replaces a worker, or it would drop requests, none retires; the log says so and what to do."""
    with running(case, tmp_path) as server, Load(server.port, tmp_path / "seen", 4) as load:
        before = {process.pid for process in server.tree()}
        wait_for(server, lambda: case.refusal in server.log, "the refusal")
        with load.leaking():
            pattern = r'^fogcompute_memory_recycle_refusals_total\{.*reason="server".*\} [1-9]'
            wait_for(server, lambda: re.search(pattern, server.get("/metrics"), re.MULTILINE), "a refusal above it")
        assert {process.pid for process in server.tree()} == before
        assert server.log.count("memprof: recycling is off: ") == case.workers, server.log
        assert retired(server) == []
    assert (load.tally.dropped, load.tally.cut, load.tally.refused) == ([], [], 0)


def test_no_crash_loop_when_the_threshold_is_under_a_fresh_worker(tmp_path: Path) -> None:
    """A threshold that each new worker is above from its first second on recycles none, and the log names a better."""
    case = next(case for case in RECYCLED if case.name == "gunicorn gthread")
    with running(case, tmp_path, MEMPROF_RECYCLE="20", MEMPROF_RECYCLE_MIN_LIFETIME="1") as server:
        pids = set(server.inside(2))
        with Load(server.port, tmp_path / "seen", 4) as load:
            pattern = r'^fogcompute_memory_recycle_refusals_total\{.*reason="fresh".*\} [1-9]'
            wait_for(server, lambda: re.search(pattern, server.get("/metrics"), re.MULTILINE), "the refusal")
        assert "Set it to at least" in server.log
        assert load.tally.pids <= pids
        assert retired(server) == []


def test_a_remedy_that_helps_keeps_the_worker(tmp_path: Path) -> None:
    """Memory that glibc keeps after a burst is given back, and the worker that had the burst is not replaced for it."""
    if allocator_stats().name != "glibc":
        pytest.skip("malloc is not glibc's here")
    case = next(case for case in RECYCLED if case.name == "gunicorn sync")
    with running(case, tmp_path, MEMPROF_LOG_LEVEL="INFO") as server:
        pids = set(server.inside(2))
        wait_for(server, lambda: past(tmp_path).get("fresh_mb"), "a fresh worker's size")
        assert int(server.get("/burst")) in pids
        wait_for(server, lambda: "memprof: remedy trim " in server.log, "the trim")
        found = re.search(r"remedy trim freed .*\((\d+) to (\d+) MiB\)", server.log)
        assert found is not None
        assert float(found[1]) > THRESHOLD_MB > float(found[2])
        taken = snapshots(server)
        wait_for(server, lambda: snapshots(server) > taken + 10, "five more of each worker")
        assert set(server.inside(2)) == pids
        assert retired(server) == []


def snapshots(server: Server) -> float:
    """Taken by all workers."""
    found = re.findall(r"^fogcompute_memory_snapshots_total{.*} (\S+)", server.get("/metrics"), re.MULTILINE)
    return sum(map(float, found))


def test_an_endless_stream_is_cut_at_the_deadline(tmp_path: Path) -> None:
    """A stream keeps uvicorn's worker alive after SIGTERM, without a replacement; at the deadline it ends for good."""
    case = next(case for case in RECYCLED if case.name == "uvicorn --workers 2")
    with running(case, tmp_path, MEMPROF_RECYCLE_DRAIN="3", MEMPROF_RECYCLE_PER_HOUR="1") as server:
        server.inside(2)
        wait_for(server, lambda: past(tmp_path).get("fresh_mb"), "a fresh worker's size")
        with contextlib.ExitStack() as streams, Load(server.port, tmp_path / "seen") as load:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            streams.callback(connection.close)
            connection.request("GET", "/leaking-stream")
            connection.getresponse().read(1)
            wait_for(server, lambda: len(retired(server)) == 1, "a retirement")
            wait_for(server, lambda: "in flight: longer than recycle_drain=3" in server.log, "the deadline")
            (pid,) = retired(server)
            wait_for(server, lambda: not psutil.pid_exists(pid), "its end")
            known = set(load.tally.pids)
            wait_for(server, lambda: load.tally.pids - known, "its replacement")
    assert load.tally.dropped == load.tally.cut == []
    assert load.tally.refused == 0
