"""JSON of other processes is made safe where it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memprof_middleware.model.foreign import parsed, parsed_object

HOSTILE = "a\x1b]0;PWNED\x07\n\u202e"
SAFE = "a?]0;PWNED???"


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HOSTILE, SAFE),
        ([HOSTILE, [{HOSTILE: HOSTILE}]], [SAFE, [{SAFE: SAFE}]]),
        ({"x": 1, "y": None, "z": [True, 1.5]}, {"x": 1, "y": None, "z": [True, 1.5]}),
        ('/größe \\ "quoted"', '/größe \\ "quoted"'),
        ("x\x7f", "x?"),
        ("x" * 5000, "x" * 5000),
    ],
)
def test_every_text_is_safe(given: Any, expected: Any, ascii_only: bool) -> None:
    """Values and names, in any depth, written with escapes or as they are; figures and long texts stay."""
    assert parsed(json.dumps(given, ensure_ascii=ascii_only).encode()) == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'["\\n",' + b"[" * 100_000, '"\u202e"'.encode("utf-16"), b"9" * 5000],
)
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    """One error for all that cannot be read: cut, nested without end, in another encoding, an endless number."""
    with pytest.raises(ValueError, match=r".+"):
        parsed(data)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e300", "-1e19", "9" * 400, "-" + "9" * 20])
def test_numbers_of_no_use_are_refused(number: str) -> None:
    """What no metric can hold, or nobody can reckon with, is found when it is read, wherever it stands."""
    with pytest.raises(ValueError, match="out of range"):
        parsed(f'{{"a": [{number}]}}'.encode())


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"x"'])
def test_an_object_is_asked_for(data: bytes) -> None:
    """Who needs an object is told what there is instead."""
    with pytest.raises(ValueError, match="not an object"):
        parsed_object(data)
