"""The translation of WSGI requests and responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memprof_middleware.web.http.endpoint import Endpoint
from memprof_middleware.web.http.messages import MOST_BYTES, Request, body_size, is_secure
from memprof_middleware.web.http.part import Part

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def answer(
    endpoint: Endpoint,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    is_taken: Callable[[], bool] = lambda: False,
) -> list[bytes] | None:
    """Answer a request; ``None``: it is the application's. Arguments as for :meth:`Endpoint.find`."""
    part = endpoint.find(environ.get("PATH_INFO", ""), is_taken)
    if part is None:
        return None
    return respond(part, environ, start_response)


def respond(part: Part, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """The response of one part to a request, whatever its path."""
    response = part.respond(_request(environ, with_body=part.slow))
    start_response(response.status_line, list(response.headers))
    return [response.body]


def _request(environ: WSGIEnvironment, *, with_body: bool) -> Request:
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"}
    size = body_size(environ.get("CONTENT_LENGTH")) if with_body else 0
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", ""),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=environ["wsgi.input"].read(size) if 0 < size <= MOST_BYTES else b"",
        size=size,
        client=environ.get("REMOTE_ADDR"),
        secure=is_secure(environ.get("wsgi.url_scheme", ""), headers),
    )
