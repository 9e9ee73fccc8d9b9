"""Each piece of evidence by itself: shapes, feeds, survival, traffic, steps."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest

from memprof_middleware.leaks.beside import times_as_much
from memprof_middleware.leaks.feed import REQUESTS, TIME, Feeding, feeds
from memprof_middleware.leaks.line import Growth, begins, floor_of, straight
from memprof_middleware.leaks.runs import Runs, runs
from memprof_middleware.leaks.saturation import fills, saturation
from memprof_middleware.leaks.steps import doubles
from memprof_middleware.leaks.survival import turned_over
from memprof_middleware.leaks.trailing import follows_traffic

MINUTES = [60.0 * minute for minute in range(241)]


def grown(level: Callable[[float], float], *, discrete: bool = False, rows: int = 121) -> Growth:
    """Growth over an even feed: a function of the share that was fed."""
    feed = [100.0 * row for row in range(rows)]
    return Growth(0, MINUTES[:rows], feed, [level(row / (rows - 1)) for row in range(rows)], discrete)


# -- a straight line ---------------------------------------------------------------------------------------------


def test_what_each_request_keeps_is_a_straight_line() -> None:
    """The same with each request."""
    assert straight(grown(lambda share: 5000 * share)) == ""


@pytest.mark.parametrize(
    ("what", "level", "words"),
    [
        ("a cache that fills", lambda share: 5000 * (1 - math.exp(-4 * share)), "a quarter"),
        ("a gentle bend", lambda share: 5000 * share * (1 - 0.4 * share), "of late it grows at"),
        ("one that has just become full", lambda share: 5000 * min(0.88, share) ** 1.3, "it has just stopped"),
        ("a step", lambda share: 5000.0 * (share > 0.4), "a quarter"),
        ("nothing", lambda _: 0.0, "nothing feeds it"),
    ],
)
def test_what_bends_or_jumps_or_stops_is_none(what: str, level: Callable[[float], float], words: str) -> None:
    """The reason is given in words."""
    assert straight(grown(level)).startswith(words), what


def test_few_large_things_are_judged_as_many_small_ones() -> None:
    """Twenty entries that come by chance scatter by a quarter; twenty thousand may not."""
    chance = random.Random(4)
    uneven = sorted(chance.random() for _ in range(20))
    level = lambda share: float(sum(at <= share for at in uneven))  # noqa: E731
    assert straight(grown(level, discrete=True)) == ""
    assert straight(grown(lambda share: 1000 * level(share), discrete=True)) != ""


def test_the_floor_is_never_undercut_again() -> None:
    """Dips are the level, peaks are not; the last rows are held to the line below them."""
    dipping = [10.0 * row - 100 * (row % 7 == 6) - 100 * (row % 7 == 5) for row in range(96)]
    floor = floor_of(dipping)
    assert all(a <= b for a, b in pairwise(floor))
    assert floor[-1] <= max(dipping)
    assert floor_of([3.0, 1.0, 2.0]) == sorted(floor_of([3.0, 1.0, 2.0]))


def test_growth_that_began_late_is_found_where_it_began() -> None:
    """Three hours level, one of growth: the growth begins at the last moment at the old level."""
    values = [100.0 + max(0, row - 180) * 10 for row in range(241)]
    first = next(begins(values, floor_of(values), MINUTES))
    assert 178 <= first <= 184


def test_a_tide_that_comes_back_breaks_no_new_ground() -> None:
    """It rises to where it has been before."""
    tide = [1000 + 900 * math.sin(row / 240 * 4 * math.pi - 0.5 * math.pi) for row in range(181)]
    found = [begin for begin in begins(tide, floor_of(tide), MINUTES) if begin > 60]
    assert found == []


# -- saturation --------------------------------------------------------------------------------------------------


def test_a_cache_shows_that_it_fills_when_counts_allow_it() -> None:
    """With 20,000 entries a slight bend is certain; with 60 it is chance."""
    bend = lambda share: share - 0.12 * share * share  # noqa: E731
    assert fills(grown(lambda share: 20_000 * bend(share), discrete=True))
    assert not fills(grown(lambda share: 60 * bend(share), discrete=True))
    ratio, error = saturation(grown(lambda share: 20_000 * bend(share), discrete=True))
    assert ratio == pytest.approx(0.87, abs=0.02)
    assert error < 0.03


def test_a_leak_does_not_fill() -> None:
    """A straight line, and one that steepens."""
    assert not fills(grown(lambda share: 20_000 * share, discrete=True))
    assert not fills(grown(lambda share: 20_000 * share**1.3, discrete=True))


# -- what feeds it -----------------------------------------------------------------------------------------------


def traffic(seed: int = 1) -> dict[str, list[float]]:
    """Three routes whose mix changes."""
    chance = random.Random(seed)
    found: dict[str, list[float]] = {}
    for route in ("GET /a", "GET /b", "GET /c"):
        so_far = 0.0
        found[route] = [so_far := so_far + chance.randrange(0, 100) for _ in MINUTES]
    return found


def summed(routes: dict[str, list[float]]) -> list[float]:
    return [sum(row) for row in zip(*routes.values(), strict=True)]


def chosen(levels: Sequence[float], candidates: Mapping[str, Sequence[float]]) -> str:
    return Feeding(MINUTES, candidates).chosen(levels, 0, len(MINUTES) - 1)


def test_the_route_that_feeds_it_is_found() -> None:
    """One of three, by its windows."""
    routes = traffic()
    levels = [3 * requests for requests in routes["GET /b"]]
    assert chosen(levels, feeds(MINUTES, summed(routes), routes)) == "GET /b"


def test_all_requests_and_time_feed_too() -> None:
    """What every request keeps, and what a timer keeps while nobody comes."""
    routes = traffic()
    candidates = feeds(MINUTES, summed(routes), routes)
    assert chosen([2 * requests for requests in summed(routes)], candidates) == REQUESTS
    assert chosen([0.5 * time for time in MINUTES], candidates) == TIME
    assert set(feeds(MINUTES, [0.0] * len(MINUTES), {})) == {TIME}


# -- survival ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("oldest", "turned"),
    [
        ([7] * 20, False),
        (list(range(20)), True),
        ([7] * 19 + [8], False),  # the entry that was there from the start was deleted
        ([7, None, 7, None], None),
        ([], None),
    ],
)
def test_the_first_entry_of_a_queue_keeps_changing(oldest: Sequence[int | None], turned: bool | None) -> None:
    """A leak's does not, and one change is none."""
    assert turned_over(oldest) is turned


