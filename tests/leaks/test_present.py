"""The end of a reported growth: what is known of why it stands still."""

from __future__ import annotations

import pytest

from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.leaks.cohorts import ObservedCohort
from memprof_middleware.leaks.feed import is_proven
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.line import Growth, floor_of
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.present import Present, ended, level_for

ROWS, FULL = 301, 100
TIMES = [60.0 * row for row in range(ROWS)]
EVEN = [60.0 * row for row in range(ROWS)]
VALUES = [10.0 * min(row, FULL) for row in range(ROWS)]


def finding() -> Finding:
    growth = Growth(0, TIMES[:FULL], EVEN[:FULL], VALUES[:FULL], True)
    return Finding(Population("app.STORE", "container", VALUES), 0.4, 1e8, growth, "requests")


def end(**known: object) -> str:
    now = Present(VALUES, TIMES, EVEN, **known)  # type: ignore[arg-type]
    return ended(floor_of(VALUES), now, 0, finding())


def test_level_alone_is_no_end() -> None:
    """For three hours nothing came, by requests that are as even as time is: a job may rest."""
    assert end() == ""
    now = Present(VALUES, TIMES, EVEN)
    assert level_for(floor_of(VALUES), now, 0, finding()) == pytest.approx(3.4 * 3600, rel=0.1)


def test_as_much_goes_as_comes() -> None:
    """Where the oldest entry has gone again and again since it stands still, it is full."""
    oldest = [max(0, row - FULL) for row in range(ROWS)]
    assert end(oldest=oldest).startswith("it is full")
    assert end(oldest=[7] * ROWS) == ""


@pytest.mark.parametrize(("alive", "reason"), [(0, "it is full: level for 3.4 h"), (16, "")])
def test_what_came_is_gone(alive: int, reason: str) -> None:
    """Entries of the growth were sampled; where none is left, as much goes as comes."""
    sample = ObservedCohort(Cohort(1, 16, alive, 16 - alive, None), TIMES[FULL // 4], TIMES[-1])
    assert end(cohorts=(sample,)) == reason


@pytest.mark.parametrize(("busy", "proven"), [(1, False), (3, True)])
def test_a_feed_is_proven_where_its_rate_varies(busy: int, proven: bool) -> None:
    """Growth that is three times as fast in the busy hours follows the requests and not time."""
    feed = [0.0]
    for row in range(1, 120):
        feed.append(feed[-1] + (busy if row % 40 < 20 else 1))
    assert is_proven(TIMES[:120], [5 * fed for fed in feed], feed) is proven


def test_time_is_no_proven_feed_of_a_job() -> None:
    """A job that adds as much each minute does not follow requests that come and go."""
    feed = [float(sum(3 if one % 40 < 20 else 1 for one in range(row))) for row in range(120)]
    assert not is_proven(TIMES[:120], [5.0 * row for row in range(120)], feed)
