"""Growth that ends by its own word before a limit is reached."""

from __future__ import annotations

import pytest

from memprof_middleware.leaks.account import Books
from memprof_middleware.leaks.ceiling import ends_before
from memprof_middleware.model import MB
from tests.leaks.process import Process

HOURS = 3 * 3600.0


def filled(bound: int | None, minutes: int = 180, others: float = 0.0) -> Process:
    """A cache that gains 0.1 MB a minute, and other growth in MB a minute."""
    process = Process()
    process.keeps("app.CACHE", lambda minute: 10 * minute, 10_000, bound=bound)
    process.native = lambda minute: others * MB * minute
    process.run(minutes)
    return process


@pytest.mark.parametrize(
    ("bound", "left_mb", "ends"), [(2_000, 10, True), (2_000, 1, False), (20_000, 10, False), (None, 10, False)]
)
def test_a_cache_ends_where_it_says_so(bound: int | None, left_mb: float, ends: bool) -> None:
    """Of 2,000 entries 1,800 are there: 2 MB are to come, which is before 10 MB are used and after 1 MB."""
    assert ends_before(filled(bound).past, left_mb * MB, HOURS) is ends


@pytest.mark.parametrize(("others", "ends"), [(0.01, True), (0.1, False)])
def test_a_leak_beside_a_cache_goes_on(others: float, ends: bool) -> None:
    """Of 10 MB the cache takes 2 more; a leak as fast as it takes 9 in the next hour and a half, a slow one takes 1."""
    assert ends_before(filled(2_000, others=others).past, 10 * MB, HOURS) is ends


def test_a_cache_that_was_full_long_ago_is_no_reason() -> None:
    """Only the growth of the period counts, and that is of something else."""
    process = filled(1_800)
    process.stores["app.CACHE"] = (lambda _: 1_800, *process.stores["app.CACHE"][1:])
    process.native = lambda minute: 0.1 * MB * (minute - 180)
    process.run(240)
    assert not ends_before(process.past, 10 * MB, HOURS)


@pytest.mark.parametrize(("after", "ends"), [(0.0, True), (4.0, False)])
def test_what_was_freed_is_used_again_first(after: float, ends: bool) -> None:
    """A buffer of 18 MB is emptied after three hours: its memory is there for what comes next, unless that is more."""
    process = Process()
    process.blocks = lambda minute: 200_000 + 1_000 * minute * (minute < 180)
    process.mapped = lambda minute: 100_000 * min(minute, 179) + after * MB * max(0, minute - 180)
    process.run(190)
    assert ends_before(process.past, 5 * MB, HOURS) is ends


def test_a_bound_that_is_passed_is_none() -> None:
    """What holds more than it says goes on."""
    assert not ends_before(filled(1_000).past, 10 * MB, HOURS)


def test_the_account_is_made_once_for_all_who_ask_in_one_beat() -> None:
    """The forecast and the judge ask for the same; after another reading it is made anew."""
    process = filled(2_000)
    books = Books(process.past)
    first = books.account()
    assert books.account() is first
    process.run(1)
    assert books.account() is not first
