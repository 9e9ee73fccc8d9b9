"""The life of a verdict: measured, suspected, held, confirmed, over."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Sequence

import pytest

from memprof_middleware import Config, Leak, MemoryProfiler
from memprof_middleware.heap.buffers import Buffer
from memprof_middleware.heap.cohorts import Cohort
from memprof_middleware.heap.containers import Container, Containers
from memprof_middleware.heap.definitions import Definition
from memprof_middleware.heap.retainers import Holding
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes, Recorder
from memprof_middleware.text.conditions import leak_message


class Shop:
    """An application with traffic, stepped by hand: a minute and a hundred requests each time."""

    def __init__(self, **settings: object) -> None:
        self.probes, self.clock = FakeProbes(), FakeClock()
        config = Config(**{"background": False} | settings)  # type: ignore[arg-type]
        self.profiler = MemoryProfiler(config, clock=self.clock, probes=self.probes)
        self.heard = Recorder().attach(self.profiler)
        self.kept_mb = 0.0
        self.asked: list[Sequence[str]] = []
        find = self.probes.holders
        self.probes.holders = lambda names, **kw: self.asked.append(names) or find(names, **kw)  # type: ignore[func-returns-value,method-assign]

    def minute(self, requests: int = 100, **counts: int) -> list[Leak]:
        for _ in range(requests):
            self.profiler.traffic.started += 1
            self.profiler.traffic.end("GET /cart")
        self.probes.counts |= counts
        self.probes.collections = (0, 0, self.probes.collections[2] + 1)
        self.clock.advance(60)
        self.probes.heap_mb = 100 + self.kept_mb
        self.profiler.take_snapshot()
        return self.profiler.detect_leaks()

    def keeps(
        self, path: str, length: int, holds: tuple[str, ...] = (), bound: int | None = None, weighs: float | None = None
    ) -> None:
        kept = Container(path, "dict", length, bound, False, holds, entry_bytes=weighs)
        self.probes.kept = Containers((kept,))
        self.kept_mb = length * (weighs or 0.0) / 2**20


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.profiler.stop()


def test_a_leak_of_bytes_is_found_by_its_container(shop: Shop) -> None:
    """Not one tracked object more, and the dict that keeps them is named."""
    leaks: list[Leak] = []
    for number in range(12):
        shop.keeps("shop.THUMBS", 10 + 100 * number)
        leaks = shop.minute()
    [leak] = leaks
    assert (leak.kind, leak.name, leak.holder) == ("container", "shop.THUMBS", "shop.THUMBS")
    assert leak.growth_per_request == pytest.approx(1)


def test_a_buffer_that_grows_is_told_by_its_bytes(shop: Shop) -> None:
    """Text that is added to is no container with entries: native memory grows, and the path of the text holds it."""
    leaks: list[Leak] = []
    for number in range(40):
        shop.kept_mb = 10.0 + number
        shop.probes.kept = Containers(buffers=(Buffer("shop.LOG.data", (10 + number) * 2**20),))
        leaks = shop.minute()
    [leak] = leaks
    assert (leak.kind, leak.holder, leak.path) == ("native", "shop.LOG.data", "shop.LOG.data")
    assert leak.growth_per_request == pytest.approx(2**20 / 100, rel=0.1)


def test_the_holder_is_looked_for_once_and_again_when_it_has_doubled(shop: Shop) -> None:
    """A search is dear: one for a suspicion, one more each time there is twice as much."""
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    for number in range(40):
        leaks = shop.minute(**{"shop.Session": 100 + 100 * number})
    assert leaks[0].holder == "shop.SESSIONS[*]"
    assert 2 <= len([names for names in shop.asked if "shop.Session" in names]) <= 4


def test_a_filling_cache_is_left_alone(shop: Shop) -> None:
    """A container that names its bound is no leak while it fills."""
    shop.probes.held = {"shop.Product": Holding((("shop.CACHE[*]", 1.0),), 8)}
    for number in range(20):
        shop.keeps("shop.CACHE", 50 * number, ("shop.Product",), bound=5000)
        assert shop.minute(**{"shop.Product": 50 * number}) == []


def test_suspected_told_once_confirmed_an_alert_over_its_end(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The whole life: watched, one line at INFO and one call, then an alert, then its end where it was told."""
    caplog.set_level(logging.INFO, "memprof")
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    told = []
    for number in range(120):
        shop.keeps("shop.SESSIONS", 100 + 100 * number, ("shop.Session",), weighs=30_000)
        leaks = shop.minute(**{"shop.Session": 100 + 100 * number})
        told.append((leaks[0].state, leaks[0].notable) if leaks else ("", False))
    assert told.index(("suspected", False)) < 12  # listed
    # 3 MB a minute of 900 MB that were left: 28 % after 88 minutes, 35 % after 110.
    assert 86 <= told.index(("suspected", True)) <= 92
    assert 108 <= told.index(("confirmed", True)) <= 114
    assert [(alert.name, alert.active) for alert in shop.heard.alerts if alert.name == "leak"] == [("leak", True)]
    assert [leak.name for leak in shop.heard.leaks] == ["shop.Session"]
    shop.keeps("shop.SESSIONS", 100, ("shop.Session",), weighs=30_000)
    for _ in range(2):
        leaks = shop.minute(**{"shop.Session": 100})
    assert [leak for leak in leaks if leak.notable] == []
    assert [alert.active for alert in shop.heard.alerts if alert.name == "leak"] == [True, False]
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if "leak" in r.getMessage()]
    assert [level for level, _ in lines] == ["INFO", "ERROR", "WARNING"]  # the limit is less than four hours off
    assert lines[0][1].startswith("memprof: leak suspected: shop.SESSIONS keeps more and more Session objects")
    assert lines[1][1].startswith("memprof: leak confirmed (")
    assert lines[2][1].startswith("memprof: leak resolved: shop.SESSIONS was freed (confirmed ")


