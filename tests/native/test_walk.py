"""The compiled walk: what it counts is what is there, whatever happens between two slices."""

from __future__ import annotations

import collections
import gc
import struct
import sys
import threading
from typing import Any

import pytest

from memprof_middleware.probes.census import printable, type_name

memprof_native: Any = pytest.importorskip("memprof_native", exc_type=ImportError)


class Kept:
    """Made by these tests only."""


def walked(objects: int = 0, **how: Any) -> Any:
    walk = memprof_native.Walk(**how)
    while not walk.step(objects):
        pass
    return walk


def lengths(walk: Any) -> dict[int, tuple[int, int]]:
    return {address: (kind, length) for address, kind, length in struct.iter_unpack("QQQ", walk.containers())}


EXACT = """
import gc, sys
from collections import Counter
import memprof_native
import asyncio, email, decimal  # some more classes
step = int(sys.argv[1])
gc.collect()
gc.disable()
walk = memprof_native.Walk()
while not walk.step(step): pass
counter = Counter(map(type, gc.get_objects()))
theirs = {id(kind): number for kind, number in counter.items()}
ours = {address: live for address, _, live, _ in walk.classes() if live}
own = {id(tuple)}  # the Counter's own arguments
print({key for key in ours.keys() | theirs.keys() if ours.get(key, 0) != theirs.get(key, 0)} <= own)
print(sum(abs(ours.get(key, 0) - theirs.get(key, 0)) for key in own))
print(sum(frozen for *_, frozen in walk.classes()) == gc.get_freeze_count(), walk.restarts, len(ours) > 100)
"""


@pytest.mark.parametrize("step", [0, 1, 100, 20_000])
def test_every_class_is_counted_exactly(run_program: Any, step: int) -> None:
    """In one go and in slices of any size: ``Counter(map(type, gc.get_objects()))`` for each class, and the frozen."""
    same, off, rest = run_program(EXACT, step).splitlines()
    assert (same, rest) == ("True", "True 0 True")
    assert int(off) <= 2


BETWEEN = """
import gc, random, sys
import memprof_native
class Kept: pass
class Frozen: pass
def noise(number):
    return [[index, {"a": [index]}] for index in range(number)]
gc.collect()
frozen = [Frozen() for _ in range(1500)]
gc.freeze()
kept = [Kept() for _ in range(6000)]
gc.collect()
kept += [Kept() for _ in range(500)]
actions = {
    "nothing": lambda: None, "collect 0": lambda: gc.collect(0), "collect 1": lambda: gc.collect(1),
    "collect 2": gc.collect, "freeze": gc.freeze, "unfreeze": gc.unfreeze,
    "freeze, unfreeze": lambda: (gc.freeze(), gc.unfreeze()), "unfreeze, freeze": lambda: (gc.unfreeze(), gc.freeze()),
    "new holders": lambda: (holders.append(list(kept)), gc.collect()), "noise": lambda: noise(300),
    "garbage": lambda: [cycle.append(cycle) for cycle in [[] for _ in range(200)]],
}
wanted = sys.argv[1].split("|")
often = float(sys.argv[2])
choose = random.Random(sys.argv[3])
wrong, most, restarts = [], 0, 0
for number in range(int(sys.argv[4])):
    holders, steps = [], 0
    walk = memprof_native.Walk()
    while not walk.step(500):
        steps += 1
        if choose.random() < often:
            actions[choose.choice(wanted)]()
    found = {name: live + frozen for _, name, live, frozen in walk.classes() if name.startswith("__main__.")}
    if found != {"__main__.Kept": 6500, "__main__.Frozen": 1500}: wrong.append((number, found, walk.restarts))
    most, restarts = max(most, steps), max(restarts, walk.restarts)
    whole = sum(live + frozen for *_, live, frozen in walk.classes())
    walk.close()
print(wrong, most <= 4 * (whole // 500 + 4), restarts <= 2)
"""


ACTIONS = (
    *("collect 0", "collect 1", "collect 2", "freeze", "unfreeze"),
    *("freeze, unfreeze", "unfreeze, freeze", "new holders"),
)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("often", [0.05, 1])
def test_exact_whatever_comes_between_two_slices(run_program: Any, action: str, often: float) -> None:
    """Collections, freezing and holders that are made anew after each slice: exact, in a bounded number of slices."""
    assert run_program(BETWEEN, action, often, 1, 12) == "[] True True\n"


