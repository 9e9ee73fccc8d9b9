"""Each server of the matrix lives twice, without the profiler and with it: all workers on one scrape, whatever happens.

With it, one worker of each server is killed under traffic and the server is asked for a graceful reload. What was seen
goes to `build/servers/`, from which `python tests/servers/table.py` writes the table in `docs/servers.md`.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import platform
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import memprof_middleware
import wsgi_memprof
from tests.servers.harness import APPS, STOP_MARGIN, Server, least_stop_seconds, started
from tests.servers.matrix import CASES, Case
from tests.servers.scrape import Scrape

pytestmark = pytest.mark.server
SAMPLER = "memprof-sampler"
RESULTS = Path(__file__).parents[2] / "build" / "servers"
SCRAPES = 12
SECONDS = 90.0


@dataclasses.dataclass
class Seen:
    """One life of a server, from its first answer to its end; what the life without the profiler has is filled in too.

    Attributes:
        threads: thread names of each serving process.
        masters: how many threads each other process has.
        steady: scrapes in a row, while nothing happens.
        alerts: records of the leak in the log.
        killed: the slot of the worker that was killed.
        after_kill: the scrape after it was dead.
        succeeded: the scrape when its successor had answered.
        alerts_after_kill: records of the leak then.
        reloaded: the scrape after a graceful reload.
        stop_seconds: from SIGTERM to the end.
        left_processes: that outlived the server.
        left_files: in the run directory.
        log: all that the server wrote.
    """

    threads: list[list[str]]
    masters: list[int]
    steady: list[Scrape] = dataclasses.field(default_factory=list)
    alerts: int = 0
    killed: str = ""
    after_kill: Scrape | None = None
    succeeded: Scrape | None = None
    alerts_after_kill: int = 0
    reloaded: Scrape | None = None
    stop_seconds: float = 0.0
    left_processes: list[int] = dataclasses.field(default_factory=list)
    left_files: list[str] = dataclasses.field(default_factory=list)
    log: str = ""


def live(case: Case, server: Server, apps: Path, *, bare: bool) -> Seen:
    inside = server.inside(case.workers)
    steady: list[Scrape] = []
    if not bare:
        with server.traffic():
            # A worker that was there before its server listened looks for its place once a second.
            server.wait_for(lambda: len(server.scrape().start_times) == case.workers, SECONDS, "all on one scrape")
            steady = [server.scrape() for _ in range(SCRAPES)]
            server.wait_for(lambda: scraped_by_all(server, steady, case.workers), SECONDS, "an answer of each")
        inside = server.inside(case.workers)  # again: of requests that came first and together, one starts the thread
    seen = Seen([found.threads for found in inside.values()], server.masters(inside), steady)
    if not bare:
        shown = server.leak_until_told(case.workers)
        seen.alerts = server.alerts
        if case.respawns:
            # At once: a leak that goes on no more is soon over, and its successor must find it open.
            victim = max(inside, key=lambda pid: int(inside[pid].worker))
            kill(victim, server, seen, shown, inside[victim].worker)
        if case.reload is not None:
            seen.reloaded = reload(case, server, apps)
    seen.stop_seconds, seen.left_processes = server.stop()
    seen.log = server.log
    return seen


def scraped_by_all(server: Server, scrapes: list[Scrape], workers: int) -> bool:
    scrapes.append(server.scrape())
    return len({scrape.answered for scrape in scrapes}) == workers


def kill(pid: int, server: Server, seen: Seen, before: Scrape, slot: str) -> None:
    """Kill a worker under traffic, look at once, and wait for its successor; ``before`` shows the worker alive."""
    seen.killed = slot
    scrapes: list[Scrape] = []
    with server.traffic():
        os.kill(pid, signal.SIGKILL)
        server.wait_for(lambda: is_dead(pid), SECONDS, "the death of the worker")
        seen.after_kill = Scrape(get_patiently(server))

        def succeeded() -> bool:
            scrapes.append(Scrape(get_patiently(server)))
            seen.succeeded = scrapes[-1]
            return scrapes[-1].start_times.get(slot, 0.0) > before.start_times[slot]

        server.wait_for(succeeded, SECONDS, "a successor on a scrape")

    def stepped() -> bool:
        # A successor that told the leak again would do so with a step.
        return Scrape(get_patiently(server)).of("snapshots_total").get(slot, 0.0) >= 3

    server.wait_for(stepped, SECONDS, "three steps of the successor")
    seen.alerts_after_kill = server.alerts


def is_dead(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        # A process is a zombie as soon as its first thread has ended; its files are closed with the last one.
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def get_patiently(server: Server) -> str:
    """A scrape may reach the backlog of the worker that is just dead."""
    answers: list[str] = []

    def asked() -> bool:
        try:
            answers.append(server.get("/metrics"))
        except OSError:
            return False
        return True

    server.wait_for(asked, SECONDS, "a scrape")
    return answers[0]


def reload(case: Case, server: Server, apps: Path) -> Scrape:
    """Ask for a reload and wait until only new processes serve."""
    old = server.inside(case.workers)
    scrapes: list[Scrape] = []
    before = set(server.scrape().start_times.values())
    case.reload(server, apps)
    server.wait_for(lambda: all(is_dead(pid) for pid in old), SECONDS, "the end of the old workers")
    server.inside(case.workers, besides=old)

    def only_new() -> bool:
        scrapes.append(Scrape(get_patiently(server)))
        shown = scrapes[-1].start_times.values()
        return before.isdisjoint(shown) and len(shown) == case.workers

    server.wait_for(only_new, SECONDS, f"{case.workers} new workers, and only those, on a scrape")
    return scrapes[-1]


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=pytest.mark.xdist_group(f"matrix {case.name}")) for case in CASES],
    ids=lambda case: case.name,
)
def lives(request: pytest.FixtureRequest) -> Iterator[tuple[Case, Seen, Seen]]:
    """A server with the profiler, and the same without."""
    case: Case = request.param
    if case.version is None:
        if os.environ.get("CI"):
            pytest.fail(f"{case.package} is not installed: .ci/install-servers does it")
        pytest.skip(f"{case.package} is not installed: .ci/install-servers does it")
    # Below /tmp and open to all: Apache serves as a user of its own.
    folder = Path(tempfile.mkdtemp(prefix="memprof-test-"))
    try:
        folder.chmod(0o755)
        apps, run = folder / "apps", folder / "run"
        shutil.copytree(APPS, apps)  # a reloader's test writes to them
        for package in (memprof_middleware, wsgi_memprof) if case.apart else ():
            source = Path(package.__file__).parent
            shutil.copytree(source, apps / source.name)
        run.mkdir()
        run.chmod(0o1777)
        found = {}
        for bare in (True, False):
            command = [part.replace("{apps}", str(apps)).replace("{tmp}", str(folder)) for part in case.command]
            settings = {"MEMPROF_RUN_DIR": str(run)}
            log = folder / f"{bare}.log"
            with started(command, log, bare=bare, apps=apps, program=case.program, settings=settings) as server:
                found[bare] = live(case, server, apps, bare=bare)
            found[bare].left_files = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]

        def stop_again(bare: bool) -> float:
            with started(
                *(command, folder / "again.log"), bare=bare, apps=apps, program=case.program, settings=settings
            ) as server:
                server.inside(case.workers)
                return server.stop()[0]

        ours, alone = found[False], found[True]
        ours.stop_seconds, alone.stop_seconds = least_stop_seconds(ours.stop_seconds, alone.stop_seconds, stop_again)
        failed = request.session.testsfailed
        yield case, found[False], found[True]
        if request.session.testsfailed == failed:
            note(case, found[False], found[True])
    finally:
        shutil.rmtree(folder)


def note(case: Case, ours: Seen, bare: Seen) -> None:
    """Leave what was seen for the table in the documentation."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    what = {
        "order": CASES.index(case),
        "server": case.name,
        "version": case.version,
        "python": platform.python_version(),
        "starts": case.starts,
        "workers": len(ours.threads),
        "scrapes": len(ours.steady),
        "answered": sorted({scrape.answered for scrape in ours.steady}),
        "alerts": ours.alerts,
        "killed": ours.killed,
        "reloaded": ours.reloaded is not None,
        "stop_seconds": round(ours.stop_seconds, 2),
        "stop_seconds_bare": round(bare.stop_seconds, 2),
        "left_files": len(ours.left_files),
        "leaves": case.leaves,
    }
    (RESULTS / f"{CASES.index(case):02}.json").write_text(json.dumps(what, indent=1))


