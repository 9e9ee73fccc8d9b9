"""This worker and its siblings, as the profiler uses them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import subprocess
import sys
import threading

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.failures import Failures
from memprof_middleware.model import MemoryMetrics
from memprof_middleware.probes import Listener
from memprof_middleware.runtime import monitor
from memprof_middleware.runtime.report import figures_of
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder
from memprof_middleware.workers import locked_file as slot_file
from memprof_middleware.workers import timelines as worker_timelines
from memprof_middleware.workers.group import WorkerGroup

HERE = Listener("127.0.0.1:8000", "1234 5678")


@pytest.fixture(autouse=True)
def nothing_held():
    """No test leaves a slot held."""
    yield
    assert not slot_file._held


@pytest.fixture
def failures():
    return Failures(logging.getLogger("memprof.test"))


@pytest.fixture
def group(tmp_path, failures):
    found = WorkerGroup(lambda: HERE, str(tmp_path), failures)
    yield found
    found.leave()


def figures(group: WorkerGroup, pid: int | None = None) -> MemoryMetrics:
    return MemoryMetrics(worker=group.worker, pid=pid or os.getpid(), start_time=1.0)


def test_alone_until_the_server_listens(tmp_path, failures):
    """Until it is known where the server listens a worker shows itself, as worker 0, and asks again."""
    found: list[Listener] = []
    group = WorkerGroup(lambda: found[0] if found else None, str(tmp_path), failures)
    group.join()
    assert not group.settled
    assert [worker.worker for worker in group.workers(figures(group))] == ["0"]
    found.append(HERE)
    group.join()
    assert group.settled
    group.leave()


def test_the_one_that_answers(group, tmp_path, child, failures):
    """The list is in the order of the slots, and says which worker it comes from."""

    def sibling() -> str:
        other = WorkerGroup(lambda: HERE, str(tmp_path), failures)
        other.join()
        other.publish(figures(other))
        return other.worker

    assert child(sibling).result == "0"
    group.join()
    shown = group.workers(figures(group))
    assert [(worker.worker, worker.answering) for worker in shown] == [("0", False), ("1", True)]


def test_a_process_with_two_profilers_counts_once(group, tmp_path, failures):
    """Memory of one process is not added up twice, though two profilers look at it."""
    second = WorkerGroup(lambda: HERE, str(tmp_path), failures)
    group.join()
    second.join()
    second.publish(figures(second))
    assert [worker.worker for worker in group.workers(figures(group))] == ["0"]
    assert [worker.worker for worker in second.workers(figures(second))] == ["1"]
    second.leave()


def test_no_folder_is_said_once(tmp_path, caplog):
    """Where no folder can be used the app serves its own worker, says so once with the way out, and asks no more."""
    (tmp_path / f"memprof-{os.geteuid()}").symlink_to(tmp_path)
    failures = Failures(logging.getLogger("memprof.test"))
    asked: list[int] = []
    group = WorkerGroup(lambda: asked.append(1) or HERE, str(tmp_path), failures)
    for _ in range(3):
        group.join()
        group.publish(figures(group))
        assert [worker.worker for worker in group.workers(figures(group))] == ["0"]
    assert len(asked) == 1
    assert group.settled
    assert [record.getMessage().count("set run_dir") for record in caplog.records] == [1]


def test_after_leaving_no_slot_is_taken_again(group):
    """A snapshot that ends after the stop does not bring the worker back; a new start does."""
    group.join()
    group.leave()
    assert group.join() is None
    assert group.settled
    assert not slot_file._held
    group.open()
    group.join()
    assert slot_file._held


@pytest.mark.parametrize("replaced", [True, False])
def test_the_last_one_keeps_the_files_for_a_successor(tmp_path, failures, replaced):
    """A worker that its server is about to replace leaves its figures to its successor, else nothing."""
    asked: list[Listener] = []
    group = WorkerGroup(lambda: HERE, str(tmp_path), failures, replaced=lambda found: asked.append(found) or replaced)
    group.join()
    group.publish(figures(group))
    group.leave()
    assert asked == [HERE]
    assert not slot_file._held
    assert bool([path for path in tmp_path.rglob("*") if path.is_file()]) is replaced
    successor = WorkerGroup(lambda: HERE, str(tmp_path), failures, replaced=lambda found: False)
    predecessor = successor.join()
    assert (predecessor is not None) is replaced
    successor.leave()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_threads_join_once(group):
    """Requests that come at the same moment take one slot."""
    gate = threading.Barrier(8)
    threads = [threading.Thread(target=lambda: (gate.wait(), group.join())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert group.worker == "0"
    assert len(slot_file._held) == 1


def test_a_forked_child_begins_anew(group, child, tmp_path):
    """A child of a worker takes a slot of its own, and its parent's goes on."""
    group.join()

    def forked() -> str:
        own = WorkerGroup(lambda: HERE, str(tmp_path), Failures(logging.getLogger("memprof.test")))
        own.join()
        return own.worker

    assert child(forked).result == "1"
    assert group.worker == "0"