def test_small_growth_of_large_percent_is_told_to_nobody(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """From 1 to 12,000 objects are 1,200,000 %: at 100 bytes each it takes weeks until anybody notices."""
    caplog.set_level(logging.INFO, "memprof")
    for number in range(120):
        shop.keeps("shop.SEEN", 1 + 100 * number, ("shop.Seen",), weighs=100)
        leaks = shop.minute(**{"shop.Seen": 1 + 100 * number})
    [leak] = leaks
    assert (leak.name, leak.state, leak.notable, leak.severity) == ("shop.Seen", "suspected", False, "critical")
    assert (shop.heard.leaks, shop.heard.alerts) == ([], [])
    assert "leak" not in caplog.text


def test_small_growth_is_listed_and_told_to_nobody(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Five objects for each thousand requests are found, and wake nobody."""
    for number in range(40):
        leaks = shop.minute(200, **{"shop.Audit": 1 + number})
    [leak] = leaks
    assert (leak.name, leak.notable, leak.severity) == ("shop.Audit", False, "low")
    assert shop.heard.leaks == []
    assert "Audit" not in caplog.text


def test_the_name_improves_while_it_is_a_suspicion(shop: Shop) -> None:
    """A builtin that came up first gives way to the application's own type, and the incident keeps its date."""
    first = None
    for number in range(20):
        counts = {"builtins.list": 1000 + 600 * number}
        if number > 8:
            counts["__main__.Payment"] = 100 * (number - 8)
        [leak] = shop.minute(**counts) or [None]
        first = first or leak
    assert first is not None
    assert leak is not None
    assert (first.name, leak.name) == ("builtins.list", "__main__.Payment")
    assert leak.detected_at == first.detected_at


@pytest.mark.parametrize(("path", "name"), [("app.KEPT[*]", "__main__.Payment"), ("app.KEPT", "app.KEPT")])
def test_a_reported_suspicion_is_named_anew_if_it_named_inner_containers(
    path: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Their length is known a moment before the type's count grows; the type says more. It is the same alert."""
    shop = Shop(leak_confirm_hours=1.0)
    with caplog.at_level(logging.INFO):
        for number in range(30):
            shop.keeps(path, 1000 + 500 * number, ("__main__.Payment",))
            shop.probes.held = {"__main__.Payment": Holding(((f"{path}[*]", 1.0),), 8)}
            leaks = shop.minute(**({"__main__.Payment": 500 * (number - 12)} if number > 12 else {}))
            if number == 11:
                assert [leak.name for leak in leaks] == [path]
                assert leaks[0].notable
    shop.profiler.stop()
    assert [leak.name for leak in leaks] == [name]
    assert [record.getMessage() for record in caplog.records if "resolved" in record.getMessage()] == []


def test_a_probe_that_fails_takes_nothing_else_along(shop: Shop) -> None:
    """Without containers and holders, types are judged as before; the failures are counted."""
    shop.probes.broken = {"containers", "holders", "populations"}
    for number in range(12):
        leaks = shop.minute(**{"shop.Session": 100 * number})
    assert [leak.name for leak in leaks] == ["shop.Session"]
    assert {"probe_containers", "probe_holders"} <= set(shop.profiler.failures.counts)


def test_a_verdict_says_how_many_are_still_there(shop: Shop) -> None:
    """The evidence has the sample of a type, whose probe may fail without ending anything."""
    leaks: list[Leak] = []
    for minute in range(180):
        if minute >= 40:
            shop.probes.followed = {"app.Cart": (Cohort(0, 32, 32, 0),)}
        shop.probes.broken = {"cohorts"} if minute == 60 else set()
        shop.kept_mb = 2.0 * minute
        leaks = shop.minute(60 + minute % 40, **{"app.Cart": 200 * minute})
    [cart] = [leak for leak in leaks if leak.state == "confirmed"]
    assert cart.name == "app.Cart"
    assert any(words.startswith("All 32 objects that were sampled 2.") for words in cart.evidence)
    assert shop.profiler.failures.counts == {"probe_cohorts": 1}


def test_in_the_background_a_walk_waits_for_the_budget() -> None:
    """None during warm-up; what one has cost is earned before the next; asked for by hand, it is done at once."""
    shop = Shop(cpu_budget=0.5)
    walks: list[int] = []
    kept = Containers(cpu_seconds=40.0)  # more than what is earned in these 20 minutes
    shop.probes.containers = lambda **_: walks.append(1) or kept  # type: ignore[func-returns-value,method-assign]
    for number in range(20):
        shop.probes.counts["shop.Session"] = 100 * number
        shop.clock.advance(60)
        shop.profiler.step()
        assert len(walks) == (number >= shop.profiler.config.warmup_snapshots)
    shop.profiler.take_snapshot()
    assert len(walks) == 2
    shop.profiler.stop()


@pytest.mark.parametrize(("budget", "seconds"), [(0.5, 1.0), (0.01, 0.1), (1.0, 2.0), (100.0, 5.0)])
def test_a_walk_may_take_what_the_budget_gives(budget: float, seconds: float) -> None:
    """What 200 seconds give, from a tenth of a second to five."""
    shop = Shop(cpu_budget=budget)
    asked: list[float] = []
    shop.probes.containers = lambda *, most_seconds, **_: asked.append(most_seconds) or Containers()  # type: ignore[func-returns-value,method-assign]
    shop.profiler.take_snapshot()
    shop.profiler.stop()
    assert asked == [pytest.approx(seconds)]


def test_what_a_part_of_a_walk_did_not_look_at_is_not_forgotten(shop: Shop) -> None:
    """A container keeps its bound and what it holds while other parts have their turn."""
    watch = shop.profiler._monitor.features.leaks
    parts = [Containers((Container(path, "dict", 10, 500, False, ("shop.Session",)),), complete=False) for path in "ab"]
    for part in (*parts, parts[0]):
        shop.probes.kept = part
        shop.minute()
    assert set(watch.measuring.places) == {"a", "b"}
    shop.probes.kept = Containers(parts[0].found)
    shop.minute()
    assert set(watch.measuring.places) == {"a"}


def test_a_reported_leak_names_its_place_once_looked_up(shop: Shop) -> None:
    """Path, file, line, who adds and the pattern of the advice; the source is read when it is first reported."""
    asked: list[str] = []
    place = Definition("shop.py", 14, ("add_to_cart, line 31",), "module_mapping")

    def define(path: str, **_: object) -> Definition:
        asked.append(path)
        return place

    shop.probes.define = define
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 0.9),), 8)}
    for number in range(95):
        shop.keeps("shop.SESSIONS", 100 + 100 * number, ("shop.Session",), weighs=30_000)
        leaks = shop.minute(**{"shop.Session": 100 + 100 * number})
        assert bool(asked) == any(leak.notable for leak in leaks)
    [leak] = leaks
    assert (leak.path, leak.share) == ("shop.SESSIONS[*]", 0.9)
    assert (leak.file, leak.line, leak.filled_in) == (place.file, place.line, place.filled_in)
    assert leak.pattern == "module_mapping"
    assert asked == ["shop.SESSIONS[*]"]


