"""Survival of cohorts: the pure function, what the judge makes of it, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.leaks.cohorts import Cohorts, ObservedCohort
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.judge import look
from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.leaks.survival import Survival, survival, wilson
from memprof_middleware.model import MB
from tests.leaks.process import ROOM

HOURS = 4
TIMES = [60.0 * minute for minute in range(HOURS * 60 + 1)]
END = TIMES[-1]


def line(first: float = 0.0, last: float = 1000.0) -> tuple[Growth, list[float]]:
    """A straight line over four hours."""
    values = [first + (last - first) * time / END for time in TIMES]
    return Growth(0, TIMES, TIMES, values, discrete=True), values


def asked(taken: float, size: int, alive: int, gone: int | None = None, number: int = 0) -> ObservedCohort:
    return ObservedCohort(Cohort(number, size, alive, size - alive if gone is None else gone), taken * 3600, END)


def left(*cohorts: ObservedCohort, first: float = 0.0) -> Survival | None:
    growth, values = line(first)
    return survival(cohorts, growth, values, TIMES)


# -- must ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "alive"), [(16, 16), (32, 30), (48, 42)])
def test_a_cohort_that_is_there_after_hours_stays(size: int, alive: int) -> None:
    """The lower end of the interval is above seven in ten."""
    found = left(asked(1.5, size, alive))
    assert found is not None
    assert (found.stays, found.dies_out) == (True, False)
    assert found.seconds == 2.5 * 3600


@pytest.mark.parametrize(("size", "alive"), [(16, 0), (32, 1), (48, 4)])
def test_a_cohort_that_is_gone_dies_out(size: int, alive: int) -> None:
    """A growth that is kept would have left all of them."""
    found = left(asked(1.5, size, alive))
    assert found is not None
    assert (found.stays, found.dies_out) == (False, True)


def test_cohorts_of_the_first_half_are_taken_together() -> None:
    """Three small ones tell what one does not; the youngest says how long it has been seen."""
    few = [asked(hour, 9, 9, number=number) for number, hour in enumerate((0.5, 1.0, 1.9))]
    found = left(*few, asked(2.5, 100, 0, number=3))
    assert found is not None
    assert (found.size, found.alive) == (27, 27)
    assert found.stays
    assert found.seconds == pytest.approx(2.1 * 3600)


# -- must not -----------------------------------------------------------------------------------------------------


def test_a_leak_in_much_traffic_does_not_die_out() -> None:
    """9,000 sessions that pass, 1,000 that stay: after an hour 95 % of a sample are gone, as they have to be."""
    found = left(asked(1.0, 48, 2), first=9_000)
    assert found is not None
    assert (found.stays, found.dies_out) == (False, False)
    assert found.needed == pytest.approx(250 / 9250, abs=0.01) or found.needed < 0.05


def test_of_a_sample_of_the_youngest_it_is_not_asked_that_a_leak_is_among_them() -> None:
    """A search finds the 200 youngest of 3,500: they may all be the traffic's, and the others the leak's."""
    growth, values = line(first=1_500, last=5_500)
    youngest = ObservedCohort(Cohort(0, 32, 0, 32, among=200), 2 * 3600.0 - 60, END)
    found = survival([youngest], growth, values, TIMES)
    assert found is not None
    assert not found.dies_out
    nearly_all = ObservedCohort(Cohort(0, 32, 0, 32, among=3_400), 2 * 3600.0 - 60, END)
    found = survival([nearly_all], growth, values, TIMES)
    assert found is not None
    assert found.dies_out


@pytest.mark.parametrize(
    "cohorts",
    [
        (),
        (asked(1.5, 7, 7),),  # too few
        (asked(3.0, 48, 48),),  # of the second half
        (ObservedCohort(Cohort(0, 48, 48, 0), -3600.0, END),),  # before it began to grow
        (ObservedCohort(Cohort(0, 48, 48, 0), 3600.0, 1.5 * 3600),),  # not asked since the first half
    ],
)
def test_what_was_not_asked_at_the_right_time_says_nothing(cohorts: Sequence[ObservedCohort]) -> None:
    """None of them is evidence."""
    assert left(*cohorts) is None


def test_what_cannot_be_told_speaks_on_neither_side() -> None:
    """16 entries, of which nobody knows what has become."""
    found = left(asked(1.5, 16, 0, gone=0))
    assert found is not None
    assert (found.stays, found.dies_out) == (False, False)


def test_the_interval_of_wilson() -> None:
    """Known values: 10 of 10, 0 of 10, 5 of 10, and of nothing anything."""
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)


# -- what is remembered -------------------------------------------------------------------------------------------


def test_a_cohort_is_as_old_as_when_it_was_seen_first() -> None:
    """Whatever it is asked later; one that is not asked any more is forgotten."""
    cohorts = Cohorts()
    cohorts.add({"app.Cart": [Cohort(0, 32, 32, 0)]}, 60.0)
    cohorts.add({"app.Cart": [Cohort(0, 32, 30, 2), Cohort(1, 32, 32, 0)]}, 120.0)
    assert [(one.taken, one.at) for one in cohorts.of("app.Cart")] == [(60.0, 120.0), (120.0, 120.0)]
    cohorts.add({"app.Cart": [Cohort(1, 32, 31, 1)]}, 180.0)
    assert [(one.taken, one.cohort.alive) for one in cohorts.of("app.Cart")] == [(120.0, 31)]
    assert cohorts.of("app.Order") == ()


def test_only_so_many_are_remembered() -> None:
    """Those that were asked last, whatever strangers make the process keep."""
    cohorts = Cohorts()
    for number in range(500):
        cohorts.add({f"app.Kind{number}": [Cohort(0, 32, 32, 0)]}, 60.0 * number)
    known = [number for number in range(500) if cohorts.of(f"app.Kind{number}")]
    assert known == list(range(404, 500))


# -- the judge ----------------------------------------------------------------------------------------------------


def judged(
    share: Callable[[float], float],
    *,
    container: bool,
    oldest: Callable[[int], int | None],
    clock: Callable[[int], float] = lambda minute: 60.0 * minute,
) -> Finding:
    """200 entries of 10 kB a minute for four hours; of a cohort this share is there, by its age in hours."""
    past, taken, due = Past(60), list[int](), 16.0
    for minute in range(HOURS * 60):
        number, size = 200 * minute, 10_000
        if minute >= due:  # as the product takes them
            due *= 1.25
            taken.append(minute)
        known = [(index, round(48 * share((minute - at) / 60))) for index, at in enumerate(taken)]
        cohorts = tuple(Cohort(index, 48, alive, 48 - alive) for index, alive in known[-6:])
        native = 10 * MB + size * number
        kept = {"app.KEPT": Seen(number, entry_bytes=size, oldest=oldest(minute), cohorts=cohorts)}
        past.add(
            Reading(
                clock(minute),
                {"GET /": 60 * minute},
                collections=minute // 30,
                heap=100 * MB + native,
                native=native,
                retained=MB,
                blocks=200_000,
                counts={} if container else {"app.Cart": number},
                containers=kept if container else {},
                cohorts={} if container else {"app.Cart": cohorts},
            )
        )
    name = "app.KEPT" if container else "app.Cart"
    return next(one for one in look(past, ROOM, told=True) if name in one.population.names)


@pytest.mark.parametrize("container", [True, False])
def test_what_stays_is_confirmed_and_told_in_words(container: bool) -> None:
    """All 48 are there: that takes the place of the traffic."""
    found = judged(lambda _: 1.0, container=container, oldest=lambda _: 7)
    assert found.confirmed
    what = "entries" if container else "objects"
    assert f"All 144 {what} that were sampled 2.0 h ago are still there" in found.evidence
    assert "Does not follow the traffic of the last minutes or hours" not in found.evidence


@pytest.mark.parametrize("container", [True, False])
def test_what_dies_out_is_no_leak_however_straight_it_grows(container: bool) -> None:
    """A store with a lifetime in a ramp, with a permanent entry at its front: a straight line, and nothing stays."""
    found = judged(lambda hours: max(0.0, 1 - 2 * hours), container=container, oldest=lambda _: 7)
    assert not found.passed
    assert found.against == "of 144 that were there 119 min ago 0 are left"


def test_missing_evidence_blocks_nothing() -> None:
    """Neither an oldest entry nor a cohort: it is judged by the others."""
    found = judged(lambda _: 1.0, container=True, oldest=lambda _: None)
    without = [words for words in found.evidence if "sampled" not in words]
    assert found.confirmed
    assert not any("oldest" in words for words in without)


def test_a_part_that_stays_is_told_with_its_number() -> None:
    """Five of eight: no proof for either side, and the other tests decide."""
    found = judged(lambda _: 30 / 48, container=False, oldest=lambda _: None)
    assert found.confirmed
    assert "Of 144 objects that were sampled 2.0 h ago, 90 are still there" in found.evidence
    assert "Does not follow the traffic of the last minutes or hours" in found.evidence


@pytest.mark.parametrize("jump", [-86_400.0, 1200.0, 86_400.0])
def test_a_clock_that_jumps_makes_no_cohort_old(jump: float) -> None:
    """By a day in the middle: the cohort is hours old, and no older."""
    clock = lambda minute: 60.0 * minute + (jump if minute > 200 else 0.0)  # noqa: E731
    found = judged(lambda _: 1.0, container=True, oldest=lambda _: None, clock=clock)
    [words] = [words for words in found.evidence if "sampled" in words]
    hours = float(words.partition("sampled ")[2].partition(" h")[0])
    assert 1.5 <= hours <= 3.0
