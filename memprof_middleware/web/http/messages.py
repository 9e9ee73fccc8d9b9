"""Requests and answers, as plain values: what every host translates to and from."""

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

# A strict policy: scripts and styles from our own two files only, and no way from a text to a script in them.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
# "no-referrer" would make browsers send "Origin: null" with our own forms, and nothing could be told from a forgery.
SAFETY = (
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
NO_STORE = ("Cache-Control", "no-store")
# The longest body that is read: a form with a token, or what an extension is told.
MOST_BYTES = 16384
# Below this, gzip's own header eats what it saves.
_GZIP_FROM = 500
_MOST_FIELDS = 20


class BadRequestError(Exception):
    """What came in cannot be read; the message says why and shows nothing of it."""


@valueclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in.

    Attributes:
        method: such as ``GET``.
        path: as the application sees it; for what lies below the page, without mount and slash: ``api/state.json``.
        query: what stands behind the question mark.
        headers: names in lower case.
        body: at most some kilobytes; what is longer is not read.
        size: the bytes that the body has, where the host tells; -1: it told no number.
        client: address of the peer, if the server tells it.
        secure: whether the browser speaks TLS, as far as it can be known.
        vouched: the host has checked by its own session that who asks may see the page.
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
        """What leads from this path to the mount: ``../`` for each folder. All addresses of the page are relative."""
        return "../" * self.path.count("/")

    def secret(self, name: str) -> str:
        """A field of the form in the body as it was sent, to be compared and never shown; empty if it is not there.

        Raises:
            BadRequestError: there are more fields than any form of ours has; so with the other two.
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
    """A page."""
    return answer(request, text.encode(), "text/html; charset=utf-8", status, *headers)


def data(request: Request, value: Any, status: int = 200) -> Response:
    """JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return answer(request, text.encode(), "application/json", status)


def text(request: Request, words: str, status: int, *headers: tuple[str, str]) -> Response:
    """A short answer in words."""
    return answer(request, words.encode(), "text/plain; charset=utf-8", status, *headers)


def redirect(location: str, status: int = 303, *headers: tuple[str, str]) -> Response:
    """To a relative address: what stands before the mount need not be known."""
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
    """Bytes with the headers that every answer has; packed if they are many and the client can unpack.

    Args:
        request: what is answered.
        body: the bytes.
        content_type: of the body.
        status: of HTTP.
        headers: further ones.
        vary: the headers of a request that an answer depends on.
        cached: whether it may be kept for ever.
        level: how hard gzip is to try.
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
    """The bytes that a ``Content-Length`` announces, as far as it matters here: one too many for all that is more.

    -1 for what is no number.
    """
    digits = (length or "0").lstrip("0") or "0"
    if not (digits.isascii() and digits.isdigit()):
        return -1
    return int(digits) if len(digits) <= len(str(MOST_BYTES)) else MOST_BYTES + 1


def is_secure(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether the browser speaks TLS; who lies about it harms only his own cookie."""
    return "https" in {scheme, headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()}