def test_the_place_is_known_though_the_search_for_holders_took_its_budget(shop: Shop) -> None:
    """The line to change comes with the first report: the look-up takes milliseconds, and is not put off for hours."""
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    shop.probes.define = lambda *_, **__: Definition("shop.py", 14)
    for number in range(95):
        if number == 20:  # the holder is known by now
            shop.profiler._monitor.budget.charge("search", 3600)
        shop.keeps("shop.SESSIONS", 100 + 100 * number, ("shop.Session",), weighs=30_000)
        leaks = shop.minute(**{"shop.Session": 100 + 100 * number})
        assert all((leak.file, leak.line) == ("shop.py", 14) for leak in leaks if leak.notable)
    assert any(leak.notable for leak in leaks)


def test_a_source_that_cannot_be_read_costs_the_place_only(shop: Shop) -> None:
    """The leak is reported all the same, and the failure is counted."""
    shop.probes.broken = {"define"}
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    for number in range(95):
        shop.keeps("shop.SESSIONS", 100 + 100 * number, ("shop.Session",), weighs=30_000)
        [leak] = shop.minute(**{"shop.Session": 100 + 100 * number}) or [None]
    assert leak is not None
    assert (leak.path, leak.file, leak.notable) == ("shop.SESSIONS[*]", "", True)
    assert shop.profiler.failures.counts["probe_define"] == 1


