"""``/metrics`` as one pure function: method and headers in, status, headers and body out."""

from __future__ import annotations

import dataclasses
import gzip
import hmac
import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from memprof_middleware.config import Config
from memprof_middleware.outputs.metrics import MemoryCollector
from memprof_middleware.profiler import MemoryProfiler

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# Below this, gzip's own header eats what it saves.
_GZIP_FROM = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, ready for any server interface."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        """The status as WSGI wants it, such as ``200 OK``."""
        return f"{self.status} {_REASONS[self.status]}"


_REASONS = {
    200: "OK",
    303: "See Other",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class MetricsEndpoint:
    """What an adapter mounts: answers requests for a profiler's metrics, and never raises.

    Attributes:
        registry: what is served.
    """

    def __init__(self, profiler: MemoryProfiler) -> None:
        self._profiler = profiler
        self._yielded = False
        self.registry = CollectorRegistry()
        self.registry.register(MemoryCollector(profiler))

    def respond(self, method: str, headers: Mapping[str, str], client: str | None = None) -> Response:
        """Answer a request; arguments as for :func:`render`."""
        self._profiler.ensure_running()
        self._profiler.step_if_overdue()
        try:
            return render(self.registry, self._profiler.config, method, headers, client)
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

    def yield_to_host(self) -> None:
        """Say once that the application's own route at the metrics' path is served instead."""
        if not self._yielded:
            self._yielded = True
            self._profiler.logger.warning(
                "memprof: the application has its own route %s, which stays; to see the memory metrics, set "
                "metrics_path to another path",
                self._profiler.config.metrics_path,
            )


def render(
    registry: CollectorRegistry,
    config: Config,
    method: str,
    headers: Mapping[str, str],
    client: str | None = None,
) -> Response:
    """Answer a request for the metrics.

    Args:
        registry: what is served.
        config: who may ask (``metrics_token``, ``metrics_allow``).
        method: the request's method.
        headers: the request's headers, names in lower case; ``accept``, ``accept-encoding`` and ``authorization``
            are looked at.
        client: address of the peer; ``None`` if the server does not tell.
    """
    response = _refusal(config, headers, client) or _answer(registry, method, headers)
    return dataclasses.replace(response, body=b"") if method == "HEAD" else response


def _answer(registry: CollectorRegistry, method: str, headers: Mapping[str, str]) -> Response:
    if method not in {"GET", "HEAD"}:
        return plain(405, f"{method} is not allowed here: use GET or HEAD\n", ("Allow", "GET, HEAD"))
    encoder, content_type = choose_encoder(headers.get("accept", ""))
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


def _refusal(config: Config, headers: Mapping[str, str], client: str | None) -> Response | None:
    if config.metrics_allow and not _is_allowed(config.metrics_allow, client):
        return plain(403, "this address may not read the metrics\n")
    if config.metrics_token is not None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # compare_digest takes the same time whether the first or the last character is wrong.
        right = hmac.compare_digest(given.strip().encode(errors="replace"), config.metrics_token.encode())
        if scheme.lower() != "bearer" or not right:
            return plain(401, "a bearer token is needed\n", ("WWW-Authenticate", 'Bearer realm="metrics"'))
    return None


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
