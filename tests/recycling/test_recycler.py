"""A worker that grows: what is tried, when it retires, what is told, and that nothing of it reaches the host."""

from __future__ import annotations

import logging
import threading

import pytest

from memprof_middleware.probes import AllocatorStats
from memprof_middleware.recycling.detection import Surroundings
from tests.recycling.conftest import Worker


@pytest.fixture(autouse=True)
def all_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "memprof")


def grown(make, **settings: object) -> Worker:
    """A worker that was fresh for a while and is above the threshold since."""
    worker = make(**settings)
    worker.step(100, steps=4)
    worker.step(600, steps=6)
    return worker


def test_it_retires_once(make, caplog) -> None:
    """Above the threshold for longer than the patience, after the remedies, once in its life; the log has the cause."""
    worker = grown(make)
    assert worker.retired == ["SIGTERM"]
    worker.step(600, steps=50)
    assert worker.retired == ["SIGTERM"]
    (line,) = [text for text in caplog.messages if "recycling process" in text]
    assert "memory 600 MiB, above recycle=500 for 100 s (6 snapshots). Tried first: collect" in line
    assert "collect" in line
    assert "gunicorn: the arbiter replaces it" in line
    assert worker.failures.counts == {}


def test_off_by_default(make, tmp_path) -> None:
    """Without the setting nothing is looked at, tried or written, however large the worker is."""
    worker = make(recycle=None)
    worker.step(9000, steps=10)
    assert (worker.retired, worker.recycler.figures()) == ([], {})
    assert not worker.recycler.remedies.counts
    assert not (tmp_path / "run").exists()


def test_a_peak_is_no_breach(make) -> None:
    """Memory that goes down again in between is judged anew each time."""
    worker = make()
    worker.step(100, steps=4)
    for _ in range(10):
        worker.step(600, steps=3)
        worker.step(100)
    assert worker.retired == []
    assert worker.recycler.figures()["remedies"] == {}


def test_a_remedy_that_helps_keeps_the_worker(make) -> None:
    """What the application's callback drops is not replaced with the worker."""
    worker = make(remedies="callbacks")
    worker.recycler.remedies.callbacks.append(lambda: setattr(worker.probes, "heap_mb", 150.0))
    worker.step(100, steps=4)
    worker.step(600, steps=4)
    assert worker.recycler.figures()["remedy_freed_mb"]["callbacks"] == pytest.approx(450)
    worker.step(150, steps=10)
    assert worker.retired == []


def test_recycling_tries_the_harmless_remedies_by_itself(make) -> None:
    """A collection costs less than a new worker, so it comes first, when a breach lasts; once."""
    worker = make()
    worker.step(100, steps=4)
    assert worker.recycler.figures()["remedies"] == {}
    worker.step(600, steps=10)
    assert worker.recycler.figures()["remedies"] == {"collect": 1}


def test_two_workers_never_at_once(make, child) -> None:
    """While one drains, the other one waits, and says so once."""

    def first() -> list[str]:
        return grown(make).retired

    holder = child(first)
    assert holder.result == ["SIGTERM"]

    def second() -> list[object]:
        worker = grown(make)
        worker.step(600, steps=5)
        return [worker.retired, worker.recycler.figures()["recycle_refusals"]]

    assert child(second).result == [[], {"busy": 6}]
    holder.kill()
    assert child(second).result[0] == ["SIGTERM"]


def test_state_survives_the_worker(make, child, clock) -> None:
    """The successor of a worker that retired knows of it: the cooldown and the hour's count hold for it."""

    def life() -> list[object]:
        worker = grown(make, recycle_per_hour=2, recycle_cooldown=1)
        return [worker.retired, worker.recycler.figures()]

    for total in (1, 2):
        done = child(life)
        assert done.result[0] == ["SIGTERM"]
        assert done.result[1]["recycles"] == total - 1
        done.kill()
        clock.advance(300)
    retired, told = child(life).result
    assert retired == []
    assert told["recycles"] == 2
    assert told["recycle_refusals"] == {"per_hour": 1}


