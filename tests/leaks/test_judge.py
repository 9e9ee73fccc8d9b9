"""The judge on whole processes: what takes memory, what only looks so, whose it is, and what becomes of it."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time

import pytest

from memprof_middleware.analysis.memory import MAPPED, NATIVE, UNTRACKED
from memprof_middleware.leaks.account import Account, in_use
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.judge import COLLECTION, look, whole
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.present import Present
from memprof_middleware.leaks.reading import Reading
from memprof_middleware.leaks.room import Room, room_of
from memprof_middleware.model import MB, LeakKind, MemorySnapshot
from tests.leaks.process import ROOM, Process, Store, lives_of, passing


def test_a_dict_that_takes_a_third_of_the_room_is_confirmed() -> None:
    """Not before: at 10 % nobody is told, at 30 % it is suspected, at 40 % certain; each with its evidence in words."""
    process = Process()
    process.keeps("app.SESSIONS", lambda minute: 100 * minute, 10_000, oldest=7)
    states = []
    for _ in range(17):
        found = process.run(10)
        states.append((bool(passing(found)), any(finding.confirmed for finding in found)))
    assert states[4] == (False, False)  # 48 MB of 400
    assert states[12] == (True, False)  # 124 MB
    assert states[15] == (True, True)  # 153 MB
    words = " ".join(found[0].evidence)
    assert "Took 158 MB in 2.8 h, 40 % of what was left of 500 MB" in words
    assert "Steady growth over 167 snapshots (last third 100 % of the first), fed by " in words
    assert "Does not slow down as a cache does that fills (second half 100 % of the first)" in words
    assert "The oldest entry is still there after 2.8 h" in words
    assert "Names no maximum size" in words


@pytest.mark.parametrize(
    ("what", "length", "seen", "against"),
    [
        ("a bound by its own word", lambda minute: 100 * minute, {"bound": 30_000}, "by its own word"),
        ("a cache that fills", lambda minute: 20_000 * (1 - 0.985**minute), {}, ""),
        ("steps of a batch", lambda minute: 15_000.0 * (minute > 90), {}, "a quarter"),
        ("what has stopped", lambda minute: min(15_000.0, 120 * minute), {}, ""),
    ],
)
def test_what_has_an_end_is_left_alone(what: str, length: Store, seen: dict[str, object], against: str) -> None:
    """However much it takes."""
    process = Process()
    process.keeps("app.STORE", length, 10_000, **seen)
    found = process.run(160)
    assert passing(found) == [], what
    assert any(against in finding.against for finding in found)


def test_entries_that_go_are_no_leak() -> None:
    """A queue's oldest entry is another one at each look."""
    process = Process()
    for minute in range(160):
        process.keeps("app.QUEUE", lambda now: 100 * now, 10_000, oldest=minute)
        found = process.run(1)
    assert passing(found) == []
    assert "its oldest entries go" in {finding.against for finding in found}


@pytest.mark.parametrize(("inside", "name"), [(None, "app.HANDLERS"), ("app.HANDLERS[*].lines", NATIVE)])
def test_entries_that_get_heavier_with_age(inside: str | None, name: str) -> None:
    """A list of handlers, each with a buffer that grows: those of middle age are weighed.

    Not where what comes to an entry is a list that is counted itself.
    """
    process = Process()
    for minute in range(160):  # each adds 2 kB to all that are there: half of the last one's age is the mean
        process.keeps("app.HANDLERS", lambda now: 10 * now, 150, oldest=7, aged_bytes=150 + 1_000 * minute)
        if inside:
            process.keeps(inside, lambda now: now * now, 1)
        process.native = lambda now: 10 * now * 1_000 * now
        found = process.run(1)
    assert passing(found) == [name]


def test_native_memory_is_not_pinned_on_a_dict_that_happens_to_grow() -> None:
    """The dict's entries are weighed: they hold 25 kB."""
    process = Process()
    process.keeps("app.PARTNERS", lambda minute: minute, 140)
    process.native = lambda minute: minute * 1.0 * MB
    assert passing(process.run(160)) == [NATIVE]


def test_what_a_buffer_leaves_when_it_is_emptied_is_no_mapped_memory() -> None:
    """Python's allocator keeps it: a hundred blocks of 100 bytes for each of 20,000 records, gone after two hours."""

    def records(minute: int) -> float:
        return 160.0 * (minute % 125)

    process = Process()
    process.blocks = lambda minute: 200_000 + 100 * records(minute)
    process.mapped = lambda minute: 10_000 * records(min(minute, 124))
    process.run(160)
    assert passing(process.run(1)) == []
    total = in_use(process.past)
    assert total[-1] - total[0] == pytest.approx(10_000 * (records(161) - records(1)), rel=0.1)


def test_mapped_memory_has_its_own_name() -> None:
    """Neither allocator has it, and it was not measured to be free."""
    process = Process()
    process.mapped = lambda minute: minute * 1.0 * MB
    assert passing(process.run(160)) == [MAPPED]


