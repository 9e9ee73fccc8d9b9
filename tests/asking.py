"""Requests of tests."""

from __future__ import annotations

from collections.abc import Mapping

from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import Request, Response


def scrape(
    metrics: MetricsEndpoint, method: str = "GET", headers: Mapping[str, str] | None = None, client: str | None = None
) -> Response:
    """What a scrape is answered."""
    return metrics.respond(Request(method=method, path="/metrics", headers=headers or {}, client=client))
