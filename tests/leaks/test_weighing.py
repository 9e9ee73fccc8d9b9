"""What things weigh is said by samples and set right by memory, as far as memory tells."""

from __future__ import annotations

import itertools
import random

import pytest

from memprof_middleware.analysis.memory import BLOCK, NATIVE, UNTRACKED
from memprof_middleware.leaks.account import account
from memprof_middleware.leaks.line import begins, floor_of
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population, populations
from memprof_middleware.leaks.reading import Reading
from memprof_middleware.leaks.weighing import Item, block_bytes, corrections, set_right, weigh
from memprof_middleware.model import MB
from tests.leaks.process import ROOM, Process

CHANCE = random.Random(5)
UNEVEN = [CHANCE.randrange(50, 150) for _ in range(64)]
OTHER = [CHANCE.randrange(50, 150) for _ in range(64)]
EVEN = [100.0] * 64


def summed(steps: list[int] | list[float]) -> list[float]:
    return [0.0, *itertools.accumulate(steps)]


def test_a_type_that_a_feed_makes_too_heavy_is_no_part_of_the_rest() -> None:
    """With what requests explain beside it, each would weigh more than one thing may. The search goes on without it."""
    types = [[-2, 1, 0, 0, -2, 5], [2, 5, 1, 0, -2, 1]]
    feeds = [[1, 5, 20, 5, 0, 1], [1, 0, 5, 1, 20, 5]]
    rest = [1024.0 * step for step in (58, 168, 98, 10, 112, 122)]
    unknown = [Population(f"shop.Kind{index}", "objects", summed(steps)) for index, steps in enumerate(types)]
    found = weigh(unknown, summed(rest), range(7), [summed(feed) for feed in feeds])
    assert all(0 < each <= 32 * 1024 for each in found.values())
    assert 0 not in found


@pytest.mark.parametrize("true", [0.5, 1.0, 1.6])
def test_memory_that_comes_unevenly_sets_a_sample_right(true: float) -> None:
    """What it brings at one look and not at the other is its own, whatever else grows by the clock."""
    left = [(true - 1) * step + 40 for step in UNEVEN]
    assert corrections([UNEVEN], [EVEN], left, 0.35) == pytest.approx([true - 1], abs=0.1)


def test_what_the_same_requests_bring_at_each_look_is_shared() -> None:
    """An entry that weighs twice as much, or a leak of the same route that nobody sees: nobody can tell."""
    [more] = corrections([EVEN], [EVEN], EVEN, 0.35)
    assert 0.2 < more < 0.9


def test_the_error_of_one_is_not_put_on_another() -> None:
    """Two containers that are fed by different requests are set right each by its own memory."""
    one = Item(Population("app.A", "container", summed(UNEVEN), entry_bytes=10.0), 10.0, True)
    two = Item(Population("app.B", "container", summed(OTHER), entry_bytes=10.0), 10.0, True)
    rest = [4 * a - 3 * b for a, b in zip(summed(UNEVEN), summed(OTHER), strict=True)]
    found = set_right([one, two], rest, range(65), [summed(EVEN)])
    assert [item.each for item in found] == pytest.approx([14.0, 7.0], abs=1.0)


def test_what_is_found_late_is_not_weighed_by_what_came_before() -> None:
    """A container that the walk finds after half of the time has stood there: its memory was counted before."""
    values = [1500.0] * 40 + summed(EVEN)[15:40]
    late = Item(Population("app.A", "container", values, entry_bytes=10.0, measured=range(40, 65)), 10.0, True)
    [found] = set_right([late], summed(EVEN), range(65), [summed(EVEN)])
    assert found.each == 10.0


@pytest.mark.parametrize("true", [24.0, 150.0, 300.0])
def test_the_size_of_a_block_is_measured(true: float) -> None:
    """Numbers and short tuples take fewer bytes than the usual block; memory mapped by other requests is none of it."""
    memory = [true * a + 3000 * b for a, b in zip(summed(UNEVEN), summed(OTHER), strict=True)]
    found = block_bytes(memory, summed(UNEVEN), range(65), [summed(EVEN), summed(OTHER)])
    assert found == pytest.approx(true, rel=0.3, abs=10)
    assert block_bytes(memory, [7.0] * 65, range(65), []) == BLOCK


def test_blocks_that_take_less_than_usual_make_no_growth() -> None:
    """Short blocks, counted at the usual size, made mapped memory shrink and the rest grow by three times the room."""
    blocks = [200_000 + 40 * total for total in summed(UNEVEN)]
    memory = [20.0 * number for number in blocks]
    assert block_bytes(memory, blocks, range(65), [summed(EVEN)]) < 60


