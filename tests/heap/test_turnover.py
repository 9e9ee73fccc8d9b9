"""Entries and instances of earlier looks: which are there, which have gone, and what nobody can tell."""

from __future__ import annotations

import collections
import functools
import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from memprof_middleware.heap.cohorts import Cohort, Instances, alive, references
from memprof_middleware.heap.entries import container_base, length_of
from memprof_middleware.heap.turnover import Sight, Turnover


class Item:
    """What takes a weak reference."""


class Slotted:
    """What takes none."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Looks:
    """One container, looked at again and again while it changes."""

    def __init__(self, container: Any) -> None:
        self.turnover, self.container = Turnover(), container

    def look(self) -> Sight:
        self.turnover.begin()
        base = container_base(type(self.container))
        assert base is not None
        return self.turnover.look("app.KEPT", self.container, base, length_of(self.container, base))

    def after(self, changes: int, change: Callable[[int], object], looks: int = 8) -> list[Sight]:
        found = []
        for number in range(looks * changes):
            change(number)
            if number % changes == changes - 1:
                found.append(self.look())
        return found


def first(sights: list[Sight], number: int) -> Cohort:
    """The last that is known of a cohort."""
    return next(one for sight in reversed(sights) for one in sight.cohorts if one.number == number)


def marks(sights: list[Sight]) -> list[int]:
    return [sight.oldest for sight in sights if sight.oldest is not None]


def key(number: int) -> str:
    return f"session {number}"


# -- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "add"),
    [
        (dict, lambda kept, number: kept.update({key(number): None})),
        (dict, lambda kept, number: kept.update({number: Slotted(number)})),
        (dict, lambda kept, number: kept.update({(number, "x"): Item()})),
        (dict, lambda kept, number: kept.update({(number, "x"): Slotted(number)})),
        (collections.OrderedDict, lambda kept, number: kept.update({key(number): None})),
        (list, lambda kept, _: kept.append(Item())),
        (list, lambda kept, number: kept.append(Slotted(number))),
        (list, lambda kept, number: kept.append((key(number), number))),
        (collections.deque, lambda kept, _: kept.append(Item())),
        (collections.deque, lambda kept, number: kept.append({"number": number})),
    ],
)
def test_what_is_only_added_is_all_there(make: type, add: Callable[[Any, int], object]) -> None:
    """The oldest entry stays, and so does each cohort, whatever the entries are."""
    kept = make()
    looks = Looks(kept)
    sights = looks.after(100, lambda number: add(kept, number))
    assert len(set(marks(sights))) == 1
    assert len(marks(sights)) >= 6
    for number in range(3):
        cohort = first(sights, number)
        assert (cohort.alive, cohort.gone) == (cohort.size, 0)
        assert 8 <= cohort.size <= 16


def test_a_set_has_cohorts_and_no_oldest_entry() -> None:
    """Its keys are known by their hashes."""
    kept: set[str] = set()
    sights = Looks(kept).after(100, lambda number: kept.add(key(number)))
    assert marks(sights) == []
    assert first(sights, 0).alive == first(sights, 0).size >= 8


def test_texts_in_a_list_cannot_be_told_apart() -> None:
    """One text may be in it a thousand times."""
    kept: list[str] = []
    sights = Looks(kept).after(100, lambda _: kept.append(sys.intern("the same")))
    assert sights[-1].cohorts == ()


def test_a_few_that_go_are_counted() -> None:
    """A dict that leaks, and from which one user in ten logs out: most of each cohort is there."""
    kept: dict[str, Any] = {}

    def change(number: int) -> None:
        kept[key(number)] = None
        if number % 10 == 9:
            del kept[key(number - 5)]

    cohort = first(Looks(kept).after(200, change), 0)
    assert cohort.alive >= 0.8 * cohort.size
    assert cohort.alive + cohort.gone == cohort.size


# -- what goes ---------------------------------------------------------------------------------------------------


def lives_for(kept: dict[Any, Any], entries: int, value: Callable[[int], Any]) -> Callable[[int], None]:
    """A store with a lifetime, under steady traffic that doubles every now and then."""

    def change(number: int) -> None:
        kept[key(number)] = value(number)
        while len(kept) > entries * (1 + number / 500):
            del kept[next(iter(kept))]

    return change


@pytest.mark.parametrize("value", [lambda _: None, lambda _: Item(), Slotted])
def test_of_a_store_with_a_lifetime_no_cohort_stays(value: Callable[[int], Any]) -> None:
    """The oldest entry is another one at each look, though addresses are used again."""
    kept: dict[str, Any] = {}
    sights = Looks(kept).after(200, lives_for(kept, 50, value), looks=12)
    assert len(set(marks(sights))) >= len(marks(sights)) - 1 >= 8
    cohort = first(sights, 0)
    assert (cohort.alive, cohort.gone) == (0, cohort.size)


def test_a_permanent_entry_at_the_front_says_nothing_of_the_others() -> None:
    """The oldest entry stays, the cohort does not: both are told."""
    kept: dict[str, Any] = {"permanent": None}

    def change(number: int) -> None:
        kept[key(number)] = None
        while len(kept) > 50 * (1 + number / 500):
            del kept[next(name for name in kept if name != "permanent")]

    sights = Looks(kept).after(200, change, looks=12)
    assert len(set(marks(sights))) == 1
    assert first(sights, 0).alive <= 1


def test_a_container_that_is_made_anew_has_none_of_its_old_entries() -> None:
    """An index that is built again with other keys, and is longer each time."""
    looks = Looks({})
    sights = []
    for turn in range(8):
        looks.container = {f"{turn} {number}": None for number in range(100 + 50 * turn)}
        sights.append(looks.look())
    assert first(sights, 0).gone == first(sights, 0).size
    assert len(set(marks(sights))) == len(marks(sights))


# -- what moves --------------------------------------------------------------------------------------------------


KEYS = [f"session {number}" for number in range(1_000)]


def reinserted(kept: Any, number: int) -> None:
    """A cache that puts what it uses to the end, and forgets to drop anything."""
    kept[KEYS[number]] = None
    used = KEYS[number * 7919 % (number + 1)]
    kept[used] = kept.pop(used)


def moved(kept: Any, number: int) -> None:
    """The same by an OrderedDict's own method."""
    kept[key(number)] = None
    kept.move_to_end(key(number * 7919 % (number + 1)))


