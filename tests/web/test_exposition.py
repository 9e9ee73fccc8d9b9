"""``/metrics`` as one pure function."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeProbes
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.endpoint import Endpoint
from memprof_middleware.web.http.exposition import MetricsEndpoint, render
from memprof_middleware.web.http.messages import Request, Response
from tests.asking import scrape

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def endpoint(**settings: Any) -> MetricsEndpoint:
    profiler = MemoryProfiler(Config(background=False, **settings), probes=FakeProbes())
    profiler.take_snapshot()
    return MetricsEndpoint(profiler)


@pytest.fixture
def metrics() -> MetricsEndpoint:
    return endpoint()


def header(response: Response, name: str) -> str | None:
    found = [value for key, value in response.headers if key == name]
    assert len(found) <= 1
    return found[0] if found else None


def test_plain_text_by_default(metrics: MetricsEndpoint) -> None:
    """Without wishes the answer is Prometheus text, with its length, not to be stored."""
    response = scrape(metrics, "GET", {})
    assert (response.status, response.status_line) == (200, "200 OK")
    assert (header(response, "Content-Type") or "").startswith("text/plain; version=")
    assert header(response, "Content-Length") == str(len(response.body))
    assert header(response, "Cache-Control") == "no-store"
    assert header(response, "Vary") == "Accept, Accept-Encoding"
    assert header(response, "Content-Encoding") is None
    assert any(family.name == "fogcompute_memory_heap_used_mb" for family in parse_text(response.body.decode()))


@pytest.mark.parametrize(
    "accept",
    [
        OPENMETRICS,
        # What Prometheus 2 sends.
        f"{OPENMETRICS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        # What Prometheus 3 sends.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
            "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ),
    ],
)
def test_openmetrics_when_asked_for(metrics: MetricsEndpoint, accept: str) -> None:
    """A scraper that prefers OpenMetrics gets it, ended by ``# EOF``."""
    response = scrape(metrics, "GET", {"accept": accept})
    assert (header(response, "Content-Type") or "").startswith("application/openmetrics-text; version=1.0.0")
    assert response.body.endswith(b"# EOF\n")
    assert list(parse_openmetrics(response.body.decode()))


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.001", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzip;q=lots", False),
        ("gzip;level=9", True),
        ("xgzip", False),
    ],
)
def test_gzip_when_accepted(metrics: MetricsEndpoint, accepted: str, zipped: bool) -> None:
    """Compressed when the scraper accepts it, never when it says ``q=0``; the text is the same."""
    plain = scrape(metrics, "GET", {}).body
    response = scrape(metrics, "GET", {"accept-encoding": accepted})
    assert header(response, "Content-Encoding") == ("gzip" if zipped else None)
    assert header(response, "Content-Length") == str(len(response.body))
    assert (gzip.decompress(response.body) if zipped else response.body) == plain
    if zipped:
        assert len(response.body) < len(plain) / 2


def test_small_answers_are_not_compressed() -> None:
    """Below 500 bytes gzip costs more than it saves."""
    response = render(CollectorRegistry(), Request(method="GET", path="", headers={"accept-encoding": "gzip"}))
    assert header(response, "Content-Encoding") is None


@pytest.mark.parametrize("headers", [{}, {"accept-encoding": "gzip"}, {"accept": OPENMETRICS}])
def test_head_is_get_without_a_body(metrics: MetricsEndpoint, headers: dict[str, str]) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get, head = scrape(metrics, "GET", headers), scrape(metrics, "HEAD", headers)
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", ""])
def test_other_methods_are_refused(metrics: MetricsEndpoint, method: str) -> None:
    """405 names what is allowed."""
    response = scrape(metrics, method, {})
    assert (response.status_line, header(response, "Allow")) == ("405 Method Not Allowed", "GET, HEAD")
    assert b"use GET or HEAD" in response.body


TOKEN = "correct-horse"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer wrong-horse", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \udcff\xe9", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer  {TOKEN} ", 200),
    ],
)
def test_a_token_is_needed(given: str | None, status: int) -> None:
    """With ``metrics_token`` set, only that bearer token opens; a refusal shows neither metrics nor token."""
    headers = {} if given is None else {"authorization": given}
    response = scrape(endpoint(metrics_token=TOKEN), "GET", headers)
    assert response.status == status
    if status == 401:
        assert header(response, "WWW-Authenticate") == 'Bearer realm="metrics"'
        assert TOKEN.encode() not in response.body
        assert b"fogcompute" not in response.body
        assert scrape(endpoint(metrics_token=TOKEN), "HEAD", headers).body == b""