def test_a_type_that_nobody_has_weighed_stands_for_the_memory_that_grows_with_it() -> None:
    """Its count and the memory rise and fall together."""
    process = Process()
    process.types = {"app.Cart": lambda minute: 100 * minute + 30 * (minute % 5)}
    process.native = lambda minute: 10_000.0 * (100 * minute + 30 * (minute % 5))
    found = process.run(160)
    [finding] = [one for one in found if one.suspected]
    assert {"app.Cart", NATIVE} <= finding.population.names


def test_fourteen_small_objects_do_not_stand_for_all_memory() -> None:
    """However well they keep step with it: ten megabytes each are hardly theirs. But they are named beside it."""
    for name, number, leading in (("re.Pattern", 0.1, NATIVE), ("app.Image", 4.0, "app.Image")):
        process = Process()
        process.native = lambda minute: MB * (minute + 3 * (minute % 5))
        process.types[name] = lambda minute, number=number: number * (minute + 3 * (minute % 5))
        found = process.run(170)
        assert passing(found) == [leading], name
        beside = found[0].population.beside
        assert beside == ((name,) if leading == NATIVE else ())
        assert any(f"at the same snapshots as {name}" in said for said in found[0].evidence) == bool(beside)


def test_a_type_that_was_not_counted_since_goes_with_nothing() -> None:
    """Its counts end before the memory begins to grow."""
    memory = Population(NATIVE, "native", [float(row) for row in range(60)])
    old = Population("app.Old", "objects", [10.0 * row for row in range(20)])
    assert Account((), (memory,), memory.values, (old,)).with_it(memory, 30, 59) == ()


@pytest.mark.parametrize(
    ("kind", "holds", "number", "leading"),
    [
        ("builtins.list", ("app.Partner", "builtins.list"), 1, NATIVE),
        ("builtins.list", ("app.Partner",), 1, "builtins.list"),  # they are somewhere else
        ("builtins.list", ("app.Partner", "builtins.list"), 20, "builtins.list"),  # more than these entries can have
        ("imaging.Image", ("app.Partner", "imaging.Image"), 1, "imaging.Image"),  # its size is C code's
    ],
)
def test_memory_is_not_put_to_what_a_weighed_container_holds(
    kind: str, holds: tuple[str, ...], number: int, leading: str
) -> None:
    """Partners of 400 bytes have a list each. Lists are never in lockstep with them: all that runs makes some."""
    process = Process()
    process.native = lambda minute: MB * (minute + 3 * (minute % 5))
    process.keeps("app.PARTNERS", lambda minute: 7 * minute, 400, holds=holds)
    process.types[kind] = lambda minute: 900 + 7 * number * (minute + 3 * (minute % 5))
    assert passing(process.run(170)) == [leading]


@pytest.mark.parametrize(
    ("objects", "once", "bound", "found"),
    [
        (1, True, None, ["shop.BY_ID"]),
        (2, False, None, ["shop.BY_ID", "shop.SENT"]),  # each has its own
        (0.6, False, None, ["shop.BY_ID", "shop.SENT"]),  # three of ten entries have one, of their own
        (1, True, 10**9, []),  # one of them ends: half of the memory is no leak yet
    ],
)
def test_what_two_containers_hold_is_one_leak(objects: float, once: bool, bound: int | None, found: list[str]) -> None:
    """A dict by number and a deque of pairs hold the same shipments: the memory is not half of the one's."""
    process = Process()

    def shipments(minute: int) -> float:
        return 40.0 * minute + 20 * (minute % 3)

    process.keeps("shop.SENT", shipments, 25_000, holds=("builtins.tuple", "shop.Shipment"))
    process.keeps("shop.BY_ID", shipments, 24_000, holds=("shop.Shipment", "builtins.dict"), bound=bound)
    process.types["shop.Shipment"] = lambda minute: objects * (shipments(minute) + 250 * (minute % 2))
    process.native = lambda minute: -24_000 * shipments(minute) if once else 0.0
    passed = [finding for finding in process.run(170) if finding.suspected]
    assert sorted(finding.population.name for finding in passed) == found
    if found == ["shop.BY_ID"]:
        assert passed[0].confirmed
        assert passed[0].gained == pytest.approx(25_000 * (shipments(170) - shipments(1)), rel=0.1)
        assert "shop.SENT" in passed[0].population.names


def test_what_lies_inside_a_container_weighs_with_it() -> None:
    """An index whose entries grow, too, takes what its lists take: the newest entries, which are weighed, are short."""
    process = Process()
    process.keeps("app.INDEX", lambda minute: 200 * minute, 2000.0)
    process.keeps("app.INDEX[*]", lambda minute: 200 * minute + 900 * (minute % 7), 3000.0)
    found = {one.population.name: one for one in process.run(160)}
    assert found["app.INDEX"].confirmed
    assert not found["app.INDEX[*]"].suspected


def test_an_entry_weighs_what_the_list_in_it_weighs() -> None:
    """A sample of an entry ends after some dozens of objects: the list of 170 records in each is sampled by itself."""
    process = Process()
    process.keeps("app.SESSIONS", lambda minute: 18 * minute, 3_353)
    process.keeps("app.SESSIONS[*].offers", lambda minute: 170 * 18 * minute, 295)
    process.keeps("app.SESSIONS[*].offers[*].texts", lambda minute: 340 * 18 * minute, 40)
    [found] = [finding for finding in process.run(170) if finding.suspected]
    assert (found.population.name, found.confirmed) == ("app.SESSIONS", True)
    assert found.weighed
    assert found.population.entry_bytes == pytest.approx(170 * 295, rel=0.01)
    assert found.gained == pytest.approx(18 * 169 * (3_353 + 170 * 295 + 340 * 40), rel=0.1)


