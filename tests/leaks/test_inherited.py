"""What becomes of the leaks of a worker that was replaced."""

from __future__ import annotations

import dataclasses

import pytest

from memprof_middleware.analysis.memory import NATIVE
from memprof_middleware.config import Config
from memprof_middleware.leaks.inherited import Outcome, judged
from memprof_middleware.model import MB, Leak
from tests.leaks.process import ROOM, Process


def leak(name: str, path: str = "") -> Leak:
    """A confirmed leak: one for each of 100 requests a minute, of 10 KiB."""
    return Leak(
        name=name, state="confirmed", severity="high", first=0, last=12_000, growth_percent=900.0, path=path,
        holder=path, since=0.0, detected_at=0.0, snapshots=90, growth_per_hour=6000.0, growth_per_request=1.0,
        bytes_per_hour=60.0 * MB,
    )  # fmt: skip


def after(minutes: int, *inherited: Leak, found: tuple[Leak, ...] = (), process: Process | None = None) -> Outcome:
    """The outcome in a successor of that age; by itself it keeps nothing."""
    process = process or Process()
    process.run(minutes)
    by_name = {one.name: one for one in found}
    return judged(inherited, by_name, process.past, ROOM, Config())


def test_one_holder_is_one_incident_under_whatever_name() -> None:
    """The old worker told of the lines of orders, the new one tells of the orders: the alert goes on."""
    old, new = leak("shop.Line", "shop.TRAIL[*].lines[*]"), leak("shop.Order", "shop.TRAIL[*]")
    outcome = after(5, old, found=(new,))
    assert outcome.open == ()
    assert outcome.reasons == {}
    assert list(outcome.found) == ["shop.Order"]
    assert outcome.found["shop.Order"].also == ("shop.Line",)
    assert outcome.known["shop.Line"].name == "shop.Order"
    young = after(5, old, found=(dataclasses.replace(new, state="suspected"),))
    assert (young.open, young.found) == ((old,), {})


def test_another_holder_is_another_incident() -> None:
    """Both are told."""
    old, new = leak("shop.Line", "shop.TRAIL[*]"), leak("shop.User", "shop.USERS[*]")
    outcome = after(5, old, found=(new,))
    assert ([one.name for one in outcome.open], list(outcome.found)) == (["shop.Line"], ["shop.User"])


@pytest.mark.parametrize(("minutes", "over"), [(20, False), (120, False), (150, True)])
def test_memory_is_over_when_it_would_have_taken_what_confirms_a_leak(minutes: int, over: bool) -> None:
    """60 MiB an hour need 140 minutes for 35 % of a room of 400 MiB."""
    memory = dataclasses.replace(
        leak(NATIVE), kind="native", growth_per_hour=60.0 * MB, last=round(240 * MB), growth_per_request=None
    )
    outcome = after(minutes, memory)
    assert (outcome.open == (), list(outcome.reasons)) == (over, [NATIVE] if over else [])


def test_what_grows_here_is_not_over() -> None:
    """Nobody has told of it yet: it may be slow to be found."""
    process = Process()
    process.types["shop.Line"] = lambda minute: 50 * minute
    outcome = after(60, leak("shop.Line"), process=process)
    assert [one.name for one in outcome.open] == ["shop.Line"]


def test_a_route_that_nobody_calls_keeps_nothing() -> None:
    """The leak is of its requests, not of all."""
    calls = dataclasses.replace(leak("shop.Line"), route="POST /cart")
    assert after(120, calls).open == (calls,)
    assert after(120, dataclasses.replace(calls, route="GET /a")).open == ()


def test_a_suspicion_is_handed_on_for_a_few_snapshots() -> None:
    """It was no alert: the new worker begins anew."""
    suspicion = dataclasses.replace(leak("shop.Line"), state="suspected")
    assert after(1, suspicion).open == (suspicion,)
    assert after(1, suspicion, found=(suspicion,)).open == ()
