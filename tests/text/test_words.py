"""Figures as people read them."""

from __future__ import annotations

import math

import pytest

from memprof_middleware.text.words import DASH, figure


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (1390.0, "1,390"),
        (12345678.0, "12,345,678"),
        (99.96, "100"),
        (19.94, "19.9"),
        (5.4, "5.4"),
        (0.499, "0.499"),
        (0.00001234, "0.0000123"),
        (-0.35, "-0.35"),
        (None, DASH),
        (math.nan, DASH),
    ],
)
def test_a_figure_has_three_digits_and_no_exponent(value, told):
    """Large figures are written in full, small ones with the digits that say something."""
    assert figure(value) == told