class _Seldom(Process):
    """A worker whose containers are measured each fourth minute, and not at all in the first forty."""

    def _reading(self, minute: int) -> Reading:
        reading = super()._reading(minute)
        return reading if minute > 40 and minute % 4 == 0 else dataclasses.replace(reading, containers=None)


def test_a_container_is_compared_with_memory_from_its_first_measurement_on() -> None:
    """It seems to stand still before, while memory grows because of it: that is no reason to distrust its sample."""
    chance = random.Random(5)
    sessions = list(itertools.accumulate(chance.randrange(8, 29) for _ in range(200)))
    process = _Seldom()
    process.keeps("app.SESSIONS", lambda minute: sessions[minute], 53_000)
    [found] = [finding for finding in process.run(190) if finding.suspected]
    assert found.population.name == "app.SESSIONS"
    assert found.each == pytest.approx(53_000, rel=0.15)


def test_a_container_beside_another_weighs_by_itself() -> None:
    """Two places of one module are two things, each of which takes too little."""
    process = Process()
    process.keeps("app.INDEX", lambda minute: 200 * minute, 2000.0)
    process.keeps("app.LINES", lambda minute: 200 * minute + 900 * (minute % 7), 3000.0)
    assert passing(process.run(160)) == []


def test_memory_is_one_growth_whichever_type_leads_it() -> None:
    """Two types grow in step with it: today one fits better, tomorrow the other, and it is reported once."""
    line = Growth(0, [0.0, 3600.0], [0.0, 3600.0], [0.0, 2e8], discrete=False)

    def led_by(name: str) -> Finding:
        return Finding(Population(name, "untracked", [0.0, 2e8], (UNTRACKED,)), 0.5, 2e8, line, "requests")

    lives = live({}, [led_by("lib.Request")], lambda _: None)
    lives = live(lives, [led_by("lib.Task")], lambda _: None)
    assert len(lives) == 1


def test_the_rest_is_one_growth_whichever_allocator_has_most_of_it() -> None:
    """It is native memory today and Python's tomorrow: one report, which keeps its name once it is confirmed."""
    times = [300.0 * row for row in range(13)]
    now = iter([3600.0, 3660.0, 3780.0, 3800.0])

    def look_at(lives: dict[str, Life], name: str) -> dict[str, Life]:
        kind: LeakKind = "native" if name == NATIVE else "untracked"
        grown = Growth(0, times, times, [2e8 * row / 12 for row in range(13)], discrete=False)
        finding = Finding(Population(name, kind, [0.0, 2e8]), 0.5, 2e8, grown, "requests")
        seen = Present([0.0, 2e8], [0.0, next(now)], [0.0, 1.0])
        return live(lives, [finding], lambda _: seen)

    lives: dict[str, Life] = {}
    for name in (NATIVE, NATIVE, NATIVE, UNTRACKED):
        lives = look_at(lives, name)
    [life] = lives.values()
    assert (life.state, life.name, life.finding.population.kind) == ("confirmed", NATIVE, "native")


def test_a_verdict_is_confirmed_when_it_holds() -> None:
    """One look of many says so by chance: weights and beginnings are estimated anew at each."""
    times = [300.0 * row for row in range(13)]
    line = Growth(0, times, times, [2e4 * row / 12 for row in range(13)], discrete=True)
    states, lives = [], dict[str, Life]()
    for second, passes in ((3600, 1), (3660, 1), (3720, 0), (3780, 1), (3840, 1), (3900, 1)):
        finding = Finding(
            Population("app.STORE", "container", [0.0, 2e4]), 0.5, 2e8, line, "requests", "" if passes else "it bends"
        )
        seen = Present([0.0, 2e4], [0.0, float(second)], [0.0, 1.0])
        lives = live(lives, [finding], lambda _, seen=seen: seen)
        states.append(lives["app.STORE"].state)
    assert states == ["suspected"] * 5 + ["confirmed"]  # for a thirtieth of an hour, two minutes, at each look


@pytest.mark.parametrize(
    ("share", "stepped", "minutes"),
    [(0.4, False, 2), (0.32, False, 10), (0.3, False, None), (0.4, True, 2), (0.32, True, None)],
)
def test_what_is_not_yet_as_large_has_to_hold_for_longer(share: float, stepped: bool, minutes: int | None) -> None:
    """For a sixth of an hour. Steps that double count twice: below 35 % half of that has not come."""
    times = [300.0 * row for row in range(13)]
    line = Growth(0, times, times, [2e4 * row / 12 for row in range(13)], discrete=True)
    population = Population("app.STORE", "container", [0.0, 2e4])
    finding, lives = Finding(population, share, 2e8, line, "requests", stepped=stepped), dict[str, Life]()
    found = None
    for minute in range(12):
        seen = Present([0.0, 2e4], [0.0, 3600.0 + 60 * minute], [0.0, 1.0])
        lives = live(lives, [finding], lambda _, seen=seen: seen)
        if found is None and lives["app.STORE"].state == "confirmed":
            found = minute
    assert found == minutes