def test_every_serving_process_has_the_profiler(lives):
    """The one thread runs in each process that serves, and only there; without the middleware nowhere."""
    case, ours, bare = lives
    assert [threads.count(SAMPLER) for threads in ours.threads] == [1] * case.workers
    assert not any(SAMPLER in threads for threads in bare.threads)
    # By how many threads each has: Apache now and then keeps one process more, with us or without.
    assert set(ours.masters) <= set(bare.masters)


def test_all_workers_on_one_scrape(lives):
    """Whichever worker answers, the scrape shows all of them, by slot, and says who answered; no name comes twice."""
    case, ours, _ = lives
    slots = {str(number) for number in range(case.workers)}
    assert {scrape.answered for scrape in ours.steady} == slots
    for scrape in ours.steady:
        assert set(scrape.start_times) == slots
        assert scrape.of("workers") == {"all": case.workers}
        assert max(collections.Counter(scrape.families).values()) == 1


def test_counters_never_run_backwards(lives):
    """From scrape to scrape no counter of a worker falls, whoever answers."""
    _, ours, _ = lives
    highest: dict[object, float] = {}
    for scrape in ours.steady:
        for key, value in scrape.counters.items():
            assert value >= highest.get(key, 0.0), key
            highest[key] = value


def test_the_leak_is_reported_once(lives):
    """One worker reports the incident at WARNING or above; where the log shows INFO, the others once each."""
    case, ours, _ = lives
    assert 1 <= ours.alerts <= case.workers, ours.log


