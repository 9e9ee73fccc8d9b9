"""One urgency for the log, alerts, page, terminal, sinks and evidence."""

from __future__ import annotations

import logging

import pytest

from memprof_middleware.model.urgency import fill_urgency, hours_left, log_level, urgency


@pytest.mark.parametrize(
    ("hours", "more", "expected"),
    [
        (None, {}, "none"),
        (None, {"leaking": True}, "plan"),
        (30.0, {"leaking": True}, "plan"),
        (30.0, {}, "none"),
        (23.0, {}, "today"),
        (3.9, {}, "now"),
        (3.9, {"watched_seconds": 600}, "today"),
        (3.9, {"watched_seconds": 600, "leaking": True}, "now"),
        (4.1, {"watched_seconds": 600, "leaking": True}, "today"),
        (0.6, {"watched_seconds": 600, "leaking": True}, "now"),
        (0.4, {"watched_seconds": 600, "leaking": True}, "now"),
        (0.0, {"watched_seconds": 600, "leaking": True}, "now"),
        (0.4, {"watched_seconds": 600}, "today"),
        (3.9, {"watched_seconds": 600, "fill": "today"}, "now"),
        (30.0, {"fill": "today", "leaking": True}, "today"),
        (None, {"fill": "now"}, "now"),
        (91 * 24.0, {"leaking": True}, "none"),
    ],
)
def test_urgency_comes_from_the_time_to_the_limit(hours, more, expected):
    """A limit in less than 4 h asks for action now, in 24 h today; growth that takes 90 days asks for nothing.

    A figure of less than half an hour asks for none now, unless a leak is confirmed.
    """
    assert urgency(hours, **more) == expected


@pytest.mark.parametrize(
    ("percent", "levels", "expected"),
    [
        (None, (), "none"),
        (79.0, (), "none"),
        (80.0, (), "today"),
        (90.0, (), "now"),
        (90.0, (92.0, 95.0), "none"),
        (93.0, (92.0, 95.0), "today"),
    ],
)
def test_memory_in_use_is_urgent_by_its_thresholds(percent, levels, expected):
    """Above the warning it asks for action today, above the critical threshold now; not known asks for nothing."""
    assert fill_urgency(percent, *levels) == expected


def test_levels_follow_the_urgency():
    """Less than half an hour is CRITICAL; nothing to do is INFO."""
    assert [log_level("none"), log_level("plan"), log_level("today")] == [20, 30, 30]
    assert [log_level("now", 3.0), log_level("now", 0.4)] == [40, 50]
    assert log_level("now") == logging.ERROR


def test_what_does_not_grow_reaches_no_limit():
    """Hours are what is left by the rate; without growth there are none."""
    assert hours_left(100.0, 50.0) == 2.0
    assert hours_left(100.0, 0.0) is None
    assert hours_left(None, 50.0) is None
