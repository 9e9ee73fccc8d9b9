"""The bounded past, compared with a plain list."""

from __future__ import annotations

import itertools
import math
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memprof_middleware import MemorySnapshot
from memprof_middleware.analysis import tallies as tallies_module
from memprof_middleware.analysis.history import History

TYPES = ["a.A", "b.B", "c.C", "d.D"]
tallies = st.none() | st.dictionaries(st.sampled_from(TYPES), st.integers(1, 5), max_size=4)


def snapshot(number: int, counts: dict[str, int] | None, **values: object) -> MemorySnapshot:
    return MemorySnapshot(
        timestamp=float(number),
        pid=1,
        total_objects=None if counts is None else sum(counts.values()),
        object_counts={} if counts is None else dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]),
        **values,  # type: ignore[arg-type]
    )


@settings(max_examples=60, deadline=None)
@given(appended=st.lists(tallies, min_size=1, max_size=45), size=st.integers(10, 25))
def test_a_history_is_a_list_that_forgets(appended: list[dict[str, int] | None], size: int) -> None:
    """Snapshots, counts, growth and figures are those of a plain list of the same snapshots."""
    history = History(size, 3)
    shots = [snapshot(number, counts) for number, counts in enumerate(appended)]
    known: list[dict[str, int]] = []
    for shot, counts in zip(shots, appended, strict=True):
        history.append(shot, counts)
        # What could not be counted is taken to be as it was.
        known.append(counts if counts is not None else known[-1] if known else {})
    kept = len(history)
    assert history.seen == len(appended)
    assert min(size - size // 10, len(appended)) <= kept <= size
    assert list(history) == shots[-kept:]
    assert history[-1] == shots[-1]
    assert history[: kept // 2] == shots[-kept:][: kept // 2]
    assert history.series("timestamp") == [shot.timestamp for shot in shots[-kept:]]
    for start in {0, kept // 2, kept - 1}:
        for name in TYPES:
            assert history.counts(name, start) == [counts.get(name, 0) for counts in known[-kept:][start:]]
        first, last = known[-kept:][start], known[-1]
        assert set(history.grown(1, start)) == {n for n in TYPES if last.get(n, 0) - first.get(n, 0) > 1}
        assert set(history.grown(1, start, history.risen(1, start))) == set(history.grown(1, start))
        for name in TYPES:
            changes = [number for number, _ in itertools.groupby(history.counts(name, start))]
            assert history.levels(name, start, kept) == changes


def test_every_figure_survives() -> None:
    """A snapshot comes out of the history as it went in, ``None`` included."""
    full = MemorySnapshot(
        timestamp=1.5,
        pid=7,
        heap_size_mb=2.0,
        heap_size_source="ram",
        heap_used_mb=1.0,
        rss_mb=3.0,
        vms_mb=4.0,
        total_objects=5,
        frozen_objects=6,
        object_counts={"a.A": 5},
        gc_collections=(3, 2, 1),
        gc_per_hour=8.0,
        gc_pause_seconds=0.25,
        gc_pause_max_seconds=0.125,
        tracemalloc_current_mb=9.0,
        tracemalloc_peak_mb=10.0,
        duration_seconds=0.5,
    )
    empty = MemorySnapshot(timestamp=2.5, pid=7, frozen_objects=6)
    history = History(10, 3)
    history.append(full, {"a.A": 5})
    history.append(empty, None)
    assert list(history) == [full, empty]
    assert history.full_collections() == [1, 0]
    assert math.isnan(history.series("heap_used_mb")[1])


def test_unknown_figures_and_places() -> None:
    """What does not exist is an error, a type that was never seen is zeros."""
    history = History(10, 3)
    history.append(snapshot(0, {"a.A": 1}), {"a.A": 1})
    with pytest.raises(KeyError):
        history.series("colour")
    with pytest.raises(IndexError):
        history[1]
    assert history.counts("never.Seen") == [0]


@pytest.mark.parametrize(
    ("frozen", "comparable_from"),
    [
        ([0, 0, 0], 0),
        ([0, 500, 500], 1),
        ([500, 0, 0], 1),
        ([500, 490, 480], 0),  # frozen objects die
        ([500, 490, 700], 2),
        ([0, 500, 0], 2),
    ],
)
def test_freezing_is_a_discontinuity(frozen: list[int], comparable_from: int) -> None:
    """Counts before and after ``gc.freeze()`` or ``gc.unfreeze()`` are not compared; the frozen may die."""
    history = History(10, 3)
    for number, hidden in enumerate(frozen):
        history.append(snapshot(number, {"a.A": 1}, frozen_objects=hidden), {"a.A": 1})
    assert history.comparable_from == comparable_from


def test_freezing_changes_no_compiled_count() -> None:
    """The compiled census counts frozen objects too: what was counted before goes on to be compared."""
    history = History(10, 3)
    for number, hidden in enumerate((0, 500, 0)):
        history.append(snapshot(number, {"a.A": 1}, frozen_objects=hidden, census_kind="compiled"), {"a.A": 1})
    assert history.comparable_from == 0
    assert history[-1].census_kind == "compiled"


def test_a_discontinuity_leaves_with_the_snapshots() -> None:
    """Once nothing older than the freeze is kept, everything is comparable."""
    history = History(10, 3)
    for number in range(30):
        history.append(snapshot(number, {"a.A": 1}, frozen_objects=5 if number >= 4 else 0), {"a.A": 1})
    assert history.comparable_from == 0


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes classes as it runs does not fill the history, and a leak that comes late has room."""
    monkeypatch.setattr(tallies_module, "MAX_NAMES", 50)
    history = History(100, 3)
    for number in range(60):
        counts = {f"dynamic.T{number}_{index}": 1 for index in range(20)} | {"shop.Cart": 10 * number + 1}
        history.append(snapshot(number, counts), counts)
        assert len(history._types) <= 50
    assert history.counts("shop.Cart") == [10 * number + 1 for number in range(60)]
    late = {f"dynamic.L{index}": 1 for index in range(60)} | {"late.Leak": 2}
    for number in range(60, 65):
        late["late.Leak"] += 100
        history.append(snapshot(number, late), late)
    assert history.counts("late.Leak", 60) == [102, 202, 302, 402, 502]


def test_names_of_dead_types_leave_with_their_snapshots() -> None:
    """A type that nobody has seen for the whole history is forgotten."""
    history = History(10, 3)
    for number in range(40):
        counts = {f"passing.T{number}": 1}
        history.append(snapshot(number, counts), counts)
    assert len(history._types) <= 11


def test_a_thousand_snapshots_are_small() -> None:
    """1,000 snapshots with 20 types, all of which change each time, weigh less than 1 MB."""
    dice = random.Random(5)
    names = [f"application.models.Type{number}" for number in range(20)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = History(1000, 20)
        for number in range(1500):
            counts = {name: dice.randrange(1_000_000) for name in names}
            history.append(
                snapshot(number, counts, heap_used_mb=dice.random(), heap_size_source=f"cgroup {'v2':s}"), counts
            )
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 900 <= len(history) <= 1000
    assert after - before < 1 << 20
