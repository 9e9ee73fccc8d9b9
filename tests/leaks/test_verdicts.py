"""How sure a verdict is, when a suspicion is confirmed, and when it is over."""

from __future__ import annotations

import dataclasses

import pytest

from memprof_middleware import Config, Leak, MemorySnapshot
from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.load import Load
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.leaks.life import Life, State
from memprof_middleware.leaks.line import Growth as Growing
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.verdicts import has_ended, heap_per_hour, shared_out, timed, verdict_of
from memprof_middleware.model import FedBy
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.holders import HELD_NATIVE

GROWTH = Growth(
    name="shop.Session",
    kind="objects",
    first=100,
    last=10_600,
    since=1000.0,
    snapshots=40,
    served=10_500.0,
    per_request=1.0,
    per_hour=6000.0,
    steadiness=0.95,
    pace=1.0,
    collections=5,
)
HELD = Incident(GROWTH, (), "shop.SESSIONS", "shop.SESSIONS[*]")


LABORATORY = Config(leak_confirm_requests=10_000, leak_confirm_hours=6)
LINE = Growing(0, [0.0, 3600.0], [0.0, 10_500.0], [100.0, 10_600.0], discrete=True)
PASSED = Finding(
    Population("shop.SESSIONS", "container", [100.0, 10_600.0]),
    0.4,
    40e6,
    LINE,
    "requests",
    evidence=("it has taken 40 MB",),
)


def verdict(
    incident: Incident = HELD,
    before: Leak | None = None,
    config: Config = LABORATORY,
    life: Life | None = None,
    **changes: object,
) -> Leak:
    grown = dataclasses.replace(incident.leader, **changes)  # type: ignore[arg-type]
    found = verdict_of(dataclasses.replace(incident, leader=grown), config, before, FedBy("GET /cart"), life)
    return timed([found], "none", Ahead(80e6))[0]


def test_what_only_grows_is_watched_and_told_to_nobody() -> None:
    """Ten thousand requests, +10,000 %: nobody's memory is in danger, so it is listed and not notable."""
    leak = verdict(config=Config())
    assert (leak.state, leak.notable, leak.severity) == ("suspected", False, "critical")
    assert leak.confidence < 0.7
    assert leak.hours_left is None


@pytest.mark.parametrize(
    ("share", "waits", "seconds"), [(0.28, "", 900.0), (0.28, "a full collection", None), (0.4, "", None)]
)
def test_a_decision_is_promised_only_where_its_time_is_known(share: float, waits: str, seconds: float | None) -> None:
    """What has taken enough waits for evidence, and one more request decides nothing."""
    life = Life(dataclasses.replace(PASSED, share=share, waits=waits), "suspected", 10_600.0, 0.0)
    leak = verdict(config=Config(), life=life)
    assert leak.decided_seconds == (None if seconds is None else pytest.approx(seconds))
    assert (leak.decided_requests is None) is (seconds is None)


@pytest.mark.parametrize("state", ["suspected", "confirmed"])
def test_what_has_passed_the_tests_is_told(state: State) -> None:
    """The verdict has the state of its life, the evidence in words, and the hours that are left."""
    leak = verdict(config=Config(), life=Life(PASSED, state, 10_600.0, 0.0))
    assert (leak.state, leak.notable, leak.holder, leak.route) == (state, True, "shop.SESSIONS[*]", "GET /cart")
    assert leak.evidence[0] == "it has taken 40 MB"
    assert (leak.bytes_per_hour, leak.hours_left) == (40e6, 2.0)


@pytest.mark.parametrize(("share", "confidence"), [(0.35, 0.75), (0.525, 0.82), (0.7, 0.9), (2.0, 0.9)])
def test_memory_that_nothing_counts_is_never_certain(share: float, confidence: float) -> None:
    """A cache of C code, whose maximum nobody can read, looks the same until it is full; less so the more it takes."""
    native = dataclasses.replace(GROWTH, name="native memory", kind="native")
    found = dataclasses.replace(PASSED, population=Population("native memory", "native", [0.0, 40e6]), share=share)
    life = Life(found, "confirmed", 40e6, 0.0)
    outside = Incident(native, (), HELD_NATIVE, HELD_NATIVE)
    assert verdict(outside, config=Config(), life=life).confidence == pytest.approx(confidence, abs=0.011)
    buffer = Incident(native, (), "shop.LOG.buffer", "shop.LOG.buffer")
    assert verdict(buffer, config=Config(), life=life).confidence >= 0.95  # its holder is known: it is no cache of C


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("native memory", HELD_NATIVE, ""),
        ("shop.Session", HELD_NATIVE, HELD_NATIVE),
        ("native memory", "shop.SESSIONS[*]", "shop.SESSIONS[*]"),
    ],
)
def test_what_was_said_of_other_things_is_not_said_of_these(name: str, held: str, said: str) -> None:
    """A leak that goes on under another name has the path that was known, and no word of native memory."""
    before = verdict(Incident(dataclasses.replace(GROWTH, name=name), (), held, held))
    assert verdict(Incident(dataclasses.replace(GROWTH, name="shop.Session"), ()), before).holder == said