def test_exact_when_all_of_it_comes(run_program: Any) -> None:
    """All of these mixed, with garbage and new objects, over a few hundred walks."""
    wanted = (
        "nothing|collect 0|collect 1|collect 2|freeze|unfreeze|freeze, unfreeze|unfreeze, freeze|noise|garbage|noise"
    )
    for often in (0.02, 0.1):
        assert run_program(BETWEEN, wanted, often, 2, 120) == "[] True True\n"


def test_a_collection_that_a_finalizer_keeps_open() -> None:
    """A full collection has turned the list over and waits in a finalizer: the walk beside it is exact all the same."""
    opened, over = threading.Event(), threading.Event()

    class Waits:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            opened.set()
            over.wait(60)

    kept = [Kept() for _ in range(20_000)]
    gc.collect()
    Waits()
    walk = memprof_native.Walk()
    for _ in range(5):
        walk.step(1000)
    holders = [list(kept) for _ in range(3)]
    collecting = threading.Thread(target=gc.collect)
    collecting.start()
    try:
        assert opened.wait(60)
        while not walk.step(1000):
            pass
    finally:
        over.set()
        collecting.join()
    assert len(holders) == 3
    assert [live for _, name, live, _ in walk.classes() if name == f"{__name__}.Kept"] == [20_000]


def test_a_young_list_of_any_length_is_sliced(run_program: Any) -> None:
    """Where the program has switched the collector off, all objects are young; no slice is long then either."""
    program = """
import gc
gc.disable()
import memprof_native
class Kept: pass
kept = [Kept() for _ in range(250_000)]
walk, steps = memprof_native.Walk(), 0
while not walk.step(10_000):
    steps += 1
    more = [[] for _ in range(100)]
print(steps >= 15, walk.restarts, [live for _, name, live, _ in walk.classes() if name == "__main__.Kept"])
"""
    assert run_program(program) == "True 0 [250000]\n"


def test_nothing_is_left_in_the_lists() -> None:
    """A walk that was given up, dropped or finished leaves no object of its own with the collector."""
    for how in ("close", "drop", "finish"):
        walk = memprof_native.Walk()
        walk.step(10)
        if how == "close":
            walk.close()
            walk.close()
            with pytest.raises(RuntimeError, match="given up"):
                walk.step(10)
        elif how == "finish":
            walk.step()
            assert walk.step() is True
        del walk
        assert not [one for one in gc.get_objects() if type(one).__module__ == "memprof_native"]
    gc.collect()


def test_results_wait_for_the_end() -> None:
    """A walk that is not at its end has no result."""
    walk = memprof_native.Walk()
    for ask in (walk.classes, walk.containers, walk.referrers):
        with pytest.raises(RuntimeError, match="call step"):
            ask()


def test_names_are_those_of_the_pure_census() -> None:
    """Every live class has the name that Python gives it; odd ones included."""

    class Text(str):
        __slots__ = ()

    odd: list[Any] = [
        type("Größe", (), {"__module__": "läden.\U0001f6d2"}),
        type("x" * 500, (), {}),
        type("Kind", (), {"__module__": 42}),
        type("Kind", (), {"__module__": Text("shop")}),
        type("Kind", (), {"__qualname__": "\ud800\n"}),
        type("Kind", (), {"__qualname__": Text("Kind")}),
        eval("type('Kind', (), {})", {"__builtins__": {"type": type}}),
    ]
    kept = [kind() for kind in odd]
    walk = walked()
    kinds = {id(type(one)): type(one) for one in gc.get_objects()}
    kinds.update((id(kind), kind) for kind in odd)
    seen = {address: printable(name) for address, name, *_ in walk.classes()}
    assert {address: type_name(kinds[address]) for address in seen if address in kinds} == {
        address: name for address, name in seen.items() if address in kinds
    }
    assert {id(kind) for kind in odd} <= seen.keys()
    assert len(kept) == len(odd)


def test_lengths_of_containers() -> None:
    """Dict, list, set, deque and what is derived from them, from a length on; address, class and length."""

    class Longer(collections.OrderedDict):  # type: ignore[type-arg]
        pass

    kept: list[Any] = [
        {index: [] for index in range(100)},
        [None] * 101,
        {(index, ()) for index in range(102)},
        collections.deque(range(103)),
        collections.defaultdict(list, {index: [] for index in range(104)}),
        Longer((index, []) for index in range(105)),
        [None] * 99,
    ]
    found = lengths(walked(500, minimum=100))
    for one in kept[:-1]:
        assert found[id(one)] == (id(type(one)), len(one))
    assert id(kept[-1]) not in found


