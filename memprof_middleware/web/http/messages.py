"""HTTP requests and responses as plain values, which each adapter translates."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from memprof_middleware.model.clean import clean
from memprof_middleware.model.value import valueclass

# A strict policy: scripts and styles from our own files only, and no text can become a script.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
# "no-referrer" would make browsers send "Origin: null" with our own forms, like a forged request.
SAFETY = (
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
NO_STORE = ("Cache-Control", "no-store")
# The longest body that is read: a form with a token, or a decision about an incident.
MOST_BYTES = 16384
# Below this size, gzip's own header is larger than its gain.
_GZIP_FROM = 500
_MOST_FIELDS = 20


class BadRequestError(Exception):
    """An unreadable request; the message says why and shows nothing of it."""


@valueclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request.

    Attributes:
        method: such as ``GET``.
        path: as the application sees it; for what lies below the page, without mount and slash: ``api/state.json``.
        query: the text behind the question mark.
        headers: names in lower case.
        body: at most some kilobytes; a longer body is not read.
        size: the length of the body in bytes, as the host reports it; -1: it is not a number.
        client: the address of the peer, if the server reports it.
        secure: whether the browser uses TLS, as far as it is known.
        vouched: the host has checked, by its own session, that the user may see the page.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    client: str | None = None
    secure: bool = False
    vouched: bool = False

    @property
    def up(self) -> str:
        """The way from this path to the mount: ``../`` for each folder. All addresses of the page are relative."""
        return "../" * self.path.count("/")

    def secret(self, name: str) -> str:
        """A field of the form in the body as it was sent, to be compared and never shown; empty if it is not there.

        Raises:
            BadRequestError: there are more fields than any form of ours has; also in the two methods below.
        """
        return _first(self.body.decode("latin-1"), name)

    def field(self, name: str) -> str:
        """A field of the form in the body, safe to be shown; empty if it is not there."""
        return clean(self.secret(name))

    def argument(self, name: str) -> str:
        """A field of the query, safe to be shown; empty if it is not there."""
        return clean(_first(self.query, name))


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


def _first(fields: str, name: str) -> str:
    try:
        return parse_qs(fields, keep_blank_values=True, max_num_fields=_MOST_FIELDS).get(name, [""])[0]
    except ValueError:
        raise BadRequestError(f"at most {_MOST_FIELDS} fields are read here") from None


def html(request: Request, text: str, status: int = 200, *headers: tuple[str, str]) -> Response:
    """A response with an HTML page."""
    return answer(request, text.encode(), "text/html; charset=utf-8", status, *headers)


def data(request: Request, value: Any, status: int = 200) -> Response:
    """A response with JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return answer(request, text.encode(), "application/json", status)


def text(request: Request, words: str, status: int, *headers: tuple[str, str]) -> Response:
    """A response with plain text."""
    return answer(request, words.encode(), "text/plain; charset=utf-8", status, *headers)


def redirect(location: str, status: int = 303, *headers: tuple[str, str]) -> Response:
    """A redirect to a relative address, which works under any mount."""
    found = (("Location", location), ("Content-Length", "0"), NO_STORE, *SAFETY, *headers)
    return Response(status, found, b"")


def answer(
    request: Request,
    body: bytes,
    content_type: str,
    status: int = 200,
    *headers: tuple[str, str],
    vary: str = "Accept-Encoding, Cookie",
    cached: bool = False,
    level: int = 5,
) -> Response:
    """A response of bytes with the common headers; compressed if it is large and the client accepts it.

    Args:
        request: what is answered.
        body: the bytes.
        content_type: of the body.
        status: of HTTP.
        headers: further headers.
        vary: the headers of the request that the response depends on.
        cached: whether it may be kept for ever.
        level: the level of gzip.
    """
    keep = ("Cache-Control", "public, max-age=31536000, immutable") if cached else NO_STORE
    found = [("Content-Type", content_type), ("Vary", vary), keep, *SAFETY, *headers]
    if len(body) >= _GZIP_FROM and accepts_gzip(request.headers.get("accept-encoding", "")):
        body = gzip.compress(body, compresslevel=level, mtime=0)
        found.append(("Content-Encoding", "gzip"))
    found.append(("Content-Length", str(len(body))))
    return Response(status, tuple(found), b"" if request.method == "HEAD" else body)


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


def body_size(length: str | None) -> int:
    """The size in a ``Content-Length`` header, cut one byte above the longest body.

    -1 if it is not a number.
    """
    digits = (length or "0").lstrip("0") or "0"
    if not (digits.isascii() and digits.isdigit()):
        return -1
    return int(digits) if len(digits) <= len(str(MOST_BYTES)) else MOST_BYTES + 1


def is_secure(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether the browser uses TLS; a client that lies about it harms only its own cookie."""
    return "https" in {scheme, headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()}
