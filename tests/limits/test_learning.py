"""Thresholds that are learned, and what a release changed."""

import dataclasses
import json
import math

import pytest

from memprof_middleware import Config
from memprof_middleware.analysis.history import History
from memprof_middleware.limits.learning import MOST_HOURS, MOST_RELEASES, learn, levels_of, release_change
from memprof_middleware.limits.levels import fixed_levels
from memprof_middleware.limits.thresholds import measured
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.learned import Hour, Learned

AUTO = Config(thresholds="auto")


def hour(number: int, heap_percent: float = 30.0, **others: float) -> Hour:
    values = {"heap_mb": 10 * heap_percent, "shared_percent": 60.0, "growth_percent": 1.0, "gc_per_hour": 50.0} | others
    return Hour(age_hours=number + 2.0, heap_percent=heap_percent, **values)


def known(hours: int = 30, release: str = "", start: Learned | None = None, **others: float) -> Learned:
    learned = start or Learned()
    since = 1e9 + len(learned.releases) * 1e6
    for number in range(hours):
        learned = learn(learned, release, hour(number, **others), since)
    return learned


def test_thresholds_lie_above_what_is_usual():
    """A quarter above most hours, the critical one halfway to the end, each with its reason."""
    levels = levels_of(AUTO, known())
    assert levels.heap_warning.value == pytest.approx(37.5)
    assert levels.heap_critical.value == pytest.approx((37.5 + 95) / 2)
    assert levels.shared_warning.value == pytest.approx(75)
    assert levels.heap_growth.value == 2.0
    assert levels.gc_per_hour is not None
    assert levels.gc_per_hour.value == 100
    assert levels.heap_warning.reason == (
        "usually up to 30.0 % of the limit, 30.0 % in the middle, by 30 hours of this application"
    )
    assert all(level.learned and level.reason for level in levels.described().values())


def test_what_happens_every_day_is_usual():
    """The climb of the morning and the peak of noon raise the thresholds, a single bad hour does not."""
    learned = Learned()
    for number in range(48):
        morning = 6 <= number % 24 < 10
        bad = number == 20
        learned = learn(
            learned,
            "",
            hour(
                number,
                85.0 if bad else 30 + 20 * math.sin(number / 24 * math.pi) ** 2,
                growth_percent=400 if bad else 12.0 if morning else 1.0,
            ),
            1e9,
        )
    levels = levels_of(AUTO, learned)
    assert 60 < levels.heap_warning.value < 70
    assert 12 < levels.heap_growth.value < 20


@pytest.mark.parametrize("percent", [60, 75, 88, 93, 99])
def test_they_are_never_looser_than_the_limit_allows(percent):
    """However high an application lives, there is a warning before 90 % and a critical alert before 95 %."""
    levels = levels_of(AUTO, known(heap_percent=float(percent)))
    assert levels.heap_warning.value <= 90
    assert levels.heap_warning.value < levels.heap_critical.value <= 95
    if percent > 75:
        assert levels.heap_warning.reason.endswith("the most that the limit allows")


def test_growth_is_told_before_it_can_reach_the_limit():
    """An application that usually grows fast, with little room left, has a tighter threshold than its habit."""
    levels = levels_of(AUTO, known(heap_percent=80.0, growth_percent=30.0))
    assert levels.heap_growth.value == pytest.approx(100 * 15 / 80 / 6)
    assert "within 6 hours" in levels.heap_growth.reason


def test_what_was_set_always_wins():
    """A threshold that is not at its default stays, and says so; one that was learned gives way to it."""
    config = Config(
        thresholds="auto", heap_critical_percent=82, heap_growth_percent_per_hour=7, gc_spike_factor=3, release="2"
    )
    levels = levels_of(config, known(heap_percent=80.0, release="2"))
    assert levels.heap_critical[:2] == (82, "as set")
    assert levels.heap_growth[:2] == (7, "as set")
    assert levels.gc_per_hour is None
    assert levels.heap_warning.value < 82
    levels = levels_of(Config(thresholds="auto", heap_warning_percent=85), known())
    assert (levels.heap_warning.value, levels.heap_critical.value) == (85, 90)


def test_before_a_day_is_known_the_defaults_hold():
    """Thresholds do not move before every hour of a day was seen, and the reason says how far it is."""
    levels = levels_of(AUTO, known(23))
    assert (levels.heap_warning.value, levels.heap_critical.value, levels.heap_growth.value) == (80, 90, 10)
    assert levels.heap_warning.reason == "default; this application is being learned, 23 of 24 hours"
    assert levels.gc_per_hour is None
    assert levels_of(AUTO, Learned()).heap_warning.reason.endswith("0 of 24 hours")
    assert fixed_levels(Config()).heap_warning[:2] == (80, "default")