@pytest.mark.parametrize(("make", "change"), [(dict, reinserted), (collections.OrderedDict, moved)])
def test_what_is_put_elsewhere_has_not_gone(make: type, change: Callable[[Any, int], None]) -> None:
    """An LRU without a bound: the first entry changes at each look, and nothing goes."""
    kept = make()
    sights = Looks(kept).after(100, functools.partial(change, kept))
    assert len(set(marks(sights))) == 1
    assert first(sights, 0).alive == first(sights, 0).size


def test_what_is_put_elsewhere_under_an_equal_key_is_not_known() -> None:
    """The key of the request is another object than that of the entry: it may be a new entry, or an old one."""
    kept: dict[str, None] = {}

    def change(number: int) -> None:
        kept[key(number)] = None
        used = key(number * 7919 % (number + 1))
        kept[used] = kept.pop(used)

    sights = Looks(kept).after(100, change)
    assert len(set(marks(sights))) == 1
    assert all(one.gone == 0 for sight in sights for one in sight.cohorts)


def test_what_is_put_in_front_hides_the_oldest_and_is_no_turnover() -> None:
    """A deque that leaks at its left end, of what takes no weak reference: nobody can tell, and nothing is said."""
    kept: collections.deque[Slotted] = collections.deque()
    sights = Looks(kept).after(100, lambda number: kept.appendleft(Slotted(number)))
    assert len(marks(sights)) <= 1
    assert all(one.gone == 0 for sight in sights for one in sight.cohorts)


