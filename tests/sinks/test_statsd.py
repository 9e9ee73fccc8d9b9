"""StatsD and DogStatsD against real sockets that parse the protocol."""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memprof_middleware import ConfigError
from memprof_middleware.model import MB, DriftReport
from memprof_middleware.sinks import DogStatsdSink, SinkError, Sinks, StatsdSink, thread
from memprof_middleware.sinks.datagrams import Datagrams, packed
from tests.sinks.conftest import LEAK, Source, alert, anew, figures
from tests.sinks.receivers import Agent, Metric, wait_for
from tests.workers.processes import children

DRIFT = DriftReport(
    baseline_timestamp=1.0,
    timestamp=2.0,
    heap_mb=-5.0,
    heap_percent=-2.0,
    objects=None,
    objects_percent=None,
    gc_per_hour=None,
    significant=False,
)


@pytest.fixture(params=[False, True], ids=["udp", "unix"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    with Agent(unix=request.param) as agent:
        yield agent


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DD_DOGSTATSD_URL", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT", "STATSD_HOST", "STATSD_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_gauges_arrive_with_tags(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are gauges with the worker's slot, Datadog's unified tags and the labels, in few datagrams."""
    monkeypatch.setenv("DD_SERVICE", "shop")
    monkeypatch.setenv("DD_ENV", "test")
    monkeypatch.setenv("DD_TAGS", "team:cart,region:eu")
    sink = DogStatsdSink(agent.address)
    sink.open()
    sink.snapshot(figures())
    wait_for(lambda: agent.checks, "the service check, which is sent last")
    [heap] = agent.metrics("memprof.heap_used_bytes")
    common = {"service": "shop", "env": "test", "team": "cart", "region": "eu", "worker": "3"}
    assert heap == Metric("memprof.heap_used_bytes", 250 * MB, "g", common, signed=False)
    assert {m.tags["object_type"]: m.value for m in agent.metrics("memprof.object_count")} == {
        "shop.Cart": 300,
        "builtins.dict": 1000,
    }
    assert len(agent.datagrams) <= 3
    assert all(len(datagram) <= (8192 if agent.path else 1432) for datagram in agent.datagrams)
    sink.close()


def test_counters_are_sent_as_what_was_added(agent: Agent) -> None:
    """The server adds up: the first delivery sets the mark, later ones send the difference if there is one."""
    sink = DogStatsdSink(agent.address)
    sink.open()
    for number in (5, 7, 7):
        sink.snapshot(figures(number=number, failures={"log": 2} if number == 7 else {}))
    wait_for(lambda: len(agent.checks) == 3, "three deliveries")
    assert [m.value for m in agent.metrics("memprof.requests")] == [20]
    assert {m.kind for m in agent.metrics("memprof.requests")} == {"c"}
    assert [(m.value, m.tags["kind"]) for m in agent.metrics("memprof.profiler_failures")] == [(2, "log")]
    sink.close()


def test_the_service_check_says_whether_something_leaks(agent: Agent) -> None:
    """With each snapshot: a warning while a leak is suspected or can wait, critical when it cannot, and OK again."""
    sink = DogStatsdSink(agent.address)
    sink.open()
    sink.snapshot(figures(leaks=(dataclasses.replace(LEAK, state="suspected"),)))
    sink.snapshot(figures(leaks=(dataclasses.replace(LEAK, state="suspected"), LEAK)))
    sink.snapshot(figures(leaks=(dataclasses.replace(LEAK, hours_left=1.0, growth_per_hour=1.0),)))
    sink.snapshot(figures(leaks=(dataclasses.replace(LEAK, state="suspected", notable=False),)))
    wait_for(lambda: len(agent.checks) == 4, "four checks")
    assert [(check.name, check.status, check.message) for check in agent.checks] == [
        ("memprof.leak", 1, "suspected: shop.Cart"),
        ("memprof.leak", 1, "confirmed: shop.Cart"),
        ("memprof.leak", 2, "confirmed: shop.Cart"),
        ("memprof.leak", 0, ""),
    ]
    sink.close()


def test_an_alert_is_an_event(agent: Agent) -> None:
    """Its lengths count bytes, its beginning and end share a key, and its severity is Datadog's."""
    sink = DogStatsdSink(agent.address)
    sink.open()
    sink.event(alert(message="Größe\nwächst", urgency="now", limit_seconds=7200.0), figures())
    sink.event(alert(active=False), figures())
    wait_for(lambda: len(agent.events) == 2, "two events")
    begins, ends = agent.events
    assert (begins.title, begins.text) == ("memprof: leak", "Größe\\nwächst")
    assert begins.fields == {"d": "1700000060", "k": "memprof:shop.Cart", "t": "error"}
    assert begins.tags == {
        "worker": "3",
        "alert": "leak",
        "severity": "high",
        "state": "active",
        "urgency": "now",
    }
    assert (ends.title, ends.fields["t"]) == ("memprof: leak is over", "success")
    assert ends.fields["k"] == begins.fields["k"]
    sink.close()


def test_plain_statsd_has_labels_in_the_name(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tags, no events, no checks: the worker and the labels are parts of the name, behind the server's prefix."""
    monkeypatch.setenv("STATSD_PREFIX", "web1")
    sink = StatsdSink(agent.address)
    sink.open()
    sink.event(alert(), figures())
    sink.snapshot(figures(route_requests={"GET /cart/{id}": 4}))
    wait_for(lambda: agent.metrics("web1.memprof.alerts.worker3.leak"), "the alerts, which are sent last")
    assert [m.value for m in agent.metrics("web1.memprof.heap_used_bytes.worker3")] == [250 * MB]
    assert [m.value for m in agent.metrics("web1.memprof.object_count.worker3.shop_Cart")] == [300]
    assert all(isinstance(line, Metric) and line.tags == {} for line in agent.lines)
    sink.close()


def test_statsd_with_tags(agent: Agent) -> None:
    """For Telegraf and statsd_exporter the labels are tags."""
    sink = StatsdSink(agent.address, tags=True)
    sink.open()
    sink.snapshot(figures())
    wait_for(lambda: agent.metrics("memprof.sink_delivered") or agent.metrics("memprof.history_bytes"), "figures")
    assert {m.tags["worker"] for m in agent.metrics("memprof.object_count")} == {"3"}
    sink.close()


def test_below_zero(agent: Agent) -> None:
    """To Datadog a minus is a minus; to StatsD it is a change, so it is told from nothing, in one datagram."""
    datadog, statsd = DogStatsdSink(agent.address), StatsdSink(agent.address, prefix="s")
    for sink in (datadog, statsd):
        sink.open()
        sink.snapshot(figures(drift=DRIFT))
        sink.close()
    wait_for(lambda: len(agent.metrics("s.memprof.baseline_drift_percent.worker3")) == 2, "two lines")
    assert [m.value for m in agent.metrics("memprof.baseline_drift_bytes")] == [-5 * MB]
    assert [m.value for m in agent.metrics("s.memprof.baseline_drift_bytes.worker3")] == [0, -5 * MB]
    assert any(b"drift_bytes.worker3:0|g\ns.memprof.baseline_drift_bytes.worker3:-" in d for d in agent.datagrams)


@pytest.mark.parametrize("most", [50, 1432])
def test_packing(most: int) -> None:
    """Lines stay whole and in order, and only one that is too long by itself makes a datagram longer than it may be."""
    lines = ["a" * 20, "b" * 20, "c" * 60, "d", "é" * 20]
    datagrams = list(packed(lines, most))
    assert b"\n".join(datagrams).decode().split("\n") == lines
    assert all(len(datagram) <= most or b"\n" not in datagram for datagram in datagrams)
    assert list(packed([], most)) == []


def test_where_it_sends_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datadog's and StatsD's own variables say where the agent is, a URL before a host; else it is this machine."""

    def address(sink: StatsdSink) -> str:
        return sink._datagrams._address

    assert address(DogStatsdSink()) == address(StatsdSink()) == "udp://localhost:8125"
    monkeypatch.setenv("DD_AGENT_HOST", "fd00::1")
    monkeypatch.setenv("DD_DOGSTATSD_PORT", "18125")
    monkeypatch.setenv("STATSD_HOST", "graphite")
    assert (address(DogStatsdSink()), address(StatsdSink())) == ("udp://[fd00::1]:18125", "udp://graphite:8125")
    monkeypatch.setenv("DD_DOGSTATSD_URL", "unix:///var/run/datadog/dsd.socket")
    assert address(DogStatsdSink()) == "unix:///var/run/datadog/dsd.socket"


@pytest.mark.parametrize("wrong", ["tcp://a:1", "udp://a", "udp://:1", "unix://relative", "a:1", "udp://a:99999"])
def test_a_wrong_address_is_refused(wrong: str) -> None:
    """At construction, with what was given, what is allowed and where it is said."""
    with pytest.raises(ConfigError, match=r"address=.* is not valid; allowed: udp://host:port or unix:///path"):
        DogStatsdSink(wrong)


def free_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_an_agent_that_is_not_there(tmp_path: Path) -> None:
    """A port where nobody listens, a missing socket and an unknown host are told with the address and what to do."""
    for address, reason in {
        f"udp://127.0.0.1:{free_port()}": "nobody listens there",
        f"unix://{tmp_path}/dsd.socket": "No such file or directory",
        "udp://no-such-host.invalid:8125": "(?i)name|resolution",
    }.items():
        sink = DogStatsdSink(address)
        sink.open()
        for _ in range(2):
            with pytest.raises(SinkError, match=rf"{reason}.*does the agent run\? DD_DOGSTATSD_URL") as caught:
                sink.snapshot(figures())
            assert address in str(caught.value)
        sink.close()


def test_an_agent_that_comes_and_goes(
    source: Source, monkeypatch: pytest.MonkeyPatch, running: Callable[..., Sinks], caplog: pytest.LogCaptureFixture
) -> None:
    """The alert of a time without an agent arrives when there is one, also one that has restarted on a new socket."""
    monkeypatch.setattr(thread, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(thread, "_LONGEST_PAUSE_SECONDS", 0.01)
    port = free_port()
    sinks = running(DogStatsdSink(f"udp://127.0.0.1:{port}"))
    with caplog.at_level(logging.INFO, "memprof"):
        sinks.event(alert())
        wait_for(lambda: sinks.health()[0].failed > 3, "failures")
        for _ in range(2):
            with Agent(port=port) as agent:
                wait_for(lambda agent=agent: source.publish(sinks) or agent.checks, "figures")
        assert len([record for record in caplog.records if "cannot deliver" in record.getMessage()]) <= 2
    assert [event.title for event in agent.events] in ([], ["memprof: leak"])
    assert sinks.health()[0].delivered > 2


def test_an_agent_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the socket is full the delivery fails after a while, in its own thread, and says why."""
    monkeypatch.setattr("memprof_middleware.sinks.datagrams._SEND_SECONDS", 0.05)
    with Agent(unix=True) as agent:
        agent.reads.clear()
        datagrams = Datagrams(agent.address, "there")
        with pytest.raises(SinkError, match=r"it reads nothing for 0\.05 s"):
            datagrams.send(["x" * 8000] * 10_000)
        datagrams.close()


def test_two_workers_and_a_fork(agent: Agent, source: Source, running: Callable[..., Sinks]) -> None:
    """Forked after its parent has sent, each child has a socket of its own and all of its figures arrive."""
    sinks = running(DogStatsdSink(agent.address))
    source.publish(sinks)
    wait_for(lambda: agent.checks, "the parent's figures")

    def child(number: int) -> int:
        source.metrics = lambda: figures(worker=str(10 + number))  # type: ignore[method-assign]
        ours = anew(sinks, source)
        source.publish(ours)
        wait_for(lambda: ours.health()[0].delivered, "the child's delivery")
        return ours.health()[0].failed

    with children() as make:
        assert [make(lambda number=number: child(number)).result for number in range(5)] == [0] * 5
    workers = {str(10 + number) for number in range(5)}
    wait_for(lambda: workers <= {check.tags["worker"] for check in agent.checks}, "each child's figures")
