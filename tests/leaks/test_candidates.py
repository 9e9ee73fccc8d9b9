"""Which types are looked at closely: none that grows is left out, and each has its turn."""

from __future__ import annotations

import random

import pytest

from memprof_middleware import MemorySnapshot
from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.analysis.retention import find_retention
from memprof_middleware.leaks.candidates import Peaks, Turns, candidates, grown

LEAST, SHORTEST = 8, 10


def series(dice: random.Random, snapshots: int) -> list[int]:
    """Growth, a step, a tide, a late beginning or noise, by chance."""
    level, each, at = dice.randrange(5, 500), dice.random() * 2, dice.randrange(snapshots)
    scatter = dice.choice((1, 4, 20))
    shape = dice.choice(("noise", "noise", "line", "step", "tide", "late", "new"))
    values = {
        "noise": lambda n: 0.0,
        "line": lambda n: each * n,
        "step": lambda n: 40.0 * (n >= at),
        "tide": lambda n: each * (n % 25),
        "late": lambda n: each * max(0, n - at),
        "new": lambda n: each * (n - at) if n > at else -1e9,
    }
    return [max(0, int(level + values[shape](n)) + dice.randrange(scatter)) for n in range(snapshots)]


@pytest.mark.parametrize("in_flight", [0, 25])
@pytest.mark.parametrize("seed", range(4))
def test_none_that_grows_is_left_out(seed: int, in_flight: int) -> None:
    """Whatever the closer look would find to grow is a candidate; not all that has gained something is one."""
    dice = random.Random(seed)
    snapshots = dice.choice((12, 40, 75, 150))
    types = {f"shop.Type{n}": series(dice, snapshots) for n in range(150)}
    history, requests = History(100, 20), 0
    for number in range(snapshots):
        requests += dice.randrange(20, 60)
        flight = dice.randrange(in_flight + 1)
        at = float(60 * number)
        counts = {name: values[number] for name, values in types.items()} if number % 5 else None
        census = at if counts is not None else at - 60
        shot = MemorySnapshot(timestamp=at, census_timestamp=census, pid=1, requests=requests, in_flight=flight)
        history.append(shot, counts)
    indices = history.counted(1)
    load = Load.of(history, indices)
    found = candidates(history, 1, indices, load, LEAST, SHORTEST, Peaks())
    gained = grown(history, 1, LEAST, types)
    growing = {
        name
        for name in gained
        if find_retention([history.counts(name)[i] for i in indices], load, least=LEAST, shortest=SHORTEST)
    }
    assert growing
    assert growing <= set(found)
    if not in_flight:
        assert len(found) < len(gained)


def test_what_was_seen_is_not_looked_for_again_and_changes_nothing() -> None:
    """With what earlier looks have seen the candidates are those of a fresh look, also when the past is cut."""
    dice, peaks, history = random.Random(5), Peaks(), History(60, 20)
    types = {f"shop.Type{n}": series(dice, 150) for n in range(80)}
    for number in range(150):
        at = float(60 * number)
        shot = MemorySnapshot(timestamp=at, census_timestamp=at, pid=1, requests=30 * number)
        history.append(shot, {name: values[number] for name, values in types.items()})
        if number < 12:
            continue
        indices = history.counted(1)
        given = history, 1, indices, Load.of(history, indices), LEAST, SHORTEST
        assert candidates(*given, peaks) == candidates(*given, Peaks())


def test_each_has_its_turn() -> None:
    """Of too many types those that gained most, and those that grew, are looked at each time, the others in turn."""
    names, turns = [f"shop.Type{n:03}" for n in range(400)], Turns()
    turns.growing = frozenset(names[-2:])
    looks = [turns.next(names) for _ in range(8)]
    assert all(len(look) == len(set(look)) < 120 for look in looks)
    assert all({names[0], *names[-2:]} <= set(look) for look in looks)
    assert set().union(*looks) == set(names)


def test_few_need_no_turns() -> None:
    """What one look can take is looked at whole, each time."""
    names, turns = [f"shop.Type{n}" for n in range(70)], Turns()
    assert sorted(turns.next(names)) == sorted(turns.next(names)) == sorted(names)


def test_what_is_no_higher_than_at_its_last_look_needs_no_other_one() -> None:
    """It did not grow then; what grows is looked at each time, and all of them when the past has lost its beginning."""
    names, turns = ["shop.Level", "shop.Higher", "shop.Growing"], Turns()
    turns.peaks.begin(1)
    counts = {"shop.Level": 20, "shop.Higher": 20, "shop.Growing": 20}
    assert turns.next(names, counts.__getitem__) == names
    turns.growing = frozenset(["shop.Growing"])
    counts["shop.Higher"] = 21
    assert sorted(turns.next(names, counts.__getitem__)) == ["shop.Growing", "shop.Higher"]
    counts["shop.Higher"] = 19
    assert turns.next(names, counts.__getitem__) == ["shop.Growing"]
    turns.peaks.begin(2)
    assert sorted(turns.next(names, counts.__getitem__)) == sorted(names)
