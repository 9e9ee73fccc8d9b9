"""Untrusted text is made safe once, where it enters."""

from __future__ import annotations

import pytest

from memprof_middleware.model.clean import clean, fold_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("GET /cart/{id}", "GET /cart/{id}"),
        ("/größe/日本", "/größe/日本"),
        ("/x\n[CRITICAL] forged", "/x?[CRITICAL] forged"),
        ("a\x1b]0;PWNED\x07", "a?]0;PWNED?"),
        ("a\u202eb\u2066c\u200bd", "a?b?c?d"),
        ("a\x00b\x7fc\x85d\u2028e", "a?b?c?d?e"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_control_characters_and_bidirectional_marks_are_replaced(given: str, expected: str) -> None:
    """What could forge a line, a terminal or a direction becomes a question mark; letters of any script stay."""
    assert clean(given) == expected


def test_it_is_cut_before_it_is_looked_at() -> None:
    """A text of megabytes costs as much as one of its first characters."""
    assert clean("\n" * 10**6, 3) == "???"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("request_id", "request_id"),
        ("tenant-17", "tenant-#"),
        ("session 6f1c0b7e-1111-4222-8333-944455556666", "session #"),
        ("cache:deadbeef01", "cache:#"),
        ("a\nb1", "a?b#"),
    ],
)
def test_what_tells_one_of_many_is_folded(given: str, expected: str) -> None:
    """Numbers, UUIDs and longer tokens with digits become a hash sign; words stay."""
    assert fold_name(given) == expected