def test_what_holds_the_same_elsewhere_is_told_with_it() -> None:
    """So that it is not listed beside it; builtins, which all leaks have, and types in step with memory may be."""
    also = ("shop.RECENT", "shop.Session", "builtins.list")
    for kind, told in (("container", ["shop.SESSIONS", "shop.RECENT"]), ("native", [])):
        one = Population("shop.SESSIONS", kind, [100.0, 10_600.0], also)  # type: ignore[arg-type]
        life = Life(dataclasses.replace(PASSED, population=one), "confirmed", 10_600.0, 0.0)
        assert list(verdict(config=Config(), life=life).also) == told


@pytest.mark.parametrize(("told", "says"), [("native memory", True), ("shop.Session", False)])
def test_only_memory_had_no_owner_at_first(told: str, says: bool) -> None:
    """That memory is accounted for by a container is news; that a session is in the container of sessions is none."""
    leak = verdict(config=Config(), life=Life(PASSED, "confirmed", 10_600.0, 0.0, told=told))
    assert (f"First reported as {told}; shop.SESSIONS accounts for it" in leak.evidence) is says


def test_what_was_over_and_grows_again_says_so() -> None:
    """A relapse is evidence."""
    leak = verdict(config=Config(), life=Life(PASSED, "confirmed", 10_600.0, 0.0, relapses=2))
    assert leak.relapses == 2
    assert "Was over 2 times and grew again" in leak.evidence


def test_routes_that_share_a_leak_have_their_parts_in_the_evidence() -> None:
    """Whoever reads the verdict knows which of them to look at first."""
    shared = FedBy("GET /a and GET /b", 0.95, None, (0.52, 0.43))
    leak = verdict_of(HELD, Config(), None, shared, None)
    assert leak.route == "GET /a and GET /b"
    assert "Several routes share it: GET /a with 52 %, GET /b with 43 %" in leak.evidence


def test_a_laboratory_confirms_what_went_on_long_enough() -> None:
    """Whoever sets the requests has a find confirmed that takes little memory: held by a container, undiminished."""
    leak = verdict()
    assert (leak.state, leak.notable, leak.holder) == ("confirmed", True, "shop.SESSIONS[*]")
    assert leak.confidence >= 0.9


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("it is young", {"served": 9_000.0}),
        ("it slows down, as a cache that fills does", {"pace": 0.5}),
        ("it goes by fits and starts", {"steadiness": 0.2}),
        ("it is small", {"first": 100, "last": 190}),
        ("it is a small part of what is there", {"first": 100_000, "last": 110_000}),
    ],
)
def test_what_is_not_certain_stays_a_suspicion(what: str, changes: dict[str, float]) -> None:
    """Each of these alone keeps a laboratory's suspicion from being confirmed."""
    leak = verdict(**changes)
    assert leak.state == "suspected", what
    assert leak.confidence < 0.9


def test_garbage_is_not_confirmed() -> None:
    """What nobody is known to hold may wait for a collection; two full ones that it survives say that it does not."""
    unknown = Incident(GROWTH, ())
    assert verdict(unknown, collections=1).state == "suspected"
    assert verdict(unknown, collections=2).state == "confirmed"


def test_hours_do_where_there_are_few_requests() -> None:
    """Six hours of growth are as good as 10,000 requests, for whoever has set them."""
    assert verdict(served=300.0, per_hour=10_500 / 5.9).state == "suspected"
    assert verdict(served=300.0, per_hour=10_500 / 6.1).state == "confirmed"


def test_a_confirmed_leak_stays_confirmed_and_keeps_its_date() -> None:
    """A slow hour does not take a verdict back, and what was known of holder and route is not forgotten."""
    first = verdict()
    later = verdict_of(
        dataclasses.replace(HELD, leader=dataclasses.replace(GROWTH, pace=0.3), holder=""), Config(), first, FedBy()
    )
    assert (later.state, later.detected_at) == ("confirmed", first.detected_at)
    assert (later.holder, later.route) == (first.holder, first.route)


@pytest.mark.parametrize(
    ("last", "severity", "notable"),
    [(200, "low", False), (201, "medium", True), (149, "low", False), (251, "high", True), (301, "critical", True)],
)
def test_the_contract_decides_how_bad_it_is(last: float, severity: str, notable: bool) -> None:
    """By growth from first to last; low, and in no laboratory told, is what the contract would not call."""
    leak = verdict(first=100, last=last, served=500.0)
    assert (leak.severity, leak.notable) == (severity, notable)


