"""The words of an incident as a metric: what alerts and the dashboard call it by."""

import dataclasses

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from memprof_middleware import Config, Leak, MemoryCollector, MemoryMetrics, MemoryProfiler
from memprof_middleware.model import MB
from memprof_middleware.model.ignored import Acknowledged, Ignored
from memprof_middleware.testing import FakeClock, FakeProbes

LEAK = Leak(
    name="shop.cart.Session",
    state="confirmed",
    severity="critical",
    path="shop.cart.SESSIONS[*]",
    route="POST /cart",
    first=1000,
    last=9000,
    growth_percent=800,
    growth_per_hour=2000,
    bytes_per_hour=49.0 * MB,
    hours_left=2.0,
    since=0,
    detected_at=0,
    snapshots=9,
)


class Server:
    """Workers with these leaks each."""

    namespace = "fogcompute"

    def __init__(self, *workers: tuple[Leak, ...]) -> None:
        self._workers = workers

    def settle(self) -> None:
        """It is seen."""

    def workers(self) -> list[MemoryMetrics]:
        return [
            MemoryMetrics(worker=str(number), pid=number + 1, start_time=0, leaks=leaks)
            for number, leaks in enumerate(self._workers)
        ]


def samples(source: object, name: str) -> list[tuple[dict[str, str], float]]:
    registry = CollectorRegistry()
    registry.register(MemoryCollector(source))
    families = parse(generate_latest(registry).decode())
    return [(s.labels, s.value) for family in families for s in family.samples if s.name == f"fogcompute_memory_{name}"]


def test_an_incident_is_called_by_its_words() -> None:
    """Type, holder without the way inside of it, route, state and urgency, and what to do about it."""
    [(labels, value)] = samples(Server((LEAK,)), "leak_info")
    assert value == 1
    fix = labels.pop("fix")
    assert "SESSIONS" in fix
    assert "`" not in fix
    assert labels == {
        "worker": "0", "incident": "shop.cart.Session", "object_type": "shop.cart.Session",
        "holder": "shop.cart.SESSIONS", "route": "POST /cart", "state": "confirmed", "urgency": "now",
    }  # fmt: skip
    assert samples(Server((LEAK,)), "leak_growth_bytes_per_hour") == [
        ({"worker": "0", "incident": "shop.cart.Session"}, 49.0 * MB)
    ]
    assert samples(Server((LEAK,)), "leak_time_to_limit_seconds") == [
        ({"worker": "0", "incident": "shop.cart.Session"}, 7200)
    ]


@pytest.mark.parametrize(
    ("changes", "urgency"),
    [
        ({"hours_left": 2.0}, "now"),
        ({"hours_left": 12.0}, "today"),
        ({"hours_left": 400.0}, "plan"),
        ({"hours_left": None}, "plan"),
        ({"hours_left": 2.0, "growth_per_hour": 80_000}, "now"),  # from six minutes, and confirmed all the same
        ({"hours_left": 2.0, "state": "suspected"}, "none"),
    ],
)
def test_how_soon_somebody_has_to_act(changes: dict[str, object], urgency: str) -> None:
    """By the time to the limit and how long it was watched; growth in percent is the same in all of these."""
    [(labels, _)] = samples(Server((dataclasses.replace(LEAK, **changes),)), "leak_info")
    assert labels["urgency"] == urgency


def test_a_suspicion_asks_for_nothing() -> None:
    """It has no advice, no growth and no time; and what is only watched is no incident."""
    suspected = dataclasses.replace(LEAK, state="suspected")
    [(labels, _)] = samples(Server((suspected,)), "leak_info")
    assert (labels["state"], labels["fix"]) == ("suspected", "")
    assert samples(Server((suspected,)), "leak_growth_bytes_per_hour") == []
    assert samples(Server((suspected,)), "leak_time_to_limit_seconds") == []
    assert samples(Server((dataclasses.replace(suspected, notable=False),)), "leak_info") == []


