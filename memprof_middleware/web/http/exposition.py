"""The metrics endpoint, with its access check."""

from __future__ import annotations

import ipaddress
import re
import time

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from memprof_middleware.metrics.collector import MemoryCollector
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.part import Part
from memprof_middleware.web.http.token_check import TokenCheck

# The formats that scrapers request, with their parameters.
_OFFER = re.compile(
    r"(?:application/openmetrics-text|text/plain)(?:\s*;\s*(?:version=(?:0\.0\.[14]|1\.0\.0)|charset=utf-8|"
    r"escaping=(?:allow-utf-8|underscores|dots|values)|q=[0-9.]{1,5}))*"
)


class MetricsEndpoint(Part):
    """Answer requests for a profiler's metrics.

    Attributes:
        registry: the registry with the profiler's collector.
    """

    failure = "exposition"
    yields = True

    def __init__(self, profiler: MemoryProfiler, path: str | None = None) -> None:
        super().__init__(profiler, path)
        token = profiler.config.metrics_token
        self._token = None if token is None else TokenCheck(token, time.monotonic, realm="metrics")
        self.registry = CollectorRegistry()
        self.registry.register(MemoryCollector(profiler))

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        self.profiler.step_if_overdue()
        return self._refusal(request) or render(self.registry, request)

    def _refusal(self, request: Request) -> Response | None:
        allowed = self.profiler.config.metrics_allow
        if allowed and not _is_allowed(allowed, request.client):
            return messages.text(request, "this address may not read the metrics\n", 403)
        if self._token is None:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self._token.challenge(request, "a bearer token is needed\n")
        return self._token.refusal(request, given.strip())


def render(registry: CollectorRegistry, request: Request) -> Response:
    """The metrics of a registry, in the format that the request asks for."""
    if request.method not in {"GET", "HEAD"}:
        return messages.text(request, "use GET or HEAD\n", 405, ("Allow", "GET, HEAD"))
    encoder, content_type = choose_encoder(understood(request.headers.get("accept", "")))
    # Level 1: a scrape is small and frequent, and the host's processor is not ours.
    return messages.answer(request, encoder(registry), content_type, vary="Accept, Accept-Encoding", level=1)


def understood(accept: str) -> str:
    """The known part of an ``Accept`` header: the library repeats some of the header in its response."""
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