def test_lengths_of_what_is_not_tracked() -> None:
    """A look below finds bytearrays, and dicts of plain values, which the collector does not track (up to 3.13)."""
    texts = {str(index): "text" for index in range(200)}
    data = bytearray(300 * 1024)
    kept = [texts, data, texts]
    assert not gc.is_tracked(data)
    found = lengths(walked(500, minimum=200, deep=True))
    assert found[id(texts)] == (id(dict), 200)
    assert found[id(data)] == (id(bytearray), 300)
    assert len(kept) == 3
    if not gc.is_tracked(texts):
        assert id(texts) not in lengths(walked(minimum=200))


def test_below_a_long_list_only_its_end_is_looked_at() -> None:
    """A list of millions holds other threads up no longer than one of 100,000 entries; what came last is seen."""
    first, last = bytearray(300 * 1024), bytearray(300 * 1024)
    kept = [first, *[None] * 100_000, last]
    found = lengths(walked(500, minimum=200, deep=True))
    assert id(first) not in found
    assert id(last) in found
    assert found[id(kept)] == (id(list), 100_002)


def test_no_more_containers_than_asked_for() -> None:
    """Where there are too many the short ones go, and the walk says from which length on it is complete."""
    kept = [[None] * size for size in range(10, 1010)]
    walk = walked(minimum=10, most=500)
    found = lengths(walk)
    assert len(found) <= 500
    assert walk.minimum > 10
    assert all(length >= walk.minimum for _, length in found.values())
    assert {id(one) for one in kept if len(one) >= walk.minimum} <= found.keys()


def test_referrers_by_address() -> None:
    """Who refers to a target, by address and class; each once, and nobody else."""
    target, other = Kept(), Kept()
    holder = {"first": target, "again": target}
    attribute = Kept()
    attribute.held = target  # type: ignore[attr-defined]
    both = [target, other]
    gc.collect()
    found = walked(300, targets=[id(target), id(other)]).referrers()
    of_target = [(referrer, name) for referrer, address, name in found if address == id(target)]
    assert (id(holder), "builtins.dict") in of_target
    assert (id(both), "builtins.list") in of_target
    assert len(of_target) == len(set(of_target))
    assert {id(attribute), id(vars(attribute))} & {referrer for referrer, *_ in of_target}
    assert (id(both), id(other), "builtins.list") in found
    assert walked().referrers() == []


def test_referrers_among_the_frozen(run_program: Any) -> None:
    """``gc.get_referrers`` does not see a frozen holder; a walk does."""
    program = """
import gc
class Kept: pass
HOLDER = {"kept": Kept()}
import memprof_native
gc.freeze()
HOLDER["kept"] = target = Kept()
walk = memprof_native.Walk(targets=[id(target)])
walk.step()
print(any(one is HOLDER for one in gc.get_referrers(target)), id(HOLDER) in [who for who, *_ in walk.referrers()])
"""
    assert run_program(program) == "False True\n"


def test_the_newest_instances() -> None:
    """Instances come newest first, in the number asked for, and no tuple is given out."""
    gc.collect()
    gc.disable()
    try:
        kept = [Kept() for _ in range(10)]
        found = memprof_native.newest(id(Kept), 3, 10_000)
    finally:
        gc.enable()
    assert found == kept[:-4:-1]
    assert memprof_native.newest(id(Kept), 3, 1) == []
    assert memprof_native.newest(id(tuple), 3, 10_000) == []
    with pytest.raises(ValueError, match="most=0"):
        memprof_native.newest(id(Kept), 0, 1)


def test_no_reference_count_is_touched() -> None:
    """While a walk is under way, every object has as many references as before."""
    kept = [Kept() for _ in range(100)]
    before = [sys.getrefcount(one) for one in kept]
    walk = memprof_native.Walk(minimum=1, deep=True, targets=[id(kept)])
    while not walk.step(50):
        assert [sys.getrefcount(one) for one in kept] == before
    assert [sys.getrefcount(one) for one in kept] == before


@pytest.mark.parametrize(
    "how", [{"minimum": -1}, {"most": 0}, {"deep": True}, {"minimum": 1, "deep": True, "most": -5}]
)
def test_what_cannot_be_asked(how: dict[str, Any]) -> None:
    """Numbers out of range are refused with what is allowed."""
    with pytest.raises(ValueError, match="minimum must not be negative"):
        memprof_native.Walk(**how)