def test_a_large_incident_is_told_once(shop: Shop) -> None:
    """What was listed alone is not listed beside the incident that it turns out to belong to, however large that is."""
    shop.probes.held = {"shop.Session": Holding((("shop.KEPT[*]", 1.0),), 8)}
    parts = [f"lib.Part{number:02}" for number in range(20)]
    listed = []
    for number in range(40):
        shop.keeps("shop.KEPT", 100 * number, ("shop.Session", *parts[: 19 if number < 12 else 20]))
        grown = dict.fromkeys(parts, 100 * number) | {"lib.Part19": 40 * number + 50 * (number % 5)}
        leaks = shop.minute(**grown | {"shop.Session": 200 * number})
        listed.append({leak.name for leak in leaks})
    assert {"shop.Session", "lib.Part19"} in listed
    assert [(leak.name, leak.holder) for leak in leaks] == [("shop.Session", "shop.KEPT[*]")]


def test_a_search_that_had_no_time_for_so_many_is_made_for_fewer(shop: Shop) -> None:
    """If nothing is found, half as many types are sought the next time, until each has had its turn."""
    types = [f"lib{number}.Part" for number in range(6)]
    asked: list[Sequence[str]] = []

    def search(names: Sequence[str], **_: object) -> dict[str, Holding]:
        asked.append(names)
        found = Holding((("shop.KEPT[*]", 1.0),), 8) if len(names) == 1 else Holding(sampled=8, complete=False)
        return dict.fromkeys(names, found)

    shop.probes.holders = search  # type: ignore[method-assign, assignment]
    for number in range(30):
        shop.minute(**dict.fromkeys(types, 100 * number))
    assert [len(names) for names in asked[:3]] == [6, 3, 1]
    assert {names[0] for names in asked if len(names) == 1} == set(types)


@pytest.mark.parametrize(("exhaustive", "holder"), [(True, "held in native memory"), (False, "")])
def test_native_memory_holds_only_where_nothing_was_left_out(shop: Shop, exhaustive: bool, holder: str) -> None:
    """A walk that came to its end and left a root or a depth out has not seen all that Python keeps."""
    shop.probes.kept = Containers(exhaustive=exhaustive)
    for number in range(40):
        shop.kept_mb = 10.0 + number
        leaks = shop.minute()
    assert [(leak.kind, leak.holder) for leak in leaks] == [("native", holder)]