@pytest.mark.parametrize(("then", "state"), [("plan", "confirmed"), ("today", "acknowledged"), ("now", "acknowledged")])
def test_an_acknowledged_incident_is_quiet_until_it_is_more_urgent(then: str, state: str) -> None:
    """Its alert ends with the state ``confirmed``, and begins again when the urgency rises above what was known."""
    [worker] = Server((dataclasses.replace(LEAK, hours_left=12.0),)).workers()
    known = Acknowledged(incident=LEAK.name, urgency=then, since=0)
    source = Server()
    source.workers = lambda: [dataclasses.replace(worker, acknowledged=(known,))]
    [(labels, _)] = samples(source, "leak_info")
    assert (labels["state"], labels["urgency"]) == (state, "today")


def test_what_is_ignored_is_counted() -> None:
    """Nothing is said of it, but that there is such a leak."""
    [worker] = Server(()).workers()
    source = Server()
    source.workers = lambda: [dataclasses.replace(worker, ignored=(Ignored(item="shop.cart", leaks=(LEAK,)),))]
    assert samples(source, "ignored_leaks") == [({"worker": "0"}, 1)]
    assert samples(source, "leak_info") == []


def test_what_is_not_known_is_left_out() -> None:
    """No size, no growth; no limit, no time; and without a holder no label has a phrase in its place."""
    unknown = dataclasses.replace(
        LEAK, path="", holder="held in native memory", route="", hours_left=None, bytes_per_hour=0.0
    )
    [(labels, _)] = samples(Server((unknown,)), "leak_info")
    assert (labels["holder"], labels["route"]) == ("", "")
    assert samples(Server((unknown,)), "leak_time_to_limit_seconds") == []
    assert samples(Server((unknown,)), "leak_growth_bytes_per_hour") == []
    [(labels, _)] = samples(Server((dataclasses.replace(LEAK, name="shop.CITIES", kind="container"),)), "leak_info")
    assert (labels["incident"], labels["object_type"], labels["holder"]) == ("shop.CITIES", "", "shop.CITIES")


def test_a_program_that_leaks_everywhere_does_not_flood_the_scrape() -> None:
    """At most twenty incidents of each worker, the confirmed ones first; names that are cut to the same are one."""
    leaks = tuple(
        dataclasses.replace(LEAK, name=f"shop.Type{n:02}", state="confirmed" if n % 2 else "suspected")
        for n in range(60)
    )
    found = samples(Server(leaks, leaks), "leak_info")
    assert len(found) == 40
    assert {labels["state"] for labels, _ in found} == {"confirmed"}
    long = tuple(dataclasses.replace(LEAK, name="x" * 300 + str(n)) for n in range(2))
    for name in ("leak_info", "leaking_objects", "leak_time_to_limit_seconds"):
        assert len(samples(Server(long), name)) == 1


def test_labels_hold_no_control_characters() -> None:
    """A name that a program made up cannot write lines or colours into an alert."""
    odd = dataclasses.replace(LEAK, name="shop.\x1b[31mX", route="GET /a\nGET /b", path="shop.\u202eX")
    [(labels, _)] = samples(Server((odd,)), "leak_info")
    assert all(text.isprintable() for text in labels.values())
    assert labels["route"] == "GET /a?GET /b"


def test_the_series_end_with_the_incident() -> None:
    """A leak that is over leaves nothing behind, and what was shown while it lasted was one incident."""
    clock, probes = FakeClock(), FakeProbes()
    profiler = MemoryProfiler(Config(background=False, leak_confirm_hours=6), clock=clock, probes=probes)
    for step in range(60):
        probes.counts["shop.Order"] = 1000 + 100 * step
        profiler.step()
        clock.advance(60)
        assert {labels["incident"] for labels, _ in samples(profiler, "leak_info")} <= {"shop.Order"}
    assert samples(profiler, "leak_info")
    probes.counts["shop.Order"] = 100
    for _ in range(10):
        profiler.step()
        clock.advance(60)
    assert samples(profiler, "leak_info") == []
    profiler.stop()