def test_of_a_key_that_comes_back_nothing_is_said() -> None:
    """The same user again, after the lifetime, as another object: it may be an entry that was put elsewhere."""
    kept = {key(number): None for number in range(60)}
    looks = Looks({})
    looks.look()
    looks.container = kept
    looks.look()
    assert looks.look().cohorts[0].alive == looks.look().cohorts[0].size
    old = list(kept)
    kept.clear()
    kept.update({key(number): None for number in range(60)})
    cohort = looks.look().cohorts[0]
    assert (cohort.alive, cohort.gone) == (0, 0)
    assert len(old) == 60


# -- bounds ------------------------------------------------------------------------------------------------------


def test_nothing_is_kept_alive() -> None:
    """Neither by marks nor by cohorts of instances."""
    kept = [Item() for _ in range(300)]
    watched = [weakref.ref(one) for one in kept]
    looks, instances = Looks([]), Instances()
    looks.look()
    looks.container = kept
    looks.look()
    instances.take("app.Item", kept)
    assert instances.ask()["app.Item"][0] == Cohort(0, 30, 30, 0, 300)
    kept.clear()
    assert not any(ref() for ref in watched)
    assert looks.look().cohorts[0].alive == 0
    assert instances.ask()["app.Item"][0] == Cohort(0, 30, 0, 30, 300)


def test_only_so_much_is_looked_through() -> None:
    """Of a container of a million entries a part, and what was not looked at has not gone."""
    kept = dict.fromkeys(range(1_000, 200_000))
    looks = Looks({})
    looks.look()
    looks.container = kept
    looks.look()
    rest = {number: None for number in kept if number >= 5_000}
    looks.container = dict.fromkeys(range(-300_000, 0)) | rest
    sight = looks.look()
    assert sight.oldest is None
    assert sight.cohorts[0].gone == 0


def test_two_containers_at_one_path_are_not_followed() -> None:
    """Closures of one function share a path."""
    turnover = Turnover()
    for length in (10, 100, 200):
        turnover.begin()
        for _ in range(2):
            sight = turnover.look("app.make.<closure>.kept", dict.fromkeys(map(str, range(length))), dict, length)
    assert sight == Sight()


def test_bounded_memory_however_many_containers_grow() -> None:
    """A thousand of them, and 48 are followed."""
    turnover = Turnover()
    before = len(gc.get_objects())
    for length in (20, 60, 200):
        turnover.begin()
        ones = {f"app.kept{number}": {key(entry): None for entry in range(length)} for number in range(1_000)}
        sights = [turnover.look(path, one, dict, length) for path, one in ones.items()]
    assert sum(bool(sight.cohorts) for sight in sights) >= 48
    del ones, sights
    gc.collect()
    assert len(gc.get_objects()) - before < 10_000


# -- instances ---------------------------------------------------------------------------------------------------


def test_a_type_that_takes_no_weak_references_has_no_cohort() -> None:
    """Addresses would not do: the next one lies where the last one lay."""
    instances = Instances()
    instances.take("app.Slotted", [Slotted(number) for number in range(100)])
    instances.take("app.Few", [Item() for _ in range(7)])
    assert instances.ask() == {}


def test_cohorts_of_a_type_are_few() -> None:
    """The last four of a type, and 24 types."""
    kept = [Item() for _ in range(40)]
    instances = Instances()
    for number in range(10):
        instances.take("app.Item", kept[number:])
    assert [one.number for one in instances.ask()["app.Item"]] == [6, 7, 8, 9]
    for number in range(30):
        instances.take(f"app.Item{number}", kept)
    assert len(instances.ask()) == 24


def test_asking_runs_no_finalizer() -> None:
    """The reference that is held for a moment is never the last one."""
    kept = [Item() for _ in range(10)]
    refs = references(kept)
    assert alive(refs) == 10
    del kept[3:]
    assert alive(refs) == 3


