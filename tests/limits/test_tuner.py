"""Thresholds that tune themselves, as the profiler does it."""

from __future__ import annotations

import logging

import pytest

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.evidence.report import render_report
from memprof_middleware.failures import Failures
from memprof_middleware.limits.state_file import FILE_NAME, read_state
from memprof_middleware.limits.tuner import Tuner
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.learned import Learned
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder


@pytest.fixture
def live(tmp_path):
    """Lets a worker of a release live for some hours at some size, one after the other; returns its profiler."""
    clock, made = FakeClock(), []

    def run(hours: float, heap_mb: float = 200.0, **settings: object) -> MemoryProfiler:
        config = Config(background=False, **{"thresholds": "auto", "state_dir": str(tmp_path)} | settings)
        probes = FakeProbes(heap_mb=heap_mb, limit_mb=1000)
        profiler = MemoryProfiler(config, clock=clock, probes=probes)
        made.append(profiler)
        profiler.heard = Recorder().attach(profiler)
        for step in range(int(hours * 6)):
            probes.heap_mb = heap_mb + step % 5
            profiler.take_snapshot()
            profiler.check_thresholds()
            clock.advance(600)
        return profiler

    yield run
    for profiler in made:
        profiler.stop()


def test_a_day_is_learned_and_kept(live, tmp_path):
    """After a day the thresholds move, the report, the statistics and the log say why, and the next worker knows."""
    first = live(20)
    assert first.tuner.levels.heap_warning.value == 80
    second = live(9)
    assert second.tuner.levels.heap_warning.value == pytest.approx(25.5)
    assert "heap warning       25.5  (usually up to 20.4 % of the limit" in render_report(second)
    told = second.statistics()["thresholds"]["heap_warning"]
    assert told["value"] == pytest.approx(25.5)
    assert told["reason"].startswith("usually")
    assert live(0.5).tuner.levels.heap_warning.value == pytest.approx(25.5)
    assert len(read_state(tmp_path / FILE_NAME).releases[0].hours) == 25


def test_what_was_learned_raises_the_alert(live):
    """A heap of 30 % is told where 20 % is the habit, and not told where nothing was learned."""
    live(30)
    assert [alert.name for alert in live(0.5, 300).alerts] == ["heap_warning"]
    assert live(0.5, 300, thresholds="fixed").alerts == []


def test_a_release_is_compared_in_the_report(live, caplog):
    """One line in the report and in the log, once it has lived for some hours; also with fixed thresholds."""
    live(30, 174, release="1.4", thresholds="fixed")
    with caplog.at_level(logging.INFO, "memprof"):
        profiler = live(7, 212, release="1.5", thresholds="fixed")
    sentence = "elease 1.5 uses 38 MiB more per worker than 1.4 (212 against 174 MiB at the same age)"
    assert "R" + sentence in render_report(profiler)
    assert "Thresholds" not in render_report(profiler)
    assert sum(sentence in record.getMessage() for record in caplog.records) == 1
    assert profiler.statistics()["release_change"] == "r" + sentence


def test_fixed_thresholds_without_a_release_learn_nothing(live, tmp_path):
    """By default there is no file and no line."""
    live(30, thresholds="fixed")
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_to_keep_it_the_worker_learns_for_itself(live, caplog):
    """It says so once, and forgets with the process."""
    with caplog.at_level(logging.INFO, "memprof"):
        profiler = live(28, state_dir=None)
    assert profiler.tuner.levels.heap_warning.learned
    assert sum("set state_dir to keep them" in record.getMessage() for record in caplog.records) == 1


def test_a_file_that_makes_no_sense_is_said_and_survived(live, tmp_path, caplog):
    """Learning begins anew, the old file is aside, and nothing but a failure is counted."""
    (tmp_path / FILE_NAME).write_text("what?")
    with caplog.at_level(logging.WARNING, "memprof"):
        profiler = live(28)
    assert profiler.failures.counts == {"state_file": 1}
    assert "is not a state file; it was moved to" in caplog.text
    assert profiler.tuner.levels.heap_warning.learned


def test_a_folder_that_cannot_be_written_costs_the_learning_only(live, tmp_path, caplog):
    """The log names the file and the setting; the defaults stay in force."""
    (tmp_path / "file").write_text("")
    profiler = live(4, state_dir=str(tmp_path / "file"))
    assert set(profiler.failures.counts) == {"state_file"}
    assert profiler.tuner.levels.heap_warning.value == 80
    assert profiler.metrics().snapshot is not None


def test_only_the_first_worker_learns_for_all(tmp_path):
    """The others read what it wrote, hour by hour."""
    config = Config(thresholds="auto", state_dir=str(tmp_path))
    first, second = (Tuner(config, Failures(logging.getLogger("memprof"))) for _ in range(2))
    for hour in range(28):
        snapshot = MemorySnapshot(
            timestamp=1e9 + 3600 * hour, pid=1, heap_used_mb=200, heap_size_mb=1000, heap_size_source="fake"
        )
        second.see(snapshot, 40.0, 1.0, first=False)
        first.see(snapshot, 40.0, 1.0, first=True)
    assert len(read_state(tmp_path / FILE_NAME).releases[0].hours) == 26
    assert first.levels.heap_warning.learned
    assert second.levels.heap_warning.learned


def test_a_young_worker_and_a_jumping_clock_are_not_learned(tmp_path):
    """The first hour is warm-up, and hours that the clock went back over are not counted twice."""
    tuner = Tuner(Config(thresholds="auto", state_dir=str(tmp_path)), Failures(logging.getLogger("memprof")))
    for hours in (0, 0.5, 0.9, 50, 49, -20, -19.5, -19.1, -10):
        snapshot = MemorySnapshot(timestamp=1e9 + 3600 * hours, pid=1, heap_used_mb=200, heap_size_mb=1000)
        tuner.see(snapshot, None, None, first=True)
    assert read_state(tmp_path / FILE_NAME) == Learned()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"thresholds": "automatic"}, r"thresholds='automatic' is out of range; allowed: 'fixed' or 'auto'"),
        ({"release": "x" * 65}, "up to 64 printable characters"),
        ({"release": "1.0\n"}, "up to 64 printable characters"),
    ],
)
def test_settings_are_checked(setting, said):
    """The error names the setting and what is allowed."""
    with pytest.raises(ConfigError, match=said):
        Config(**setting)