@pytest.mark.parametrize(
    ("allow", "client", "status"),
    [
        ("10.0.0.0/8", "10.1.2.3", 200),
        ("10.0.0.0/8", "11.1.2.3", 403),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 200),
        ("10.0.0.0/8", "::ffff:11.1.2.3", 403),
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", 200),
        ("127.0.0.1, ::1", "::1", 200),
        ("127.0.0.1, ::1", "127.0.0.1", 200),
        ("fe80::/10", "fe80::1%eth0", 200),
        ("::/0", "10.1.2.3", 403),
        ("10.0.0.0/8", None, 403),
        ("10.0.0.0/8", "", 403),
        ("0.0.0.0/0", "unix:/run/app.sock", 403),
        ("10.0.0.0/8", "testclient", 403),
        ("", None, 200),
        ("", "anywhere", 200),
    ],
)
def test_an_address_list(allow: str, client: str | None, status: int) -> None:
    """With ``metrics_allow`` set, only these addresses read; a peer on a Unix socket has none and does not."""
    response = scrape(endpoint(metrics_allow=allow), "GET", {}, client)
    assert response.status == status
    assert (b"fogcompute" in response.body) is (status == 200)


def test_both_must_be_right() -> None:
    """Token and address together: the address is looked at first."""
    both = endpoint(metrics_token=TOKEN, metrics_allow="10.0.0.1")
    right = {"authorization": f"Bearer {TOKEN}"}
    assert scrape(both, "GET", right, "10.0.0.2").status == 403
    assert scrape(both, "GET", {}, "10.0.0.1").status == 401
    assert scrape(both, "GET", right, "10.0.0.1").status == 200


def test_a_failure_is_a_500_and_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    """Metrics that cannot be written are an answer of their own, counted and logged, without the error's text."""
    broken = endpoint()

    class Broken:
        def collect(self) -> Iterator[Any]:
            raise ValueError("customer 4711")

    broken.registry.register(Broken())  # type: ignore[arg-type]
    response = scrape(broken, "GET", {})
    assert response.status_line == "500 Internal Server Error"
    assert b"customer" not in response.body
    assert "customer" not in caplog.text
    assert "internal error in exposition: ValueError" in caplog.text


def test_wsgi() -> None:
    """As a WSGI application it reads method, headers and peer from the environment."""
    started: list[Any] = []
    metrics = endpoint(metrics_allow="10.0.0.1", metrics_token=TOKEN)
    environ = {
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "HTTP_ACCEPT_ENCODING": "gzip",
    }
    body = b"".join(wsgi.respond(metrics, environ, lambda *given: started.append(given)))  # type: ignore[arg-type,return-value]
    [(status, headers)] = started
    assert (status, dict(headers)["Content-Encoding"]) == ("200 OK", "gzip")
    assert b"fogcompute_memory_rss_mb" in gzip.decompress(body)


def test_the_applications_own_route_is_told_once(metrics: MetricsEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Where the host has a route of its own, a log line says how to see the metrics; once."""
    both = Endpoint(MetricsEndpoint(metrics.profiler, "/metrics"))
    with caplog.at_level(logging.WARNING):
        found = [both.find("/metrics", lambda: True) for _ in range(2)]
    assert found == [None, None]
    [record] = caplog.records
    assert "/metrics belongs to the application" in record.getMessage()


def test_an_application_whose_routes_cannot_be_asked_has_none(metrics: MetricsEndpoint) -> None:
    """Whatever a host's routes raise, in any adapter, the scrape is answered and the failure counted."""

    def odd() -> bool:
        raise LookupError("a router of another kind")

    metrics.path = "/metrics"
    response = Endpoint(metrics).respond(Request(method="GET", path="/metrics"), odd)
    assert response is not None
    assert response.status == 200
    assert metrics.profiler.failures.counts == {"routes": 1}


def test_a_scrape_starts_the_profiler() -> None:
    """A scrape may be the first event in a process."""
    profiler = MemoryProfiler(Config(interval=3600), probes=FakeProbes())
    try:
        assert scrape(MetricsEndpoint(profiler), "GET", {}).status == 200
        assert profiler.running
    finally:
        profiler.stop()