def test_a_new_release_borrows_from_the_last_one():
    """Its thresholds rest on the old hours at first, and less with each hour of its own."""
    learned = known(5, "1.5", start=known(40, "1.4"), heap_percent=40.0)
    config = Config(thresholds="auto", release="1.5")
    young = levels_of(config, learned)
    assert young.heap_warning.reason.endswith("by 5 hours of release 1.5 and 19 of release 1.4")
    old = levels_of(config, known(24, "1.5", start=known(40, "1.4"), heap_percent=40.0))
    assert old.heap_warning.reason.endswith("by 24 hours of release 1.5")
    assert old.heap_warning.value == pytest.approx(50)


def test_what_is_learned_is_bounded():
    """The first days of a handful of releases, and no more, in a file of some 50 kB."""
    learned = Learned()
    for number in range(12):
        learned = known(100, f"{number}.0", start=learned)
    assert [release.name for release in learned.releases] == ["7.0", "8.0", "9.0", "10.0", "11.0"]
    assert {len(release.hours) for release in learned.releases} == {MOST_HOURS}
    assert len(learned.releases) == MOST_RELEASES
    text = json.dumps(learned.to_dict())
    assert len(text) < 60_000
    assert Learned.from_dict(json.loads(text)) == learned


def test_a_release_is_compared_with_the_one_before():
    """A sentence with the difference per worker; nothing while one of the two is hardly known."""
    learned = known(5, "1.5", start=known(40, "1.4", heap_percent=17.4), heap_percent=21.2)
    change = release_change(learned, "1.5")
    assert str(change) == "release 1.5 uses 38 MiB more per worker than 1.4 (212 against 174 MiB at the same age)"
    assert release_change(learned, "1.4") is None
    assert release_change(known(2, "1.5", start=known(40, "1.4")), "1.5") is None
    assert release_change(known(40), "") is None
    assert "as much per worker as" in str(release_change(known(5, "2", start=known(9, "1")), "2"))
    assert "less per worker" in str(release_change(known(5, "2", start=known(9, "1"), heap_percent=20.0), "2"))


def test_workers_are_compared_at_the_same_age():
    """An old release whose workers grew for days is looked at as it was when they were young."""
    learned = Learned()
    for number in range(60):
        learned = learn(learned, "1", hour(number, heap_mb=100.0 + 10 * number), 1e9)
    for number in range(4):
        learned = learn(learned, "2", hour(number, heap_mb=100.0 + 10 * number), 2e9)
    assert release_change(learned, "2")[2:] == (115, 115)


def test_a_rollback_goes_on_with_what_was_known():
    """The old release keeps its hours and its place; the younger one stays known."""
    learned = known(5, "1.4", start=known(5, "1.5", start=known(10, "1.4")))
    assert [(release.name, len(release.hours)) for release in learned.releases] == [("1.4", 15), ("1.5", 5)]


def test_the_thresholds_judge():
    """A heap that is far below 80 % and far above its habit is told, with the limit's figures; its habit is not."""
    history = History(10, 5)
    snapshot = MemorySnapshot(timestamp=1e9, pid=1, heap_used_mb=350, heap_size_mb=1000, heap_size_source="fake")
    history.append(snapshot, None)
    levels = levels_of(AUTO, known())
    assert [one for one in measured(history, AUTO, levels=levels) if one.met] == []
    history.append(dataclasses.replace(snapshot, heap_used_mb=400.0), None)
    (found,) = (one for one in measured(history, AUTO, levels=levels) if one.met)
    assert (found.name, found.value, found.threshold) == ("heap_warning", 40, 37.5)


def test_collections_are_judged_by_what_was_learned():
    """A rate above the habit of the first days is a spike, whatever the last few rates were."""
    history = History(20, 5)
    for minute in range(6):
        rate = 600.0 if minute > 1 else 100.0
        snapshot = MemorySnapshot(
            timestamp=1e9 + 60 * minute, pid=1, gc_per_hour=rate, gc_collections=(0, 0, 10 * minute)
        )
        history.append(snapshot, None)
    assert not any(one.met for one in measured(history, AUTO))
    (found,) = measured(history, AUTO, levels=levels_of(AUTO, known()))
    assert (found.name, found.threshold) == ("gc_spike", 100)
    assert found.message == (
        "600 full collections an hour, usually up to 50 full collections per hour, by 30 hours of this application"
    )
