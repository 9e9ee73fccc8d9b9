"""Requests and answers of the page, as plain values: what every host translates to and from."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from memprof_middleware.model.clean import clean
from memprof_middleware.model.value import valueclass
from memprof_middleware.web.http.exposition import Response, accepts_gzip

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
_GZIP_FROM = 500
_MOST_FIELDS = 20


class BadRequestError(Exception):
    """What came in cannot be read; the message says why and shows nothing of it."""


@valueclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in.

    Attributes:
        method: such as ``GET``.
        path: below the mount, without a slash in front: empty for the page itself, ``api/state.json``.
        query: what stands behind the question mark.
        headers: names in lower case.
        body: at most some kilobytes; what is longer is not read.
        size: the bytes that the body has, where the host tells; -1: it told no number.
        client: address of the peer, if the server tells it.
        secure: whether the browser speaks TLS, as far as it can be known.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    client: str | None = None
    secure: bool = False

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
    request: Request, body: bytes, content_type: str, status: int = 200, *headers: tuple[str, str], cached: bool = False
) -> Response:
    """Bytes with the headers that every answer has; packed if they are many and the browser can unpack."""
    keep = ("Cache-Control", "public, max-age=31536000, immutable") if cached else NO_STORE
    found = [("Content-Type", content_type), ("Vary", "Accept-Encoding, Cookie"), keep, *SAFETY, *headers]
    if len(body) >= _GZIP_FROM and accepts_gzip(request.headers.get("accept-encoding", "")):
        body = gzip.compress(body, compresslevel=5, mtime=0)
        found.append(("Content-Encoding", "gzip"))
    found.append(("Content-Length", str(len(body))))
    return Response(status, tuple(found), b"" if request.method == "HEAD" else body)