def ended(values: list[float], requests: list[float] | None = None, snapshots: int = 20) -> bool:
    served = requests or [100.0 * n for n in range(len(values))]
    load = Load([60.0 * n for n in range(len(values))], served, [0.0] * len(values), [0] * len(values))
    leak = dataclasses.replace(verdict(), first=0, last=2000, snapshots=snapshots)
    return has_ended(leak, values, load)


def test_the_end_of_a_leak() -> None:
    """Freed, or level for half as long as it grew; neither a pause of the requests nor a dip is an end."""
    growing = [100.0 * n for n in range(21)]
    assert not ended(growing)
    assert ended([*growing, 100.0])
    assert not ended([*growing, *[2000.0] * 5])
    assert ended([*growing, *[2000.0] * 15])
    assert not ended([*growing, *[2000.0] * 30], [100.0 * min(n, 20) for n in range(51)])
    assert not ended([*growing, 1500.0])


def test_the_end_without_requests() -> None:
    """Where nobody counts requests, a third of the snapshots without a rise is the end."""
    idle = [0.0] * 45
    assert ended([*[100.0 * n for n in range(21)], *[2000.0] * 24], idle)
    assert not ended([50.0 * n for n in range(45)], idle)


def test_a_leak_that_a_setting_confirmed_is_as_urgent_as_the_growth_of_the_heap() -> None:
    """Nobody has weighed it, so the heap's own growth says when the limit is reached; a suspicion has no figure."""

    def taken(config: Config) -> list[Leak]:
        leak = verdict_of(HELD, config, None, FedBy())
        found = shared_out({leak.name: leak}, (), lambda _leak: None, lambda _since: 40e6)
        return timed(list(found.values()), "none", Ahead(80e6))

    [leak] = taken(LABORATORY)
    assert (leak.state, leak.bytes_per_hour, leak.hours_left) == ("confirmed", 40e6, 2.0)
    [leak] = taken(Config())
    assert (leak.state, leak.bytes_per_hour, leak.hours_left) == ("suspected", 0.0, None)


def test_what_the_heap_gains_is_gained_once() -> None:
    """Leaks that a setting confirmed share it by weight, or by number; what the tests have weighed is left out."""
    weights = {"shop.Session": 3000.0, "shop.Note": 1000.0}
    leaks = {
        name: Leak(name=name, severity="high", first=0, last=100, growth_percent=900.0, growth_per_hour=each, since=0.0,
                   detected_at=1.0, snapshots=9, state="confirmed", bytes_per_hour=known)
        for name, each, known in (("shop.Session", 50.0, 0.0), ("shop.Note", 150.0, 0.0), ("shop.Cart", 9.0, 10e6))
    }  # fmt: skip

    def shares(weight: dict[str, float]) -> list[float]:
        found = shared_out(leaks, {"shop.Cart"}, lambda leak: weight.get(leak.name), lambda _since: 50e6)
        return [leak.bytes_per_hour for leak in found.values()]

    assert shares(weights) == pytest.approx([20e6, 20e6, 10e6])
    assert shares({"shop.Note": 1000.0}) == pytest.approx([10e6, 30e6, 10e6])


@pytest.mark.parametrize(
    ("weight", "parts"),
    [(400.0, [10e6, 30e6]), (None, [20e6, 20e6]), (0.0, [0.0, 40e6])],
    ids=["weighed", "not weighed", "nothing"],
)
def test_memory_in_bytes_and_things_share_what_the_heap_gains(weight: float | None, parts: list[float]) -> None:
    """Bytes are no things: beside native memory a leak of objects has its part too."""
    native = 30e6 if weight else 20e6
    leaks = {
        name: Leak(name=name, kind=kind, severity="high", first=0, last=100, growth_percent=900.0, growth_per_hour=each,
                   since=0.0, detected_at=1.0, snapshots=9, state="confirmed")
        for name, kind, each in (("shop.Session", "objects", 25_000.0), ("native memory", "native", native))
    }  # fmt: skip
    found = shared_out(leaks, (), lambda _leak: weight, lambda _since: 40e6)
    assert [leak.bytes_per_hour for leak in found.values()] == pytest.approx(parts)


def test_the_growth_of_the_heap_is_measured_from_when_the_leak_began() -> None:
    """Level for an hour, then 30 MB an hour: a moment at which much more is in use moves nothing."""
    history = History(1000, 10)
    for minute in range(120):
        heap = 100 + 0.5 * max(0, minute - 60) + 50 * (minute == 119)
        history.append(MemorySnapshot(timestamp=60.0 * minute, pid=1, heap_used_mb=heap), None)
    assert heap_per_hour(history, 3600.0) == pytest.approx(30 * 2**20, rel=0.02)
    assert heap_per_hour(history, 7140.0) == 0.0