def test_a_killed_worker_is_gone_from_the_next_scrape(lives):
    """After kill -9 no scrape shows the dead worker; its successor takes over the slot, and the leak that is open."""
    case, ours, _ = lives
    if not case.respawns:
        pytest.skip("the server has one process, or replaces none")
    started = ours.steady[-1].start_times
    assert ours.after_kill.start_times.get(ours.killed) != started[ours.killed]
    assert set(ours.succeeded.start_times) == set(started)
    assert ours.succeeded.start_times[ours.killed] > started[ours.killed]
    assert ours.succeeded.of("active_leaks")[ours.killed] >= (1 if case.package != "mod_wsgi" else 0)
    assert ours.alerts_after_kill == ours.alerts, ours.log


def test_a_reload_leaves_only_new_workers(lives):
    """After a graceful reload the scrape shows as many workers as before, none of the old ones."""
    case, ours, _ = lives
    if case.reload is None:
        pytest.skip("the server has no graceful reload")
    assert len(ours.reloaded.start_times) == case.workers
    assert ours.reloaded.of("workers") == {"all": case.workers}


def test_it_ends_with_the_server(lives):
    """SIGTERM ends every process, no later than a second after it would have without us, and clears the folder."""
    case, ours, bare = lives
    assert ours.left_processes == []
    assert ours.stop_seconds <= bare.stop_seconds + STOP_MARGIN
    if not case.leaves:
        assert ours.left_files == [], ours.log
    of_workers = [name for name in ours.left_files if "/shared/" not in name]
    assert len(of_workers) <= 2 * case.workers
    # What the workers have reported, and its lock; a worker that was killed in the middle of a write leaves its half.
    halves = [name for name in ours.left_files if name.endswith(".new")]
    assert len(halves) <= case.workers
    assert len(ours.left_files) - len(of_workers) - len(halves) <= 2
    assert bare.left_files == []


def test_no_warning(lives):
    """The server writes no warning (fork with threads, first of all) and no traceback that it does not write alone."""
    _, ours, bare = lives
    pattern = re.compile(r"\w*Warning: .*|^Traceback.*", re.MULTILINE)
    with_us, alone = ({re.sub(r"\d+", "#", line) for line in pattern.findall(seen.log)} for seen in (ours, bare))
    assert with_us <= alone, ours.log
    assert "internal error in " not in ours.log, ours.log
