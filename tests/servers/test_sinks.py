"""What arrives at real receivers from two workers of real servers, with every built-in sink at work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers.harness import Server, gunicorn_options, started
from tests.sinks.receivers import Agent, GrpcCollector, HttpCollector, SentryServer

pytestmark = pytest.mark.server
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2"]
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", "2"]
# The command, and what the application's own pipeline speaks.
SERVERS = {
    "gunicorn": ([*GUNICORN, "sinks_app"], "http"),
    "gunicorn --preload": ([*GUNICORN, "--preload", "sinks_app"], "http"),
    "gunicorn --preload, grpc": ([*GUNICORN, "--preload", "sinks_app"], "grpc"),
    "gunicorn -k gevent": ([*GUNICORN, "--worker-class", "gevent", "sinks_app"], "http"),
    "uvicorn": ([*UVICORN, "sinks_app:asgi_application"], "grpc"),
}
SECONDS = 40.0


@dataclasses.dataclass
class Receivers:
    """All of them, and how an application is told where they are."""

    own: HttpCollector | GrpcCollector
    protocol: str
    private: HttpCollector
    datadog: Agent
    statsd: Agent
    sentry: SentryServer

    @property
    def settings(self) -> dict[str, str]:
        return {
            "MEMPROF_SINKS": "log,otel,otlp,dogstatsd,statsd,sentry",
            "MEMPROF_HEAP_SIZE_MB": "5",  # an alert, with the first snapshot
            "OWN_ENDPOINT": self.own.endpoint,
            "OWN_PROTOCOL": self.protocol,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": self.private.endpoint,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            "OTEL_SERVICE_NAME": "shop",
            "DD_DOGSTATSD_URL": self.datadog.address,
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(self.statsd.port),
            "SENTRY_DSN": self.sentry.dsn,
        }


@pytest.fixture(params=SERVERS)
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Receivers]]:
    command, protocol = SERVERS[request.param]
    if "gevent" in command:
        pytest.importorskip("gevent")
    if "gunicorn" in command:
        command = [*command, *gunicorn_options()]
    own = HttpCollector() if protocol == "http" else GrpcCollector()
    with own, HttpCollector() as private, Agent(unix=True) as datadog, Agent() as statsd, SentryServer() as sentry:
        receivers = Receivers(own, protocol, private, datadog, statsd, sentry)
        with started(command, tmp_path / "log", settings=receivers.settings) as server:
            yield server, receivers


def test_every_worker_arrives_at_every_receiver(life: tuple[Server, Receivers]) -> None:
    """Figures and alerts of both workers, and of no other process, at each of six sinks; and all of it ends in time."""
    server, receivers = life
    pids = set(server.inside(2))
    workers = {"0", "1"}

    def private() -> bool:
        return {p.resource["process.pid"] for p in receivers.private.points} == pids

    def own() -> bool:
        return {p.attributes["memprof.worker"] for p in receivers.own.named("memprof.heap_used")} == workers

    def datadog() -> bool:
        full = [event for event in receivers.datadog.events if event.tags["alert"] == "heap_critical"]
        return len(full) == 2 and {check.tags["worker"] for check in receivers.datadog.checks} == workers

    def statsd() -> bool:
        return all(receivers.statsd.metrics(f"memprof.alerts.worker{worker}.heap_critical") for worker in workers)

    def sentry() -> bool:
        full = [event for event in receivers.sentry.events if event["tags"]["memprof.alert"] == "heap_critical"]
        return {event["contexts"]["memprof"]["pid"] for event in full} == pids

    def log() -> bool:
        lines = [json.loads(line[line.index("{") :]) for line in server.log.splitlines() if '"event":"alert"' in line]
        return {line["pid"] for line in lines if line["name"] == "heap_critical"} == pids

    for arrived in (private, own, datadog, statsd, sentry, log):
        server.wait_for(arrived, SECONDS, f"both workers at {arrived.__name__}")
    instances = {p.resource["service.instance.id"] for p in receivers.private.points}
    assert len(instances) == 2
    assert {p.resource["service.name"] for p in receivers.private.points} == {"shop"}
    assert not [line for line in server.log.splitlines() if "cannot deliver" in line]
    scrape = server.get("/metrics")
    for sink in ("log", "otel", "otlp", "dogstatsd", "statsd", "sentry"):
        assert f'fogcompute_memory_sink_failed_total{{sink="{sink}",worker="0"}} 0.0' in scrape
    _, left = server.stop()
    assert left == []


@pytest.mark.parametrize("command", [[*GUNICORN, "--preload", "sinks_app"], [*UVICORN, "sinks_app:asgi_application"]])
def test_receivers_that_are_dead_or_hang(command: list[str], tmp_path: Path) -> None:
    """The application serves, `/metrics` tells the failures, and the server ends with nothing left behind."""
    if "gunicorn" in command:
        command = [*command, *gunicorn_options()]
    with HttpCollector() as hung:
        hung.hold.clear()
        settings = {
            "MEMPROF_SINKS": "otlp,dogstatsd,statsd",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": hung.endpoint,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            "DD_DOGSTATSD_URL": f"unix://{tmp_path}/no.socket",
            "STATSD_HOST": "no-such-host.invalid",
        }
        with started(command, tmp_path / "log", settings=settings) as server:
            server.inside(2)
            server.wait_for(lambda: hung.waiting == 2, SECONDS, "both workers' exports")
            server.wait_for(lambda: server.log.count("cannot deliver") == 4, SECONDS, "two sinks' trouble, twice")
            assert "no.socket cannot be reached (No such file or directory): does the agent run?" in server.log
            assert "no-such-host.invalid:8125 cannot be reached" in server.log
            server.wait_for(
                lambda: 'sink_dropped_total{sink="otlp",worker="0"} 0.0' not in server.get("/metrics"),
                SECONDS,
                "figures that newer ones replaced",
            )
            tree = server.tree()
            _, left = server.stop()
            assert left == []
            assert not any(psutil.pid_exists(process.pid) for process in tree[1:])