def test_a_route_that_makes_the_blocks_takes_no_memory_from_them() -> None:
    """Its requests fit memory better than the blocks do, which come and go beside the leak: memory is theirs still."""
    chance = random.Random(3)
    beside = [chance.randrange(-4000, 4000) for _ in UNEVEN]
    blocks = [100_000 + 690 * kept + more for kept, more in zip(summed(UNEVEN), [0, *beside], strict=True)]
    memory = [56_000.0 * kept for kept in summed(UNEVEN)]
    assert block_bytes(memory, blocks, range(65), [summed(EVEN), summed(UNEVEN)]) == pytest.approx(81, abs=8)


def test_memory_beside_a_store_of_buffers_is_native() -> None:
    """What a known container takes from the C library and gives back hides nothing of a leak in C."""
    process = Process()
    process.keeps("app.BUFFERS", lambda minute: minute % 20, 5 * MB)
    process.native = lambda minute: 0.7 * MB * minute
    process.run(150)
    books = account(process.past, populations(process.past, lambda _a, _b: False))
    assert [memory.name for memory in books.hidden] == [NATIVE] != [UNTRACKED]


def test_what_is_freed_hides_no_growth() -> None:
    """A batch of the first minutes that is gone gave its memory to the leak: all memory grows by less than that."""
    process = Process()
    process.keeps("app.BATCH", lambda minute: 120 if minute < 20 else 0, MB)
    process.native = lambda minute: 1.2 * MB * minute
    [found] = [one for one in process.run(150) if one.population.name == NATIVE]
    assert found.confirmed
    assert found.gained > 1.2 * MB * 130


def test_memory_is_judged_beside_a_cache_that_is_full() -> None:
    """A sample that errs makes memory that bends as the cache does; a straight line is not its error."""
    process = Process()
    process.keeps("app.CACHE", lambda minute: min(200, 4 * minute), MB)
    process.native = lambda minute: 1.0 * MB * minute
    [found] = [one for one in process.run(160) if one.population.name == NATIVE]
    assert found.confirmed


def test_no_memory_grows_by_more_than_has_come() -> None:
    """Whatever the account makes of its parts: what all memory gained, and what known containers freed."""
    process = Process()
    process.native = lambda minute: 0.1 * MB * minute
    process.mapped = lambda minute: -0.1 * MB * minute if minute < 100 else 0.1 * MB * (minute - 200)
    for finding in process.run(150):
        assert finding.gained <= 0.05 * ROOM.total


def test_growth_may_begin_between_the_parts_of_the_past() -> None:
    """A leak that begins after nine hours in which little grew has all of its growth from there on."""
    values = [min(minute, 200) * 0.1 for minute in range(540)] + [20.0 + minute for minute in range(120)]
    times = [60.0 * minute for minute in range(660)]
    found = list(begins(values, floor_of(values), times))
    assert any(535 <= begin <= 560 for begin in found)


def test_a_busy_hour_is_followed_over_its_requests() -> None:
    """Twelve times the requests of before bring twelve times the memory, which is not a peak of the last rows."""
    requests = summed([10.0] * 60 + [120.0] * 8)
    values = [5 * served for served in requests]
    assert floor_of(values, requests)[-1] == pytest.approx(values[-1])
    assert floor_of(values)[-1] < 0.8 * values[-1]
    waits = [5 * served + 900 * (row % 12 == 8) for row, served in enumerate(requests)]
    assert floor_of(waits, requests)[-1] == pytest.approx(values[-1], rel=0.02)


def test_a_container_is_weighed_at_the_snapshots_at_which_it_was_measured() -> None:
    """Between two walks its length is on a line, while its memory came at one of the snapshots."""
    lengths = summed(UNEVEN)
    looks = range(0, 65, 4)
    between = [lengths[low] + (row - low) / 4 * (lengths[min(low + 4, 64)] - lengths[low])
               for row in range(65) for low in [row - row % 4]]  # fmt: skip
    one = Item(Population("app.A", "container", between, entry_bytes=10.0, measured=looks), 10.0, True)
    [found] = set_right([one], [5 * length for length in lengths], range(65), [])
    assert found.each == pytest.approx(15.0, abs=0.1)


@pytest.mark.parametrize(
    ("native_mb", "blocks", "name"), [(300, 300_000, NATIVE), (20, 2_000_000, UNTRACKED), (300, 0, NATIVE)]
)
def test_memory_is_of_the_allocator_that_can_have_it(native_mb: int, blocks: int, name: str) -> None:
    """Two straight lines fit as well; but of 45 MB in blocks no 300 MB can be."""
    past = Past(60.0)
    for minute in range(200):
        part = minute / 199
        own, python = native_mb * MB * part, BLOCK * blocks * part
        past.add(
            Reading(
                60.0 * minute,
                {"GET /": 6_000 * minute},
                heap=100 * MB + own + python,
                native=10 * MB + own,
                retained=MB,
                blocks=200_000 + blocks * part,
            )
        )
    [memory] = account(past, []).hidden
    assert memory.name == name
