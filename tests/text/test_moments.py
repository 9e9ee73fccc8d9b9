"""Moments for people."""

from __future__ import annotations

import pytest

from memprof_middleware.text.moments import utc


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (0.0, "1970-01-01 00:00:00 UTC"),
        (1_795_000_000.9, "2026-11-18 11:06:40 UTC"),
        (None, "?"),
        (6.8e16, "?"),
        (-1e30, "?"),
        (float("nan"), "?"),
    ],
)
def test_what_is_no_moment_is_a_question_mark(timestamp: float | None, text: str) -> None:
    """UTC to the second, and no failure over a figure that a foreign file has in its place."""
    assert utc(timestamp) == text
