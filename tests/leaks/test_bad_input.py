"""Bad input: whatever a process, its clock and its platform do, a verdict is right, or there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memprof_middleware.analysis.memory import NATIVE
from memprof_middleware.leaks.judge import look
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.present import present
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.model import MB
from tests.leaks.process import ROOM, Process, lives_of, passing


def leaking() -> Process:
    """100 entries of 10 kB a minute: a third of the room in two and a half hours."""
    process = Process()
    process.keeps("app.KEPT", lambda minute: 100 * minute, 10_000, oldest=7)
    return process


def filling() -> Process:
    """A cache that fills, and bends as it does; full, it is half of the room."""
    process = Process()
    process.keeps("app.CACHE", lambda minute: 20_000 * (1 - 0.985**minute), 10_000, oldest=7)
    return process


@pytest.mark.parametrize("jump", [-86_400.0, -3.0, 1800.0, 86_400.0, 30 * 86_400.0])
def test_a_clock_that_jumps_hides_no_leak_and_makes_none(jump: float) -> None:
    """Back or forward, in the middle: the leak is confirmed as late, and the cache never."""
    for process, expected in ((leaking(), ["app.KEPT"]), (filling(), [])):
        process.clock = lambda minute: 60.0 * minute + (jump if minute > 80 else 0.0)
        lives: dict[str, Life] = {}
        for _ in range(17):
            lives = lives_of(process, lives, 10)
        assert [key for key, life in lives.items() if life.state == "confirmed"] == expected


def test_a_restart_begins_anew() -> None:
    """A young process that already is large, and grows as it warms up, is no leak; one that goes on leaking is."""
    for leaks in (False, True):
        process = Process()
        process.keeps("app.KEPT", lambda minute, leaks=leaks: 15_000 + 100 * minute * leaks, 10_000)
        process.native = lambda minute: 60.0 * MB * (1 - 0.9**minute)
        found = process.run(20)
        assert passing(found) == []
        assert passing(process.run(180)) == (["app.KEPT"] if leaks else [])


def test_traffic_that_stops_for_a_night_neither_ends_nor_begins_anything() -> None:
    """Confirmed in the evening, it is confirmed in the morning; and the cache is no leak for the night."""
    for process, expected in ((leaking(), "confirmed"), (filling(), "")):
        path, (length, weight, seen) = next(iter(process.stores.items()))
        process.stores[path] = (lambda minute, length=length: length(min(minute, 170))), weight, seen
        process.traffic = lambda minute: 60 if minute <= 170 else 0
        lives: dict[str, Life] = {}
        for _ in range(65):
            lives = lives_of(process, lives, 10)
            assert {life.state for life in lives.values()} <= {"suspected", "confirmed"}
        assert [life.state for life in lives.values()] == ([expected] if expected else [])


def test_a_process_without_a_request_counter_is_judged_by_time() -> None:
    """A worker of a queue answers nobody: its leak is found, its cache is none."""
    for process, expected in ((leaking(), ["app.KEPT"]), (filling(), [])):
        process.requests = {}
        assert passing(process.run(170)) == expected


def test_a_platform_without_mallinfo2_is_judged_by_its_memory() -> None:
    """Neither in use nor free is known: a leak is told as native or untracked, never as mapped or kept."""
    for grows, expected in ((lambda minute: minute * 1.0, [NATIVE]), (lambda minute: 200 * (1 - 0.97**minute), [])):
        past = Past(60)
        for minute in range(160):
            heap = 100 * MB + grows(minute) * MB
            past.add(Reading(60.0 * minute, {"GET /": 60 * minute}, heap=heap, blocks=200_000, counts={}))
        assert passing(look(past, ROOM)) == expected


def test_an_interval_that_changes_changes_no_verdict() -> None:
    """60 s, then 5 s, then five minutes: growth is judged over what feeds it, not over snapshots."""
    seconds: list[float] = [0.0]
    for row in range(600):
        seconds.append(seconds[-1] + (60.0 if row < 60 else 5.0 if row < 400 else 300.0))
    for length, expected in (
        (lambda now: now / 60 * 100, ["app.KEPT"]),
        (lambda now: 20_000 * (1 - 0.985 ** (now / 60)), []),
    ):
        past = Past(60)
        for now in seconds[:460]:
            past.add(_reading(now, length))
        assert passing(look(past, ROOM, told=True)) == expected


def test_a_leak_of_days_outlives_what_the_history_forgets() -> None:
    """The first of 10,000 snapshots is still the beginning, and at no look in four days was the leak over."""
    past, lives, seen = Past(60), {}, set()
    for minute in range(4 * 1440):
        past.add(_reading(60.0 * minute, lambda now: now / 60 * 4))
        if minute % 60 == 0:
            lives = live(lives, look(past, ROOM, told=bool(lives)), lambda finding: present(past, finding))
            seen |= {life.state for life in lives.values()}
    assert seen == {"suspected", "confirmed"}
    [life] = lives.values()
    assert life.finding.growth is not None
    assert life.finding.growth.seconds > 3.8 * 86_400


def test_counts_that_gc_freeze_hides_end_nothing() -> None:
    """What is frozen is not counted any more, and still there."""
    process = Process()
    process.types = {"app.Cart": lambda minute: 1000 * minute if minute < 170 else 10}
    process.native = lambda minute: 1000.0 * 1000 * minute
    lives = lives_of(process, {}, 169)
    assert len(lives) == 1
    process.past.forget_counts()
    for _ in range(5):
        lives = lives_of(process, lives, 20)
        assert "over" not in {life.state for life in lives.values()}


def _reading(now: float, length: Callable[[float], float]) -> Reading:
    entries = int(length(now))
    native = 10 * MB + 10_000 * entries
    kept = {"app.KEPT": Seen(entries, entry_bytes=10_000, oldest=7)}
    requests = {"GET /": int(now)}
    return Reading(
        now, requests, heap=100 * MB + native, native=native, retained=MB, blocks=2e5, counts={}, containers=kept
    )
