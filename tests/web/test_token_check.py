"""A token is told from guesses, and only guesses are slowed."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from memprof_middleware.web.http.token_check import TokenCheck

TOKEN = "open-sesame-42?"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def check(clock: Clock) -> TokenCheck:
    return TokenCheck(TOKEN, clock)


@pytest.mark.parametrize(
    "given", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "open-sesame-42\udcff", "\xe9", "x" * 60_000]
)
def test_only_the_token_opens(check: TokenCheck, given: str) -> None:
    """No part of it, nothing longer, and nothing that turns into it on the way to bytes."""
    assert not check.opens(given)
    assert check.opens(TOKEN)


@pytest.mark.parametrize("many", [False, True], ids=["one address", "many addresses"])
def test_a_thousand_wrong_ones_shut_nobody_out(check: TokenCheck, clock: Clock, many: bool) -> None:
    """Behind a proxy all have one address: after a thousand guesses the token opens as before, and guesses wait."""
    waits = [check.wrong(f"10.{number % 256}.{number // 256}.7" if many else "10.0.0.1") for number in range(1000)]
    assert waits.count(0) == (100 if many else 10)
    assert 1 <= max(waits) <= 6
    assert check.opens(TOKEN)
    clock.now += 6.0
    assert check.wrong("10.0.0.1") == 0


def test_an_address_is_slowed_by_itself(check: TokenCheck) -> None:
    """Who guesses from another network is heard; all addresses of an IPv6 network of 64 bits are one guesser."""
    for number in range(10):
        assert check.wrong(f"2001:db8::{number:x}") == 0
    assert check.wrong("2001:db8::ffff:1") > 0
    assert check.wrong("2001:db8:0:1::1") == 0
    for _ in range(10):
        check.wrong("192.0.2.1")
    assert check.wrong("::ffff:192.0.2.1") > 0
    assert check.wrong("192.0.2.2") == 0


@pytest.mark.parametrize("client", [None, "", "unix:", "testclient", "1.2.3", "x" * 100_000, "fe80::1%" + "z" * 5000])
def test_what_is_no_address_counts_as_well(check: TokenCheck, client: str | None) -> None:
    """A Unix socket, or a server that tells anything, makes no way around the pace."""
    assert [check.wrong(client) > 0 for _ in range(12)] == [False] * 10 + [True] * 2


def test_it_does_not_grow_with_those_who_guess(check: TokenCheck, clock: Clock) -> None:
    """20,000 addresses, those of long names among them, cost less than 400 kB."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            clock.now += 1.0
            check.wrong(f"2001:{number % 65536:x}:{number // 65536:x}::1%{'z' * 200}")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 400_000
    assert sum(map(sys.getsizeof, check._spent)) <= 1024 * (sys.getsizeof(b"") + 8)