# -- trailing traffic --------------------------------------------------------------------------------------------


def test_a_store_with_a_lifetime_follows_the_traffic_of_late() -> None:
    """In a ramp that steepens a store grows as the requests of the last half hour do; what is kept as all of them."""
    so_far = 0.0
    rates = [math.exp(row / 60) * (1 + 0.5 * math.sin(row / 8)) for row in range(241)]
    requests = [so_far := so_far + 60 * rate for rate in rates]
    alive = [requests[row] - requests[max(0, row - 30)] for row in range(241)]
    window = follows_traffic(MINUTES, requests, [0.2 * number for number in alive], 60)
    assert window is not None
    assert window <= 3600
    steady = [100.0 * row for row in range(241)]
    assert follows_traffic(MINUTES, steady, [0.2 * number for number in steady], 0) is None
    assert follows_traffic(MINUTES, [0.0] * 241, MINUTES, 0) is None


# -- steps -------------------------------------------------------------------------------------------------------


def test_pools_that_double_are_growth() -> None:
    """Each as large as all before."""
    assert doubles(grown(lambda share: 2.0 ** int(math.log2(1 + 1000 * share)), rows=481))
    assert not doubles(grown(lambda share: 1000 * share, rows=481))
    assert not doubles(grown(lambda share: 500.0 * (share > 0.5) + 500.0 * (share > 0.9), rows=481))