def test_a_crash_loop_is_impossible(make, child, clock) -> None:
    """Workers that are above the threshold from their first second on: as many as an hour allows, and then no more."""

    def life() -> list[str]:
        worker = make(recycle_cooldown=1, recycle_min_lifetime=1, recycle_patience=1, recycle_per_hour=3)
        for _ in range(15):
            worker.step(600, seconds=2)
            if worker.retired:
                break
        return worker.retired

    first = child(lambda: grown(make).retired)  # the one that tells what a fresh worker uses
    first.kill()
    clock.advance(180)
    ends = []
    for _ in range(20):
        successor = child(life)
        ends += successor.result
        successor.kill()
        clock.advance(120)
    assert len(ends) == 2


def test_a_threshold_under_a_fresh_worker(make, caplog) -> None:
    """It is refused before it matters, once, with one that would do; no worker ever retires."""
    worker = make(recycle=110)
    worker.step(100, steps=30)
    worker.step(120, steps=30)
    assert worker.retired == []
    (told,) = [text for text in caplog.messages if "recycling is off" in text]
    assert told == (
        "memprof: recycling is off: recycle=110 is too near to the 100 MiB that a fresh worker uses. "
        "Set it to at least 125"
    )
    assert worker.recycler.figures()["recycle_refusals"] == {"fresh": 27}


def test_a_threshold_above_the_limit(make, caplog) -> None:
    """It would never be reached; that is said at the start."""
    worker = make(recycle=20_000)
    worker.step(100, steps=2)
    assert "recycle=20000 must be below the limit of 10000 MiB. Lower recycle or raise the limit" in caplog.text


def test_a_server_that_replaces_nobody(make, caplog) -> None:
    """It is refused at the first snapshot, once, and each snapshot at which it would be due is counted."""
    worker = make()
    worker.surroundings = Surroundings(frames=frozenset({"waitress.server"}), term_handled=True)
    worker.step(100)
    assert "memprof: recycling is off: waitress: it is one process" in caplog.text
    worker.step(600, steps=10)
    assert worker.retired == []
    assert caplog.text.count("recycling is off") == 1
    assert worker.recycler.figures()["recycle_refusals"] == {"server": 7}


def test_evidence_is_taken_before(make) -> None:
    """Where the profiler has a method for it, it is called with the cause before the worker begins to end."""
    worker = make()
    seen: list[tuple[str, list[str]]] = []
    worker.evidence = lambda cause: seen.append((cause, list(worker.retired)))
    worker.step(100, steps=4)
    worker.step(600, steps=6)
    assert worker.retired == ["SIGTERM"]
    ((cause, before),) = seen
    assert "recycling process " in cause
    assert before == []


def test_evidence_that_fails_stops_nothing(make) -> None:
    """It is counted, and the worker retires."""
    worker = make()
    worker.evidence = lambda cause: 1 / 0
    worker.step(100, steps=4)
    worker.step(600, steps=6)
    assert worker.retired == ["SIGTERM"]
    assert worker.failures.counts == {"evidence": 1}


def test_a_retirement_that_cannot_begin(make, child) -> None:
    """It is counted and logged, not tried again in this life, and no sibling is kept from it or counts it."""

    def failing() -> list[object]:
        worker = make()
        worker._retire = lambda mechanism: 1 / 0
        object.__setattr__(worker.recycler._effects, "retire", worker._retire)
        worker.step(100, steps=4)
        worker.step(600, steps=10)
        return [dict(worker.failures.counts)]

    assert child(failing).result == [{"recycle": 1}]

    def sibling() -> list[object]:
        worker = grown(make)
        return [worker.retired, worker.recycler.figures()["recycles"]]

    assert child(sibling).result == [["SIGTERM"], 0]


def test_nowhere_to_write(make) -> None:
    """Without a place for what must survive no worker retires; it is counted, and the remedies go on."""
    worker = make(run_dir="/proc/nowhere")
    worker.step(100, steps=4)
    worker.step(600, steps=10)
    assert worker.retired == []
    assert worker.failures.counts["recycle"] == 14
    assert worker.recycler.figures()["remedies"] == {"collect": 1}


def test_it_waits_until_the_server_listens(make) -> None:
    """The file is named by where the server listens; before that is known nobody retires and no file is made."""
    worker = make(recycle_patience=1, recycle_min_lifetime=1)
    worker.probes.address = None
    worker.step(100, steps=2, seconds=6)
    worker.step(600, steps=5, seconds=2)
    assert worker.retired == []
    worker.probes.address = "127.0.0.1:8000"
    worker.step(100, steps=2, seconds=6)
    worker.step(600, steps=6, seconds=2)
    assert worker.retired == ["SIGTERM"]