def test_the_slot_is_given_back_at_exit(tmp_path):
    """A worker that ends without lifespan events or stop() leaves nothing behind, if Python ends in order."""
    script = (
        "import socket, sys\n"
        "from memprof_middleware import Config, MemoryProfiler\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "profiler = MemoryProfiler(Config(run_dir=sys.argv[1])); profiler.start()\n"
        "import pathlib; print(len([p for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "1\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class TestProfiler:
    """What the profiler makes of it."""

    @pytest.fixture
    def make(self, tmp_path):
        """``make(settings)``: a profiler that the test steps, where a server listens."""
        made: list[MemoryProfiler] = []

        def make(**settings) -> MemoryProfiler:
            probes = FakeProbes()
            probes.address, probes.server = HERE.address, HERE.server
            hours = settings.pop("leak_confirm_hours", 0.05)
            config = Config(**{"background": False, "run_dir": str(tmp_path), "warmup_snapshots": 0} | settings)
            config = dataclasses.replace(config, leak_confirm_hours=hours)
            made.append(MemoryProfiler(config, clock=FakeClock(), probes=probes))
            made[-1].test_probes = probes
            return made[-1]

        yield make
        for profiler in made:
            profiler.stop()

    @staticmethod
    def leak(profiler, steps=6):
        for _ in range(steps):
            profiler.test_probes.collections = (0, 0, profiler.test_probes.collections[-1] + 1)
            profiler.test_probes.counts["shop.Cart"] = profiler.test_probes.counts.get("shop.Cart", 0) + 500
            profiler._setup.clock.advance(60)
            profiler.step()

    def predecessor(self, make, child):
        """A worker with a leak that is killed."""

        def work() -> list[str]:
            profiler = make()
            self.leak(profiler)
            return [leak.name for leak in profiler.detect_leaks()]

        dead = child(work)
        assert dead.result == ["shop.Cart"]
        dead.kill()

    def test_an_open_leak_outlives_its_worker(self, make, child):
        """The successor shows the leak and the baseline from its start, and does not tell or count it again."""
        self.predecessor(make, child)
        profiler = make()
        told = Recorder().attach(profiler)
        profiler.step()
        (own,) = profiler.workers()
        assert [leak.name for leak in own.leaks] == ["shop.Cart"]
        assert own.baseline.pid != os.getpid()
        assert told.alerts == []
        assert told.leaks == []
        assert sum(own.leak_detections.values()) == 0

    def test_a_scrape_never_comes_between_slot_and_inheritance(self, make, child, monkeypatch):
        """A scrape in another thread, in the moment in which a successor takes its slot, shows the open leak too."""
        self.predecessor(make, child)
        profiler = make(background=True, interval=3600)
        inheriting, go_on, answers = threading.Event(), threading.Event(), []
        inherit = profiler._monitor.evaluator.inherit

        def slow(predecessor: MemoryMetrics) -> None:
            inheriting.set()
            assert go_on.wait(60)
            inherit(predecessor)

        monkeypatch.setattr(profiler._monitor.evaluator, "inherit", slow)
        start = threading.Thread(target=profiler.publish)
        start.start()
        assert inheriting.wait(60)
        scrape = threading.Thread(target=lambda: answers.extend(profiler.workers()))
        scrape.start()
        scrape.join(0.1)  # as long as it takes if it does not wait
        go_on.set()
        start.join()
        scrape.join()
        assert [[leak.name for leak in worker.leaks] for worker in answers] == [["shop.Cart"]]

    def test_a_leak_that_goes_on_stays(self, make, child):
        """A successor that leaks on keeps the leak open, by its own figures, without a second alert."""
        self.predecessor(make, child)
        profiler = make()
        told = Recorder().attach(profiler)
        self.leak(profiler, 8)
        (leak,) = profiler.detect_leaks()
        assert leak.last == 4000
        assert told.alerts == []

    def test_a_leak_that_goes_on_is_open_before_it_is_certain_here(self, make, child):
        """A successor that sees it grow, and is far from a verdict of its own, neither ends it nor tells it again."""
        self.predecessor(make, child)
        profiler = make(leak_confirm_hours=None)
        told = Recorder().attach(profiler)
        for steps in (8, 8, 30):
            self.leak(profiler, steps)
            (leak,) = profiler.detect_leaks()
            assert (leak.name, leak.state) == ("shop.Cart", "confirmed")
            assert leak.last == profiler.test_probes.counts["shop.Cart"]
        assert told.alerts == []
        assert profiler.metrics().resolved == ()

    def test_a_leak_is_over_when_its_successor_would_have_shown_it(self, make, child):
        """Not after half a minute; and the line says when it was confirmed, not since when the successor lives."""
        self.predecessor(make, child)
        profiler = make(leak_confirm_hours=None)
        profiler._setup.clock.advance(600)
        told = Recorder().attach(profiler)
        for _ in range(25):
            profiler._setup.clock.advance(60)
            profiler.step()
        assert [leak.name for leak in profiler.detect_leaks()] == ["shop.Cart"]
        assert told.alerts == []
        for _ in range(3):
            profiler._setup.clock.advance(60)
            profiler.step()
        (alert,) = told.alerts
        assert not alert.active
        assert "has not grown for 25 min in the worker that replaced the leaking one" in alert.message
        assert "confirmed 30 min ago" in alert.message
        (over,) = profiler.metrics().resolved
        assert over.leak.name == "shop.Cart"

    def test_a_successor_without_requests_shows_nothing(self, make, child):
        """What each request keeps is not over because nobody asks for anything."""

        def serve(profiler) -> None:
            profiler.traffic._ended = {"GET /": profiler.traffic._ended.get("GET /", 0) + 100}

        def work() -> bool:
            profiler = make()
            for _ in range(8):
                serve(profiler)
                self.leak(profiler, 1)
            return profiler.detect_leaks()[0].growth_per_request is not None

        dead = child(work)
        assert dead.result
        dead.kill()
        profiler = make(leak_confirm_hours=None)
        for served in (False, True):
            for _ in range(60):
                if served:
                    serve(profiler)
                profiler._setup.clock.advance(60)
                profiler.step()
            assert [leak.name for leak in profiler.detect_leaks()] == ([] if served else ["shop.Cart"])

    def test_a_successor_leaves_the_others_what_they_have_reported(self, make, child):
        """A leak that goes on in another worker is reported by it: its end here is no end for all."""

        def work() -> int:
            profiler = make()
            self.leak(profiler)
            profiler.publish()
            return len(profiler.detect_leaks())

        dead, other = child(work), child(work)
        assert (dead.result, other.result) == (1, 1)
        dead.kill()
        profiler = make()
        told = Recorder().attach(profiler)
        for _ in range(profiler.config.leak_min_snapshots + 1):
            profiler._setup.clock.advance(60)
            profiler.step()
        assert [(alert.active, alert.leading) for alert in told.alerts] == [(False, False)]

    def test_a_leak_that_is_over_ends(self, make, child):
        """A successor that has seen enough without growth ends it, once."""
        self.predecessor(make, child)
        profiler = make()
        told = Recorder().attach(profiler)
        for _ in range(profiler.config.leak_min_snapshots + 1):
            profiler._setup.clock.advance(60)
            profiler.step()
        assert profiler.detect_leaks() == []
        assert [(alert.name, alert.active) for alert in told.alerts] == [("leak", False)]

    def test_the_forecast_of_what_is_shared_outlives_its_worker(self, make, child):
        """The successor of a killed worker goes on with the container's past, and does not tell its alert again."""

        def grow(profiler, steps, used=300.0):
            for step in range(steps):
                profiler.test_probes.container_mb = (used + 2 * step, 1000.0)
                profiler.take_snapshot()
                profiler.check_thresholds()
                profiler._setup.clock.advance(120)

        def work() -> list[str]:
            profiler = make()
            grow(profiler, 285)
            profiler.publish()
            return [alert.subject for alert in profiler.alerts if alert.name == "exhaustion"]

        dead = child(work)
        assert dead.result == ["shared"]
        dead.kill()
        profiler = make()
        profiler._setup.clock.advance(285 * 120)
        told = Recorder().attach(profiler)
        profiler.publish()
        grow(profiler, 2, 870.0)
        assert [alert.subject for alert in profiler.alerts if alert.name == "exhaustion"] == ["shared"]
        assert [alert for alert in told.alerts if alert.name == "exhaustion"] == []
        forecast = profiler.metrics().forecast
        assert forecast.shared.low_seconds is not None
        assert forecast.worker.novelty is None

    def test_another_server_is_no_predecessor(self, make, child):
        """After a restart nothing of the old run is taken over."""
        self.predecessor(make, child)
        profiler = make()
        profiler.test_probes.server = "9999 1"
        profiler.step()
        assert profiler.detect_leaks() == []
        assert profiler.baseline.pid == os.getpid()

    def test_a_young_worker_is_scraped_before_its_first_snapshot(self, make, child):
        """The first scrape of a worker shows it in its own slot, beside the others: worker 0 is never two workers."""

        def old() -> bool:
            profiler = make()
            profiler.step()
            profiler.traffic._ended = {"GET /": 500}
            profiler.publish()
            return True

        child(old)
        young = make()
        young.settle()
        assert [(worker.worker, worker.requests) for worker in young.workers()] == [("0", 500), ("1", 0)]

    def test_counters_do_not_depend_on_who_answers(self, make, child):
        """A scrape answered by the worker itself shows what one answered by another shows."""
        profiler = make(background=True, interval=3600)
        profiler.publish()
        profiler.traffic._ended["GET /"] = profiler.requests + 100

        def other() -> int:
            asked = make()
            asked.settle()
            return next(worker.requests for worker in asked.workers() if worker.worker == "0")

        assert child(other).result == profiler.workers()[0].requests == 0
        profiler.publish()
        assert child(other).result == profiler.workers()[0].requests == 100

    def test_switched_off_it_takes_no_slot(self, make, tmp_path):
        """``enabled=False`` leaves no file."""
        profiler = make(enabled=False)
        profiler.ensure_running()
        assert [worker.worker for worker in profiler.workers()] == ["0"]
        assert list(tmp_path.iterdir()) == []

    def test_copy_on_write_is_no_growth(self):
        """Touching what was shared at the fork moves the growth by next to nothing, and private memory by all of it."""
        script = (
            "import os\n"
            "from pathlib import Path\n"
            "from memprof_middleware.probes.process import memory_share, process_memory\n"
            "shared = [[number] for number in range(500_000)]\n"
            "pid = os.fork()\n"
            "if not pid:\n"
            "    look = lambda: (process_memory(Path('/proc')).anonymous, memory_share(Path('/proc')).private)\n"
            "    before = look()\n"
            "    again = [item for item in shared]; del again\n"
            "    after = look()\n"
            "    print(*(int((b - a) / 2**20) for a, b in zip(before, after)), flush=True)\n"
            "    os._exit(0)\n"
            "os.waitpid(pid, 0)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
        growth, private = map(int, done.stdout.split())
        assert private >= 15
        assert growth <= 5


class TestWithoutThread:
    """Where no background thread runs, as under an old uWSGI without threads."""

    @pytest.fixture
    def profiler(self, tmp_path, monkeypatch):
        def refuse(thread):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        profiler = MemoryProfiler(Config(run_dir=str(tmp_path), interval=60), probes=FakeProbes())
        yield profiler
        profiler.stop()

    def test_a_scrape_samples_once_an_interval(self, profiler, caplog):
        """The first scrape takes a snapshot, says once what to change, the next ones take none before their time."""
        profiler.ensure_running()
        for _ in range(3):
            profiler.step_if_overdue()
        assert profiler.workers()[0].snapshots_taken == 1
        profiler._monitor.schedule.stepped_at -= 61
        profiler.step_if_overdue()
        assert profiler.workers()[0].snapshots_taken == 2
        told = [record for record in caplog.records if "no background thread in process" in record.getMessage()]
        assert len(told) == 1

    def test_a_thread_that_runs_after_all_is_told(self, profiler, caplog):
        """The warning is taken back once, at the same level, and the thread has its work again."""
        profiler.ensure_running()
        profiler.step_if_overdue()
        for _ in range(2):
            profiler._monitor.schedule.beat()
        told = [record.levelname for record in caplog.records if "runs after all" in record.getMessage()]
        assert told == ["WARNING"]
        assert profiler.workers()[0].snapshots_taken == 3

    def test_after_stop_a_scrape_samples_nothing(self, profiler):
        """Who stopped the profiler does not get a snapshot from a late scrape."""
        profiler.ensure_running()
        profiler.stop()
        profiler._monitor.schedule.stepped_at -= 3600
        profiler.step_if_overdue()
        assert profiler.metrics().snapshots_taken == 0


def test_a_scrape_leaves_its_work_to_a_thread_that_is_late(tmp_path, caplog):
    """A thread that is at its first snapshot for long, on a busy machine, is neither replaced nor talked about."""
    probes, inside, go_on = FakeProbes(), threading.Event(), threading.Event()
    process = probes.process

    def slow():
        inside.set()
        go_on.wait(60)
        return process()

    probes.process = slow
    profiler = MemoryProfiler(Config(run_dir=str(tmp_path), interval=60), probes=probes)
    profiler.start()
    assert inside.wait(60)
    profiler._monitor.schedule.stepped_at -= 3600
    for _ in range(10):
        profiler.step_if_overdue()
    assert profiler.metrics().snapshots_taken == 0
    go_on.set()
    profiler.stop()
    assert "does not run" not in caplog.text


def test_a_disk_that_was_full_is_tried_again(tmp_path, caplog):
    """A worker that found no room is alone for a minute and not for life; it is logged once and counted each time."""
    now, failures = [1000.0], Failures(logging.getLogger("memprof"))
    (tmp_path / "taken").write_text("a file and no folder")
    group = WorkerGroup(lambda: HERE, str(tmp_path / "taken"), failures, clock=lambda: now[0])
    for _ in range(3):
        group.join()
    assert (group.settled, failures.counts["run_directory"]) == (True, 1)
    now[0] += 61
    assert not group.settled
    group.join()
    assert (group.settled, failures.counts["run_directory"]) == (True, 2)
    (tmp_path / "taken").unlink()
    group.join()
    assert group.slot is None
    now[0] += 61
    group.join()
    assert group.slot is not None
    group.leave()
    assert len([record for record in caplog.records if "internal error in run_directory" in record.getMessage()]) == 1


def test_a_step_by_hand_beside_the_threads(tmp_path, monkeypatch):
    """A worker's past has one pen: two steps at once do not move each other's half of the file away."""
    probes = FakeProbes()
    probes.address = HERE.address
    profiler = MemoryProfiler(Config(run_dir=str(tmp_path), background=False), clock=FakeClock(), probes=probes)
    profiler.publish()
    meeting, wrote = threading.Barrier(2), []

    def slow(*_: object) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            wrote.append("alone")
            meeting.wait(0.2)
            wrote.append("met")

    monkeypatch.setattr(worker_timelines, "record", slow)
    steps = [threading.Thread(target=profiler.step) for _ in range(2)]
    for step in steps:
        step.start()
    for step in steps:
        step.join()
    profiler.stop()
    assert wrote == ["alone", "alone"]


@pytest.mark.parametrize("leaves", [True, False])
def test_a_worker_that_leaves_in_its_last_step(tmp_path, monkeypatch, leaves):
    """The folder goes with the last worker, which is no failure of the step that is under way; without that it is."""
    probes = FakeProbes()
    probes.address = HERE.address
    profiler = MemoryProfiler(
        Config(run_dir=str(tmp_path), background=False, interval=3600), clock=FakeClock(), probes=probes
    )

    def gone(*_: object) -> None:
        if leaves:
            profiler._monitor.group.leave()
        raise FileNotFoundError

    monkeypatch.setattr(worker_timelines, "record", gone)
    profiler.step()
    assert profiler.statistics()["failures"] == ({} if leaves else {"timeline": 1})
    profiler.stop()


def test_new_figures_are_new_for_all_at_once(tmp_path, monkeypatch):
    """A scrape that comes while the worker publishes waits until its siblings see the new figures too."""
    probes = FakeProbes()
    probes.address = HERE.address
    profiler = MemoryProfiler(Config(run_dir=str(tmp_path), interval=3600), clock=FakeClock(), probes=probes)
    profiler.publish()
    writing, go_on, answers = threading.Event(), threading.Event(), []

    def slow(metrics: MemoryMetrics, windows: object) -> None:
        writing.set()
        assert go_on.wait(10)

    monkeypatch.setattr(profiler._monitor.group, "publish", slow)
    for _ in range(7):
        profiler.traffic.end("GET /")
    publisher = threading.Thread(target=profiler.publish)
    publisher.start()
    assert writing.wait(10)
    scrape = threading.Thread(target=lambda: answers.append(profiler.workers()[0].requests))
    scrape.start()
    scrape.join(0.1)
    assert answers == []
    go_on.set()
    publisher.join()
    scrape.join()
    assert answers == [7]
    profiler.stop()


class TestAStepBesideOthers:
    """What a step reads of the other workers."""

    @pytest.fixture
    def profiler(self, tmp_path, child):
        """One beside two others that have published; where they listen they are workers 0 and 1."""

        def sibling() -> str:
            other = new_profiler(tmp_path)
            for _ in range(3):
                other.traffic.end("GET /")
                other.step()
                other._monitor.setup.clock.advance(60)
            return other.worker

        assert [child(sibling).result for _ in range(2)] == ["0", "1"]
        profiler = new_profiler(tmp_path, background=True, interval=3600)
        profiler.step()
        yield profiler
        profiler.stop()

    @pytest.fixture
    def reads(self, monkeypatch):
        """The sections that were read, by file."""
        found: list[tuple[str, int]] = []
        read = slot_file.SlotFile.read

        def noted(file, section=0, *, live):
            found.append((file.path.name, section))
            return read(file, section, live=live)

        monkeypatch.setattr(slot_file.SlotFile, "read", noted)
        return found

    def test_it_reads_each_summary_once_and_no_more(self, profiler, reads):
        """Of every sibling a step reads the summary, once; details and windows are not its own business."""
        profiler.step()
        assert reads == [("0", 0), ("1", 0)]

    def test_recycling_counts_the_workers_that_the_step_has_read(self, tmp_path, child, reads):
        """Memory above ``recycle`` makes no step read the siblings again."""
        assert child(lambda: new_profiler(tmp_path).step()).result is None
        probes = FakeProbes(heap_mb=900)
        probes.address, probes.server = HERE.address, HERE.server
        profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path), recycle=500), probes=probes)
        profiler.step()
        reads.clear()
        profiler.step()
        assert [one for one in reads if not one[0].startswith("recycle")] == [("0", 0)]
        assert profiler.statistics()["failures"] == {}
        profiler.stop()

    def test_a_scrape_reads_the_details(self, profiler, reads):
        """Who answers a scrape reads all of every sibling, once, and no windows."""
        assert [worker.worker for worker in profiler.workers()] == ["0", "1", "2"]
        assert reads == [("0", 1), ("1", 1)]

    def test_only_the_leading_worker_reads_windows(self, profiler, reads, monkeypatch):
        """The worker with the lowest number reads the windows of the others; here it is told that it is that one."""
        monkeypatch.setattr(type(profiler._monitor.group), "worker", property(lambda _: "-1"))
        profiler.judge_routes()
        assert [section for _, section in reads if section == 2] == []  # it has no windows of its own yet
        for _ in range(profiler.config.warmup_snapshots + 2):
            profiler._monitor.setup.clock.advance(60)
            profiler.traffic.end("GET /")
            profiler.take_snapshot()
        reads.clear()
        profiler.judge_routes()
        assert [one for one in reads if one[1] == 2] == [("0", 2), ("1", 2)]

    def test_a_look_at_the_workers_changes_nothing(self, profiler, monkeypatch):
        """``workers()`` and ``metrics()`` publish nothing and take no slot, whoever asks and when."""
        monkeypatch.setattr(profiler._monitor.publisher, "publish", lambda: pytest.fail("published"))
        monkeypatch.setattr(profiler._monitor.group, "join", lambda: pytest.fail("joined"))
        profiler._monitor.publisher.published = None
        assert len(profiler.workers()) == 3
        assert profiler._monitor.live_workers == 3
        assert profiler.metrics().worker == "2"

    def test_one_report_a_step(self, profiler, monkeypatch):
        """What is published, kept, judged for evidence and given to sinks is one report, built once."""
        built: list[object] = []
        monkeypatch.setattr(monitor, "figures_of", lambda one: built.append(one) or figures_of(one))
        profiler._monitor.setup.clock.advance(60)
        profiler.step()
        assert len(built) == 1


def new_profiler(run: object, **settings: object) -> MemoryProfiler:
    """One whose server listens at the address of these tests."""
    probes = FakeProbes()
    probes.address, probes.server = HERE.address, HERE.server
    config = Config(**{"background": False, "run_dir": str(run), "warmup_snapshots": 0} | settings)
    return MemoryProfiler(config, clock=FakeClock(), probes=probes)