def test_a_job_that_leaves_as_much_each_time_is_a_leak() -> None:
    """Between two runs it has not stopped: the next one is not due yet."""
    process = Process()
    process.keeps("app.ROWS", lambda minute: 3000 * ((minute + 30) // 40), 10_000, oldest=7)
    process.run(188)  # the fifth was at minute 170
    for _ in range(16):
        [found] = process.run(1)
        assert (found.population.name, found.against, found.share >= 0.35) == ("app.ROWS", "", True)
    assert "It came in 5 runs" in " ".join(found.evidence)


def test_memory_waits_for_a_full_collection_where_one_can_be_asked_for() -> None:
    """Garbage that waits for the collector holds buffers of C code too; without a collection it looks like a leak."""
    process = Process()
    process.native = lambda minute: 1000.0 * 1000 * minute
    process.run(170)

    def judged(collected: float | None, *, collectable: bool) -> tuple[str, bool]:
        [found] = [
            one for one in look(process.past, ROOM, collected=collected, collectable=collectable) if one.suspected
        ]
        return found.waits, found.confirmed

    assert judged(None, collectable=True) == (COLLECTION, False)
    assert judged(process.past.now() - 600, collectable=True) == ("", True)
    assert judged(None, collectable=False) == ("", True)


def test_what_may_be_garbage_waits_for_a_full_collection() -> None:
    """Nothing else is missing: one is asked for; with it, it is certain."""
    process = Process()
    process.types = {"app.Cart": lambda minute: 1000 * minute}
    process.native = lambda minute: 1000.0 * 1000 * minute
    [finding] = [one for one in process.run(170) if one.suspected]
    assert finding.population.kind == "objects"
    assert (finding.waits, finding.confirmed) == (COLLECTION, False)
    now = process.past.now()
    asked = look(process.past, ROOM, collected=now - 60, told=True)
    assert [one.confirmed for one in asked if one.suspected] == [True]


def test_garbage_does_not_outlive_a_full_collection() -> None:
    """Cycles that wait for the collector begin anew after one, so that it says nothing that growth goes through it."""
    process = Process()

    def nodes(minute: int) -> float:
        return 40_000 + 1000 * minute if minute < 15 else 51_000 + 1000 * (minute - 15)

    process.types = {"app.Node": nodes}
    process.native = lambda minute: 1000.0 * nodes(minute)
    process.run(14)
    process.collections += 1
    [garbage] = [one for one in process.run(150) if one.suspected]
    assert garbage.growth is not None
    assert garbage.growth.begin < 14
    assert (garbage.population.name, garbage.waits) == ("app.Node", COLLECTION)
    process.collections += 1
    [leak] = [one for one in process.run(20) if one.suspected]
    assert (leak.population.name, leak.waits) == ("app.Node", "")


def test_a_night_without_visitors_ends_nothing() -> None:
    """Over what feeds it the line is straight, whatever the clock says."""
    process = Process()
    process.keeps("app.SESSIONS", lambda _: sum(process.requests.values()), 20_000, oldest=7)
    process.run(100)
    awake, process._chance = process._chance, random.Random(0)
    process._chance.randrange = lambda *_: 0  # type: ignore[method-assign,assignment]
    process.run(400)
    process._chance = awake
    assert passing(process.run(60)) == ["app.SESSIONS"]


def test_a_type_that_merely_grows_too_is_not_blamed_for_memory() -> None:
    """Two straight lines are in step whatever draws them; only what grows more at the same looks belongs together."""
    process, chance = Process(), random.Random(5)
    native, beside = [0.0], [0.0]
    for _ in range(400):
        native.append(native[-1] + MB * chance.uniform(0.5, 1.5))
        beside.append(beside[-1] + chance.randrange(50, 150))
    process.types = {"app.Other": lambda minute: beside[minute], "app.Owner": lambda minute: native[minute] / 5000}
    process.native = lambda minute: native[minute]
    found = process.run(160)
    assert passing(found) == ["app.Owner"]
    process.types = {"app.Other": process.types["app.Other"]}
    other = Process()
    other.types, other.native = process.types, process.native
    assert passing(other.run(160)) == [NATIVE]


def test_what_comes_and_goes_is_no_leak() -> None:
    """The lowest levels of a store with a lifetime may lie on a line; it fell back by as much as that rose."""
    process = Process()
    process.keeps("app.STORE", lambda minute: 60 * minute + 8_000 * (minute > 20 and minute % 40 < 20), 10_000)
    found = process.run(159)
    assert passing(found) == []
    assert any("it comes and goes" in finding.against for finding in found)


def test_a_busy_hour_that_fills_caches_is_no_growth_of_all_memory() -> None:
    """Over its requests it is a straight line; over time it is one hour of ten."""
    process = Process()
    busy = range(200, 260)
    served = [0]
    for minute in range(1, 600):
        served.append(served[-1] + (1200 if minute in busy else 60))

    def traffic(minute: int) -> int:
        return served[minute] - served[minute - 1]

    process.traffic = traffic
    process.native = lambda minute: 4000.0 * min(served[minute], 100_000)
    for _ in range(29):
        process.run(20)
        found = whole(process.past, ROOM)
        assert found is None or not found.confirmed


def test_all_memory_together_is_judged_by_the_same_tests() -> None:
    """A process that warms up bends; one that leaks does not, whoever has it."""
    leaking, young = Process(), Process()
    leaking.native = lambda minute: minute * 1.0 * MB
    young.native = lambda minute: 200.0 * MB * (1 - 0.97**minute)
    leaking.run(160), young.run(160)
    found, warm = whole(leaking.past, ROOM), whole(young.past, ROOM)
    assert found is not None
    assert warm is not None
    assert (found.confirmed, warm.passed) == (True, False)


def test_what_has_a_bound_makes_no_leak_of_all_memory() -> None:
    """Query logs of 9,000 entries grow in a line until they are full: nobody hears of memory that grows meanwhile."""
    bounded, open_ended = Process(), Process()
    for process, bound in ((bounded, 25_000), (open_ended, None)):
        process.keeps("app.logs", lambda minute: 100 * minute, 10_000, bound=bound)
        process.run(160)
    found, leak = whole(bounded.past, ROOM), whole(open_ended.past, ROOM)
    assert found is not None
    assert leak is not None
    assert found.against == "most of it names its own maximum size"
    assert leak.confirmed


@pytest.mark.parametrize(
    ("sampled", "least", "most"), [(10_000, 9_000, 11_000), (6_000, 9_000, 10_800), (2_000, 3_600, 3_600)]
)
def test_a_sample_is_set_right_by_what_memory_gains_with_it(sampled: int, least: int, most: int) -> None:
    """A record of records weighs more than one level of it: memory tells, within 1.8 times what was sampled."""
    process = Process()
    kept = list(itertools.accumulate(random.Random(3).randrange(200) for _ in range(400)))
    process.keeps("app.RECORDS", lambda minute: kept[minute], sampled)
    process.native = lambda minute: (10_000.0 - sampled) * kept[minute]
    process.run(160)
    [found] = [one for one in look(process.past, ROOM, told=True) if one.population.name == "app.RECORDS"]
    assert least <= found.each <= most


@pytest.mark.parametrize(
    ("what", "beside", "confirmed"),
    [
        ("nothing", lambda _: 0.0, False),
        ("what is just like it", lambda minute: 4_000.0 * 100 * minute, True),
        ("a cache of C code that fills", lambda minute: 80 * MB * (1 - 0.98**minute), False),
        ("what came at once", lambda minute: 60.0 * MB * (minute > 120), False),
    ],
)
def test_what_a_sample_does_not_see_counts_by_half(what: str, beside: Store, confirmed: bool) -> None:
    """Entries that hold memory of C code, where other memory comes and goes: nobody can tell whose it is."""
    process, chance = Process(), random.Random(4)
    other = [MB * chance.randrange(16) for _ in range(400)]
    process.traffic = lambda _minute: 60
    process.keeps("app.RECORDS", lambda minute: 100 * minute, 6_000, oldest=7)
    process.native = lambda minute: beside(minute) + other[minute]
    [found] = [one for one in process.run(215) if one.population.name == "app.RECORDS"]
    assert (found.suspected, found.confirmed) == (True, confirmed), what
    assert any("grew beside it and nothing else explains them" in words for words in found.evidence) is confirmed
    assert found.gained < 0.35 * ROOM.total  # what is said of it is what was sampled


def test_what_grows_with_a_type_that_nobody_weighed_is_no_part_of_a_container() -> None:
    """Few things that are large: they have the memory, as far as anybody knows."""
    process, chance = Process(), random.Random(5)
    frames = list(itertools.accumulate(chance.randrange(3) for _ in range(400)))
    process.traffic = lambda _minute: 60
    process.keeps("app.RECORDS", lambda minute: 100 * minute, 6_000, oldest=7)
    process.native = lambda minute: 250_000.0 * frames[minute]
    counted = []
    for known in ({}, {"builtins.frame": lambda minute: frames[minute]}):
        process.past, process.minute, process.types = Past(60.0), 0, known
        [found] = [one for one in process.run(215) if one.population.name == "app.RECORDS"]
        counted.append(any("grew beside it" in words for words in found.evidence))
    assert counted == [True, False]


def test_memory_that_grows_by_itself_is_no_part_of_a_container() -> None:
    """A leak in C at a steady rate beside a small dict that grows by chance: the dict weighs what its sample says."""
    process = Process()
    kept = list(itertools.accumulate(random.Random(3).randrange(20) for _ in range(400)))
    process.keeps("app.PARTNERS", lambda minute: kept[minute], 100)
    process.native = lambda minute: 1.0 * MB * minute
    process.run(160)
    weights = {one.population.name: one.each for one in look(process.past, ROOM, told=True)}
    assert weights.get("app.PARTNERS", 100) <= 180
    assert NATIVE in passing(look(process.past, ROOM))


def test_a_platform_without_figures_of_the_c_library_is_judged_by_its_memory() -> None:
    """Neither in use nor free is known: what grows is told as native or untracked, never as mapped or kept."""
    past = Past(60)
    for minute in range(160):
        heap = 100 * MB + minute * MB
        past.add(Reading(60.0 * minute, {"GET /": 60 * minute}, heap=heap, blocks=200_000, counts={}))
    assert passing(look(past, ROOM)) == [NATIVE]


def test_two_thousand_types_are_judged_within_a_beat() -> None:
    """Even when hundreds of them grow, over 1,000 snapshots: 50 ms of processor time, four times that if it is busy."""
    process = Process()
    process.types = {f"lib.Type{number}": _steady(number) for number in range(2000)}
    process.native = lambda minute: minute * 1.0 * MB
    process.run(1000)
    began = time.thread_time()
    look(process.past, ROOM, told=True)
    assert time.thread_time() - began < 0.2


def _steady(number: int) -> Store:
    return (lambda minute: 50 + minute * (number % 9)) if number < 300 else lambda _: 50.0


# -- what becomes of it ------------------------------------------------------------------------------------------


def test_over_and_again() -> None:
    """Level for 1.2 times the requests that fed it for certain, and two hours: full. Above its old height: again."""
    process, most = Process(), {"most": 9_600}
    process.traffic = lambda minute: 80 - 40 * (minute % 60 < 30)
    process.keeps("app.STORE", lambda _: min(most["most"], sum(process.requests.values())), 20_000)
    lives = lives_of(process, {}, 158)
    assert lives["app.STORE"].state == "confirmed"
    assert lives_of(process, lives, 100)["app.STORE"].state == "confirmed"  # not level for long enough
    lives = lives_of(process, lives, 140)
    assert lives["app.STORE"].state == "over"
    assert "it is full: level for" in lives["app.STORE"].reason
    most["most"] = 100_000
    lives = lives_of(process, lives, 40)
    assert (lives["app.STORE"].state, lives["app.STORE"].relapses) == ("confirmed", 1)


@pytest.mark.parametrize("kept", ["app.STORE", NATIVE])
def test_a_job_that_rests_for_hours_is_not_over(kept: str) -> None:
    """Under an even traffic nobody knows what feeds it: what stands still is over after a day, not after two hours."""
    process = Process()

    def level(minute: int) -> float:
        return 100 * min(minute, 160) + 100 * max(0, minute - 700)

    if kept == NATIVE:
        process.native = lambda minute: 10_000 * level(minute)
    else:
        process.keeps(kept, level, 10_000)
    lives = lives_of(process, {}, 158)
    for _ in range(9):
        lives = lives_of(process, lives, 60)
        assert lives[kept].state == "confirmed"
    assert lives[kept].level > 8 * 3600
    lives = lives_of(process, lives, 60)
    lives = lives_of(process, lives, 30)
    after = lives[kept]
    assert (after.state, after.relapses, after.pauses, after.level) == ("confirmed", 0, 1, 0.0)


def test_a_suspicion_that_rests_and_grows_on_is_confirmed() -> None:
    """A cache that was full would not: it is no straight line any more, and a leak all the same."""
    process = Process()
    process.keeps("app.STORE", lambda now: 100 * min(now, 125) + 100 * max(0, now - 400), 10_000)
    lives = lives_of(process, {}, 123)
    assert lives["app.STORE"].state == "suspected"
    for _ in range(9):
        lives = lives_of(process, lives, 30)
        assert lives["app.STORE"].state == "suspected"
    lives = lives_of(process, lives, 40)
    assert (lives["app.STORE"].state, lives["app.STORE"].pauses) == ("confirmed", 1)


def test_a_suspicion_that_rests_and_grows_on_is_none_the_larger() -> None:
    """That it goes on proves it; but a tenth more of 30 % of the room is not yet the 35 % that a confirmation takes."""
    process = Process()
    process.keeps("app.STORE", lambda now: 100 * min(now, 125) + 100 * min(15, max(0, now - 400)), 10_000)
    lives = lives_of(process, {}, 123)
    assert lives["app.STORE"].state == "suspected"
    for _ in range(12):
        lives = lives_of(process, lives, 30)
    assert (lives["app.STORE"].state, lives["app.STORE"].pauses) == ("suspected", 0)


def test_a_few_requests_and_a_quiet_half_hour_confirm_nothing() -> None:
    """Nobody is woken for what has not grown for 23 minutes; when it goes on, it is confirmed."""
    process = Process(interval=5.0)
    process.clock = lambda look: 5.0 * look
    process.traffic = lambda look: 2 if 10 < look <= 40 or look > 400 else 0
    process.keeps("app.STORE", lambda look: 100 * max(0, min(look, 40) - 10) + 100 * max(0, look - 400), 50_000)
    lives = lives_of(process, {}, 45)
    while process.minute < 400:
        lives = lives_of(process, lives, 5)
        assert lives["app.STORE"].state == "suspected"
    assert lives["app.STORE"].finding.growth is not None
    assert lives["app.STORE"].finding.growth.seconds > 1900
    while process.minute < 440:  # it has to hold, for a minute and some here
        lives = lives_of(process, lives, 5)
    assert lives["app.STORE"].state == "confirmed"


def test_what_stands_still_for_a_day_is_over() -> None:
    """An alert does not stay for ever."""
    process = Process()
    process.native = lambda minute: min(160 * MB, minute * MB)
    lives = lives_of(process, {}, 158)
    for _ in range(24):
        lives = lives_of(process, lives, 60)
        assert lives[NATIVE].state == "confirmed"
    lives = lives_of(process, lives, 60)
    assert lives[NATIVE].state == "over"


def test_a_batch_that_is_freed_takes_no_leak_of_memory_with_it() -> None:
    """A type that nobody has weighed stood for memory that grows in step with it: the memory must be freed, too."""
    process = Process()
    process.types["lib.Batch"] = lambda minute: 10 * minute * (1 + minute % 9 // 8) if minute < 160 else 0
    process.native = lambda minute: MB * minute * (1 + minute % 9 // 8) if minute < 160 else MB * (80 + minute / 4)
    lives = lives_of(process, {}, 150)
    (key,) = [key for key, life in lives.items() if "lib.Batch" in life.names]
    assert lives[key].state == "confirmed"
    for _ in range(12):
        lives = lives_of(process, lives, 10)
        assert lives[key].is_open


def test_what_stands_still_is_not_told_at_its_old_pace() -> None:
    """A cache of C code that is full by the time it is confirmed would else be said to reach the limit for hours."""
    process = Process()
    process.native = lambda minute: min(160 * MB, minute * MB)
    lives = lives_of(process, {}, 158)
    pace = lives[NATIVE].bytes_per_hour
    assert pace == pytest.approx(60 * MB, rel=0.05)
    later = lives_of(process, lives, 100)[NATIVE]
    assert later.state == "confirmed"  # not level for long enough
    assert later.bytes_per_hour == pytest.approx(160 / 258 * 60 * MB, rel=0.05)


def test_a_part_that_is_freed_ends_nothing_while_the_rest_grows_on() -> None:
    """Beside what lives for a time there may be what stays: over only when that stands still."""
    process = Process()
    process.keeps("app.STORE", lambda now: 100 * now if now < 160 else 4_000 + 30 * (now - 160), 10_000)
    lives = lives_of(process, {}, 158)
    assert lives["app.STORE"].state == "confirmed"
    for _ in range(8):
        lives = lives_of(process, lives, 10)
        assert lives["app.STORE"].state == "confirmed"
    still = 4_000 + 30 * 80
    process.keeps("app.STORE", lambda now: 100 * now if now < 160 else min(still, 4_000 + 30 * (now - 160)), 10_000)
    for _ in range(30):
        lives = lives_of(process, lives, 10)
    assert (lives["app.STORE"].state, lives["app.STORE"].reason) == ("over", "it was freed")


def test_one_count_that_is_too_low_ends_nothing() -> None:
    """A look may go wrong, and a container may be found under another path while its objects are all there."""
    process = Process()
    wrong = {158}
    process.keeps("app.STORE", lambda now: 0 if now in wrong else 100 * now, 10_000, holds=("app.Item",))
    process.types = {"app.Item": lambda now: 100 * now}
    lives = lives_of(process, {}, 157)
    assert lives["app.STORE"].state == "confirmed"
    assert lives_of(process, lives, 1)["app.STORE"].state == "confirmed"
    wrong.update(range(159, 400))
    assert lives_of(process, lives, 10)["app.STORE"].state == "confirmed"
    process.types = {"app.Item": lambda _: 5}
    assert lives_of(process, lives, 10)["app.STORE"].state == "over"


def test_memory_goes_on_as_its_owner_when_that_is_found() -> None:
    """No end, since the growth has not ended."""
    process = Process()
    process.native = lambda minute: 1.0 * MB * minute
    lives = lives_of(process, {}, 123)
    assert [life.state for life in lives.values()] == ["suspected"]
    process.native = lambda _: 0.0
    process.keeps("app.BLOBS", lambda minute: minute, MB, oldest=7)
    for _ in range(20):
        lives = lives_of(process, lives, 10)
        assert len(lives) == 1
    [(key, life)] = lives.items()
    assert (key, life.name, life.state) == (NATIVE, "app.BLOBS", "confirmed")


def test_what_is_freed_is_over() -> None:
    """Below half of what it gained."""
    process = Process()
    freed = {"at": 10_000}
    process.keeps("app.STORE", lambda minute: 100 * minute if minute < freed["at"] else 50, 10_000)
    lives = lives_of(process, {}, 158)
    freed["at"] = 159
    lives = lives_of(process, lives, 4)
    assert (lives["app.STORE"].state, lives["app.STORE"].reason) == ("over", "it was freed")


# -- the room ----------------------------------------------------------------------------------------------------


def snapshot(**figures: object) -> MemorySnapshot:
    return MemorySnapshot(timestamp=0.0, pid=1, **figures)  # type: ignore[arg-type]


def test_the_room_is_what_was_left() -> None:
    """Up to the process's own limit, or its part of what all workers share."""
    alone = room_of(snapshot(heap_used_mb=100.0, heap_size_mb=500.0, heap_size_source="setting"))
    assert alone is not None
    assert alone.total == 400 * MB
    shared = room_of(
        snapshot(
            heap_used_mb=100.0,
            heap_size_mb=4096.0,
            heap_size_source="cgroup v2",
            container_size_mb=4096.0,
            container_used_mb=896.0,
        ),
        workers=8,
    )
    assert shared is not None
    assert shared.total == 400 * MB


def test_errors_that_come_in_bursts_feed_a_leak() -> None:
    """What requests that fail leave is a line over them, however they come; over all requests it is none."""

    def errors(minute: int) -> int:
        """Some in each minute of outages of nine minutes, at odd hours, and hardly any between."""
        return sum(400 * min(9, max(0, minute - begin)) for begin in (70, 95, 190, 330)) + minute // 5

    process, blind = Process(), Process()
    for one in (process, blind):
        one.keeps("app.FAILED", errors, ROOM.total / 30_000, oldest=1)
    process.failed = errors
    known, unknown = process.run(345), blind.run(345)
    assert passing(known) == ["app.FAILED"]
    assert any("fed by the requests that fail" in said for said in known[0].evidence)
    assert passing(unknown) == []


@pytest.mark.parametrize(("machine_mb", "workers"), [(65_536.0, 8), (16_384.0, 1)])
def test_where_nobody_set_a_limit_doubling_counts(machine_mb: float, workers: int) -> None:
    """A worker that goes from 200 to 400 MB has taken what matters: one of eight on 64 GB, or alone on a laptop."""
    room = room_of(snapshot(heap_used_mb=200.0, heap_size_mb=machine_mb, heap_size_source="ram"), workers=workers)
    assert room is not None
    assert pytest.approx(0.35 * room.total) == 200 * MB
    assert room.left is not None
    assert room.left > 8000 * MB
    assert room_of(snapshot()) is None


def unlimited(used_mb: float = 110.0, workers: int = 8) -> Room:
    found = room_of(snapshot(heap_used_mb=used_mb, heap_size_mb=65_536.0, heap_size_source="ram"), workers=workers)
    assert found is not None
    return found


def told_at(process: Process, room: Room, hours: int = 20) -> float | None:
    """The megabytes that a container has taken when it is confirmed; ``None``: it is not, in so many hours."""
    for _ in range(hours * 4):
        process.run(15)
        confirmed = [one for one in look(process.past, room) if one.confirmed]
        if confirmed:
            return confirmed[0].gained / MB
    return None


@pytest.mark.parametrize(("an_hour", "least"), [(75, 3 * 75.0), (25, 0.1 * (65_536 - 110) / 8)])
def test_doubling_counts_for_what_takes_the_machine_within_days(an_hour: int, least: float) -> None:
    """Of 8 GB for each of eight workers 75 MB an hour take all in five days; 25 MB matter when a tenth is taken."""
    process = Process()
    process.keeps("app.STORE", lambda minute: an_hour * minute, MB / 60, oldest=1)
    taken = told_at(process, unlimited(), 40)
    assert taken is not None
    assert least <= taken < 1.2 * least


def test_doubling_within_hours_of_its_start_is_a_warm_up() -> None:
    """300 MB an hour are told after three hours, if they have not come to an end."""
    process = Process()
    process.keeps("app.STORE", lambda minute: 300 * min(minute, 150), MB / 60, oldest=1)
    assert told_at(process, unlimited(), 6) is None
    process = Process()
    process.keeps("app.STORE", lambda minute: 300 * minute, MB / 60, oldest=1)
    taken = told_at(process, unlimited(), 6)
    assert taken is not None
    assert 300 * 2.9 <= taken <= 300 * 3.3


def test_the_machine_is_the_limit_where_it_is_nearer_than_doubling() -> None:
    """A laptop with little left: what counts is what it has left, as beneath a limit."""
    room = room_of(snapshot(heap_used_mb=900.0, heap_size_mb=2000.0, heap_size_source="ram"))
    assert room is not None
    assert (room.total, room.is_unlimited) == (1100 * MB, False)


@pytest.mark.parametrize(("bound", "told"), [(30_000, False), (300_000, True)])
def test_a_maximum_size_that_the_machine_has_room_for_is_an_end(bound: int, told: bool) -> None:
    """Where nobody set a limit, it is held against what the machine has left: 3 GB fit into 8, and 30 do not."""
    process = Process()
    process.keeps("app.CACHE", lambda minute: 20 * minute, 100_000, oldest=1, bound=bound)
    assert (told_at(process, unlimited()) is not None) == told


@pytest.mark.parametrize(("each", "told"), [(1, True), (300, False)])
def test_where_nothing_is_urgent_a_few_steps_are_no_line(each: int, told: bool) -> None:
    """Something that was loaded again five times, each time beside the last, may never be loaded again."""
    process = Process()
    process.keeps("app.TABLES", lambda minute: each * (20 * minute // (20 * each)) * 20, 100_000, oldest=1)
    assert (told_at(process, unlimited(), 24) is not None) == told


def test_what_was_there_is_what_growth_is_compared_with() -> None:
    """Twice of what it had itself is 200 %, whatever the machine has."""
    process = Process()
    process.keeps("app.STORE", lambda minute: 20 * minute, 100_000, oldest=1)
    process.run(150)
    [found] = [one for one in look(process.past, unlimited(145.0)) if one.population.name == "app.STORE"]
    percent = float(found.evidence[0].partition(" h, ")[2].partition(" %")[0])
    assert percent == pytest.approx(100 * found.gained / (145 * MB), abs=1)