def test_a_jump_of_the_clock(make) -> None:
    """The date plays no part: all times are the machine's monotonic ones, so a snapshot of 1970 changes nothing."""
    worker = make()
    worker.step(100, steps=4)
    worker._snapshotter._clock.now = 0.0
    worker.step(600, steps=6)
    assert worker.retired == ["SIGTERM"]


def test_the_deadline_ends_the_process(make, caplog) -> None:
    """What is in flight for ever is told, and the process ends; a supervised one ends as a failure."""
    worker = grown(make, recycle_drain=60)
    worker.traffic.started = 3
    seconds, in_flight, end = worker.recycler._drain
    assert seconds == 60
    assert in_flight() == 3
    end(in_flight())
    assert worker.exits == [0]
    assert "ends now with 3 requests in flight: longer than recycle_drain=60" in caplog.text


def test_a_supervised_process_ends_as_a_failure(make) -> None:
    """A supervisor that restarts on failure only must see one."""
    worker = make(recycle_supervised=True)
    worker.surroundings = Surroundings(term_owner=frozenset({"uvicorn.server"}), term_handled=True)
    worker.step(100, steps=4)
    worker.step(600, steps=6)
    assert worker.retired == ["SIGTERM"]
    _, _, end = worker.recycler._drain
    end(0)
    assert worker.exits == [1]


def test_trim_before_retirement(make) -> None:
    """Memory that the C library keeps though it was freed is given back before a worker is replaced for it."""
    worker = make()
    worker.step(100, steps=4)
    worker.probes.allocated = AllocatorStats(in_use=2**20 * 100, retained=2**20 * 500, blocks=0, name="glibc")
    worker.step(600, steps=4)
    assert worker.trims == 1


def test_what_is_freed_late_is_trimmed_too(make) -> None:
    """In the middle of a burst its memory is in use; the remedies come when the breach lasts, so they see it free."""
    worker = make()
    worker.step(100, steps=4)
    worker.probes.allocated = AllocatorStats(in_use=2**20 * 600, retained=0, blocks=0, name="glibc")
    worker.step(600, steps=2)
    worker.probes.allocated = AllocatorStats(in_use=2**20 * 100, retained=2**20 * 500, blocks=0, name="glibc")
    worker._trim = lambda: setattr(worker.probes, "heap_mb", 120.0)
    worker.recycler.remedies._trim = worker._trim
    worker.step(600, steps=2)
    assert "trim freed 480 MiB in " in str(worker.recycler.remedies.last[-1])
    worker.step(120, steps=10)
    assert worker.retired == []


def test_a_remedy_that_hangs_does_not_keep_a_worker_for_ever(make) -> None:
    """After its minute it is not waited for any longer, and the worker is replaced with it."""
    worker = make(remedies="callbacks")
    over = threading.Event()
    worker.recycler.remedies.callbacks.append(lambda: over.wait(30))
    worker.recycler.remedies.join = lambda seconds: None
    worker.step(100, steps=4)
    worker.step(600, steps=6)
    assert worker.retired == []
    worker.step(600, steps=4)
    over.set()
    assert worker.retired == ["SIGTERM"]
    assert worker.failures.counts == {"remedy": 1}


def test_remedies_alone(make) -> None:
    """At a heap warning the chosen remedies are tried, also where nothing is recycled; then not for a while."""
    from memprof_middleware import Alert

    worker = make(recycle=None, remedies=("collect",), remedies_per_hour=2)
    worker.step(600, steps=3)
    assert worker.recycler.figures()["remedies"] == {}
    alert = Alert(name="heap_warning", severity="medium", message="", value=0, threshold=0, since=0, timestamp=0)
    worker.alerts.append(alert)
    worker.step(600, steps=3)
    assert worker.recycler.figures()["remedies"] == {"collect": 1}
    worker.step(600, steps=100, seconds=60)
    assert worker.recycler.figures()["remedies"] == {"collect": 4}
    assert worker.retired == []