def test_confirmed_memory_takes_the_name_of_its_owner_when_that_is_found() -> None:
    """Native memory says nothing of where to look: one alert, which goes on under the path that accounts for it."""
    shop = Shop(heap_size_mb=500)
    names: dict[str, Leak] = {}
    for minute in range(300):
        if minute > 160:
            shop.keeps("shop.ROWS", 100 * minute, weighs=2**20 / 100)
        shop.kept_mb = float(minute)
        shop.probes.allocated = AllocatorStats(int((20 + minute) * 2**20), 2**20, 200_000, "fake")
        for leak in shop.minute():
            if leak.state == "confirmed":
                names[leak.name] = leak
        shop.profiler.check_thresholds()
    assert list(names) == ["native memory", "shop.ROWS"]
    after = names["shop.ROWS"]
    assert after.kind == "container"
    assert after.detected_at == names["native memory"].detected_at
    assert any(
        text.startswith("First reported as native memory; shop.ROWS accounts for it since ") for text in after.evidence
    )
    told = [alert for alert in shop.heard.alerts if alert.name == "leak"]
    assert [alert.active for alert in told if alert.urgency == told[0].urgency] == [True]
    assert all(alert.active for alert in told)
    assert not shop.profiler.metrics().resolved
    shop.profiler.stop()


@pytest.mark.parametrize(("arena_mb", "told"), [(None, ["mapped memory"]), (37, ["mapped memory"]), (200, [])])
def test_what_python_keeps_free_is_no_mapped_memory(arena_mb: float | None, told: list[str]) -> None:
    """Arenas that a busy hour has filled stay: they are in no block, and would pass for pages of a C extension."""
    shop = Shop(heap_size_mb=500)
    shop.probes.arena_mb = arena_mb
    names: list[str] = []
    for minute in range(200):
        shop.kept_mb = float(minute)
        shop.probes.allocated = AllocatorStats(50 * 2**20, 2**20, 250_000, "fake")
        names += [leak.name for leak in shop.minute() if leak.state == "confirmed" and leak.name not in names]
    assert names == told
    shop.profiler.stop()


def test_a_successor_takes_over_the_leaks_and_not_their_time(shop: Shop) -> None:
    """What is left of its own room is known with its first snapshot: a restart has just been made."""
    for number in range(95):
        shop.keeps("shop.SESSIONS", 100 + 100 * number, weighs=30_000)
        found = shop.minute()
    watch = shop.profiler._monitor.evaluator._features.leaks
    urgent = [dataclasses.replace(leak, state="confirmed", hours_left=0.5, fill="now") for leak in found]
    watch.inherit(urgent)
    assert [(leak.name, leak.hours_left, leak.urgency) for leak in watch.leaks] == [("shop.SESSIONS", None, "plan")]


@pytest.mark.parametrize(
    ("beside", "is_told"),
    [
        (lambda minute: minute, True),
        # A warm-up and a cache that is full do not go on: the limit is as far as the leak takes to it.
        (lambda minute: 120 * (1 - math.exp(-minute / 10)), False),
        (lambda minute: min(120, 4 * minute), False),
        (lambda _: 0, False),
    ],
    ids=["a second leak", "a warm-up", "a cache that fills", "nothing"],
)
def test_the_limit_is_as_near_as_all_memory_takes_to_it(
    shop: Shop, beside: Callable[[int], float], is_told: bool
) -> None:
    """Beside a confirmed leak something else grows, of which it is not known yet whether it is one."""
    shop.probes.held = {"shop.Session": Holding((("shop.SESSIONS[*]", 1.0),), 8)}
    for number in range(130):
        shop.keeps("shop.SESSIONS", 100 + 100 * number, ("shop.Session",), weighs=30_000)
        more = beside(number)
        days = Container("shop.DAYS", "dict", 50 + int(20 * more), None, False, (), entry_bytes=2**20 / 20)
        shop.probes.kept = Containers((*shop.probes.kept.found, days))
        shop.kept_mb += more
        leaks = shop.minute(**{"shop.Session": 100 + 100 * number})
    [leak] = [one for one in leaks if one.state == "confirmed"]
    left, own = 900 - shop.kept_mb, 100 * 60 * 30_000 / 2**20
    assert leak.bytes_per_hour / 2**20 == pytest.approx(own, rel=0.02)
    assert leak.hours_left == pytest.approx(left / (own + 60 if is_told else own), rel=0.02)
    told = [alert.message for alert in shop.profiler.alerts if alert.name == "leak"]
    assert (leak.process_per_hour is not None) is is_told
    assert len(told) == 1
    assert ("all memory of the process +2" in leak_message(leak)) is is_told