@pytest.mark.parametrize(("power", "goes_on"), [(1.0, True), (0.9, False), (0.85, False)])
def test_a_table_that_doubles_ever_later_fills(power: float, goes_on: bool) -> None:
    """Its keys come again and again: each new one takes more requests than the one before."""
    assert doubles(grown(lambda share: 2.0 ** int(math.log2(1 + 700 * share**power)), rows=481)) is goes_on


@pytest.mark.parametrize(
    ("what", "steps", "doubling"),
    [
        ("each as large as all before", {0.1: 125, 0.19: 125, 0.375: 250, 0.75: 500}, True),
        ("a few large things, ever more seldom", {0.05: 350, 0.19: 130, 0.375: 180, 0.75: 340}, False),
        ("a large one sooner than twice as late", {0.1: 125, 0.2: 125, 0.45: 250, 0.6: 500}, False),
    ],
)
def test_large_things_that_come_by_chance_do_not_double(what: str, steps: dict[float, float], doubling: bool) -> None:
    """Half of what there is came in the last step, and took half of what fed it; so did the one before."""
    level = lambda share: sum(height for at, height in steps.items() if share >= at)  # noqa: E731
    assert doubles(grown(level, rows=481)) is doubling, what


# -- memory beside what was sampled ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "beside", "times"),
    [
        ("nothing", lambda _: 0.0, 1.0),
        ("half as much again", lambda share: 5_000 * share, 1.5),
        ("what was loaded at first", lambda share: 8_000 * min(share, 0.2), 1.0),
        ("what came late", lambda share: 8_000.0 * (share > 0.7), 1.0),
        ("more at first than later", lambda share: 5_000 * share + 4_000 * min(share, 0.4), 1.5),
        ("what was freed meanwhile", lambda share: -2_000 * share, 0.8),
    ],
)
def test_memory_beside_a_sample_comes_with_both_halves_of_it(
    what: str, beside: Callable[[float], float], times: float
) -> None:
    """A thousand things of 10 bytes each."""
    growth = grown(lambda share: 1_000 * share)
    memory = [10 * level + beside(row / 120) for row, level in enumerate(growth.levels)]
    assert times_as_much(growth, 10.0, memory) == pytest.approx(times), what


# -- runs --------------------------------------------------------------------------------------------------------


def _job(times: Sequence[float], sizes: Sequence[float], until: float) -> Growth:
    """A job that has run at some minutes, and left so much each time."""
    level = lambda minute: sum(size for at, size in zip(times, sizes, strict=True) if at <= minute)  # noqa: E731
    rows = int(until) + 1
    return grown(lambda share: level(share * until), rows=rows)


@pytest.mark.parametrize(
    ("what", "times", "sizes", "until", "found"),
    [
        ("each 40 minutes", [5, 45, 85, 125, 165], [100] * 5, 200, Runs(5, 2400.0)),
        ("a little earlier or later", [5, 48, 84, 127, 165], [100, 80, 120, 90, 110], 200, Runs(5, 2430.0)),
        ("four are too few", [5, 45, 85, 125], [100] * 4, 160, None),
        ("the next one is overdue", [5, 35, 65, 95, 125], [100] * 5, 200, None),
        ("now and then", [5, 25, 95, 105, 165], [100] * 5, 200, None),
        ("ever less", [5, 45, 85, 125, 165], [190, 150, 110, 100, 96], 200, None),
        ("one of them brought most", [5, 45, 85, 125, 165], [100, 100, 400, 100, 100], 200, None),
    ],
)
def test_a_job_leaves_about_as_much_each_time(
    what: str, times: list[float], sizes: list[float], until: float, found: Runs | None
) -> None:
    """At even intervals, five times at the least."""
    growth = _job(times, sizes, until)
    assert runs(growth, growth.levels) == found, what


def test_what_rises_and_is_swept_is_no_job() -> None:
    """Its floor rises with each sweep, and there is more of it in between."""
    growth = _job([5, 45, 85, 125, 165], [100] * 5, 200)
    assert runs(growth, [level + 3 * (row % 40) for row, level in enumerate(growth.levels)]) is None
