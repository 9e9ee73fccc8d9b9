"""``/metrics`` as one pure function: method and headers in, status, headers and body out."""

from __future__ import annotations

import dataclasses
import gzip
import ipaddress
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from memprof_middleware.metrics.collector import MemoryCollector
from memprof_middleware.model.value import valueclass
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http.token_check import TokenCheck

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# Below this, gzip's own header eats what it saves.
_GZIP_FROM = 500
_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="metrics"')
# The formats that Prometheus and its like ask for, with the parameters that they have.
_OFFER = re.compile(
    r"(?:application/openmetrics-text|text/plain)(?:\s*;\s*(?:version=(?:0\.0\.[14]|1\.0\.0)|charset=utf-8|"
    r"escaping=(?:allow-utf-8|underscores|dots|values)|q=[0-9.]{1,5}))*"
)


@valueclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, ready for any server interface."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        """The status as WSGI wants it, such as ``200 OK``."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


class MetricsEndpoint:
    """What an adapter mounts: answers requests for a profiler's metrics, and never raises.

    Attributes:
        registry: what is served.
    """

    def __init__(self, profiler: MemoryProfiler) -> None:
        self._profiler = profiler
        self._yielded = False
        token = profiler.config.metrics_token
        self._token = None if token is None else TokenCheck(token, time.monotonic)
        self.registry = CollectorRegistry()
        self.registry.register(MemoryCollector(profiler))

    def respond(self, method: str, headers: Mapping[str, str], client: str | None = None) -> Response:
        """Answer a request.

        Args:
            method: the request's method.
            headers: as for :func:`render`; ``authorization`` is looked at too.
            client: address of the peer; ``None`` if the server does not tell.
        """
        self._profiler.ensure_running()
        self._profiler.step_if_overdue()
        try:
            response = self._refusal(headers, client) or render(self.registry, method, headers)
            return dataclasses.replace(response, body=b"") if method == "HEAD" else response
        except Exception as error:  # noqa: BLE001 - a scrape that fails must not look like the application failing
            self._profiler.failures.record("exposition", error)
            return plain(500, "the metrics could not be written; the log says why\n")

    def wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """The same as a WSGI application."""
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        response = self.respond(environ["REQUEST_METHOD"], headers, environ.get("REMOTE_ADDR"))
        start_response(response.status_line, list(response.headers))
        return [response.body]

    def _refusal(self, headers: Mapping[str, str], client: str | None) -> Response | None:
        allowed = self._profiler.config.metrics_allow
        if allowed and not _is_allowed(allowed, client):
            return plain(403, "this address may not read the metrics\n")
        if self._token is None:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return plain(401, "a bearer token is needed\n", _CHALLENGE)
        if self._token.opens(given.strip()):
            return None
        wait = self._token.wrong(client)
        if not wait:
            return plain(401, "that is not the token\n", _CHALLENGE)
        words = f"that is not the token, and there were too many wrong ones: wait {wait} s\n"
        return plain(429, words, ("Retry-After", str(wait)))

    def yield_to_host(self) -> None:
        """Say once that the application's own route at the metrics' path is served instead."""
        if not self._yielded:
            self._yielded = True
            self._profiler.logger.warning(
                "memprof: the application has its own route %s, which stays; to see the memory metrics, set "
                "metrics_path to another path",
                self._profiler.config.metrics_path,
            )


def render(registry: CollectorRegistry, method: str, headers: Mapping[str, str]) -> Response:
    """The metrics, for who may read them.

    Args:
        registry: what is served.
        method: the request's method.
        headers: the request's headers, names in lower case; ``accept`` and ``accept-encoding`` are looked at.
    """
    if method not in {"GET", "HEAD"}:
        return plain(405, "use GET or HEAD\n", ("Allow", "GET, HEAD"))
    encoder, content_type = choose_encoder(understood(headers.get("accept", "")))
    body = encoder(registry)
    found = [
        ("Content-Type", content_type),
        ("Vary", "Accept, Accept-Encoding"),
        ("Cache-Control", "no-store"),
    ]
    if len(body) >= _GZIP_FROM and accepts_gzip(headers.get("accept-encoding", "")):
        # Level 1: a scrape is small and frequent, and the host's processor is not ours.
        body = gzip.compress(body, compresslevel=1, mtime=0)
        found.append(("Content-Encoding", "gzip"))
    found.append(("Content-Length", str(len(body))))
    return Response(200, tuple(found), body)


def plain(
    status: int, text: str, *headers: tuple[str, str], content_type: str = "text/plain; charset=utf-8"
) -> Response:
    """A short answer in words."""
    body = text.encode()
    return Response(
        status,
        (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *headers,
        ),
        body,
    )


def understood(accept: str) -> str:
    """What a scraper may send of an ``Accept`` header: the library trusts it, and repeats some of it in its answer."""
    return ",".join(offer for offer in map(str.strip, accept.split(",")) if _OFFER.fullmatch(offer))


def _is_allowed(networks: tuple[str, ...], client: str | None) -> bool:
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:  # a Unix socket has no address
        return False
    # A server that listens on both families shows an IPv4 client as ::ffff:192.0.2.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    allowed = [ipaddress.ip_network(network, strict=False) for network in networks]
    return any(one in network for one in (address, mapped) if one is not None for network in allowed)


def accepts_gzip(header: str) -> bool:
    """Whether an ``Accept-Encoding`` header allows it."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, weight = parameter.replace(" ", "").partition("=")
        try:
            weights[coding.strip()] = float(weight) if name == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0