# -- through the real probes -------------------------------------------------------------------------------------

_PROGRAM = """
import collections, functools
from memprof_middleware.runtime.instruments import Probes

class Session: pass
class Slotted:
    __slots__ = ("number",)

STORE, LEAK, LRU, SLOTS = {}, {}, collections.OrderedDict(), []
LEAKED, PASSING = [], collections.deque()
class Passing: pass

@functools.lru_cache(maxsize=100)
def cached(number): return Session()

def request(number):
    STORE[f"store {number}"] = Session()
    while len(STORE) > 40 + number / 10: del STORE[next(iter(STORE))]
    LEAK[f"leak {number}"] = b"x"
    LRU[f"lru {number}"] = b"x"
    LRU.move_to_end(f"lru {number * 7919 % (number + 1)}")
    SLOTS.append(Slotted())
    LEAKED.append(Session())
    PASSING.append(Passing())
    while len(PASSING) > 40 + number / 10: PASSING.popleft()
    cached(number)

probes = Probes()
seen = collections.defaultdict(list)
for number in range(1, 2001):
    request(number)
    if number % 200 == 0:
        for one in probes.containers(most_seconds=20, pause=lambda _: None).found:
            seen[one.path].append(one)
    if number in (400, 800):
        probes.holders(["__main__.Passing", "__main__.Slotted", "__main__.Session"], pause=lambda _: None)
for name in ("STORE", "LEAK", "LRU", "SLOTS", "LEAKED", "PASSING"):
    last = seen[f"__main__.{name}"]
    oldest = {one.oldest for one in last if one.oldest is not None}
    cohort = last[-1].cohorts[0]
    answers = {(cohort.size, 0): "all", (0, cohort.size): "none"}
    print(name, "stays" if len(oldest) == 1 else "goes", answers.get((cohort.alive, cohort.gone)))
print(sorted((name, [(c.size, c.alive) for c in cohorts]) for name, cohorts in probes.cohorts().items()))
print(any(one.cohorts for one in seen["__main__.cached"]))
"""


def test_the_real_probes_tell_a_leak_from_a_store_with_a_lifetime() -> None:
    """Six containers of one program under steady traffic, and the instances that they hold."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_PROGRAM)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:6] == [
        "STORE goes none",
        "LEAK stays all",
        "LRU stays all",
        "SLOTS stays all",
        "LEAKED stays all",
        "PASSING goes none",
    ]
    cohorts = dict(eval(lines[6]))
    assert set(cohorts) == {"__main__.Passing", "__main__.Session"}
    assert [alive for _, alive in cohorts["__main__.Passing"]] == [0, 0]
    assert sum(alive for _, alive in cohorts["__main__.Session"]) > 16
    assert lines[7] == "False"


_FORKED = """
import collections, os
from memprof_middleware.runtime.instruments import Probes

class Session: pass
STORE, LEAK = {}, {}

def request(number):
    STORE[f"store {number}"] = Session()
    while len(STORE) > 40 + number / 10: del STORE[next(iter(STORE))]
    LEAK[f"leak {number}"] = b"x"

for number in range(200):
    request(number)
if pid := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
probes = Probes()
probes.census()
last = {}
for number in range(200, 3000):
    request(number)
    if number % 200 == 0:
        last |= {one.path: one for one in probes.containers(pause=lambda _: None).found}
    if number == 800:
        probes.holders(["__main__.Session"], pause=lambda _: None)
kept, gone = last["__main__.LEAK"].cohorts[0], last["__main__.STORE"].cohorts[0]
print(probes._is_shared, kept.alive == kept.size, gone.gone == gone.size, flush=True)
print([one.alive for one in probes.cohorts()["__main__.Session"]], flush=True)
"""


def test_a_forked_worker_has_cohorts_too() -> None:
    """Where containers are found by address, and instances by their class."""
    pytest.importorskip("memprof_native")
    done = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "True True True\n[0]\n"
