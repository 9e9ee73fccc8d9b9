"""The windows that one worker leaves for the one that judges the routes of all."""

from __future__ import annotations

import json
import random

import pytest

from memprof_middleware.model import RouteWindows

ROWS = [
    (60.0, 0, 1_000, 12, 0, {"GET /a": 3, "GET /b": 255}),
    (59.999, -2, None, -7, 300, {}),
    (1e-3, 5, -(2**40), 2**40, 0, {"GET /größe": 1}),
]


def test_they_come_back_as_they_were():
    """What was packed is unpacked, to the millisecond and with what was not known."""
    packed = RouteWindows.of("in use", ROWS)
    found = RouteWindows.unpack(packed.pack())
    assert found == packed
    assert (found.source, found.routes, len(found)) == ("in use", ("GET /a", "GET /b", "GET /größe"), 3)
    assert list(found.rows(10)) == ROWS
    assert list(found.rows(1)) == ROWS[-1:]


def test_none_are_none():
    """A worker without windows says so."""
    assert len(RouteWindows.unpack(RouteWindows.of("in use", []).pack())) == 0


@pytest.mark.parametrize(
    ("most", "size"), [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32, 8), (2**63, 8)]
)
def test_they_take_as_little_room_as_they_can(most, size):
    """A number of requests takes the bytes that the largest one needs."""
    windows = RouteWindows.of("in use", [(60.0, 0, 0, 0, 0, {"GET /a": most})])
    assert windows.requests.itemsize == size
    (row,) = RouteWindows.unpack(windows.pack()).rows(1)
    assert row[-1] == ({"GET /a": most} if most else {})


def test_sixty_routes_fit_into_the_room_that_is_reserved():
    """A hundred and twenty windows over sixty routes take 13 kB, of the 32 that every worker has for sure."""
    dice = random.Random(1)
    rows = [(60.0, 0, 1, 1, 0, {f"GET /r{n}/{{id}}": dice.randrange(200) for n in range(60)}) for _ in range(120)]
    assert len(RouteWindows.of("in use", rows).pack()) < 14_000


def head_of(**changes: object) -> bytes:
    """Windows whose first line says something else than what follows."""
    line, _, tables = RouteWindows.of("in use", ROWS).pack().partition(b"\n")
    return json.dumps(json.loads(line) | changes).encode() + b"\n" + tables


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]\n",
        head_of(source=None),
        head_of(routes="GET /a"),
        head_of(routes=["GET /a", 1, "GET /b"]),
        head_of(routes=[]),
        head_of(windows=-3),
        head_of(windows=True),
        head_of(windows=2**62),
        head_of(windows=3.0),
        head_of(code="d"),
        head_of(code=["B"]),
        head_of(code=None),
        RouteWindows.of("in use", ROWS).pack()[:-1],
        RouteWindows.of("in use", ROWS).pack() + b"\0",
    ],
)
def test_what_is_no_windows_is_refused(data):
    """Bytes that do not say what they are, or are not as many as they say, are one kind of error."""
    with pytest.raises(ValueError, match=r"windows of a worker|it (is|holds)"):
        RouteWindows.unpack(data)
