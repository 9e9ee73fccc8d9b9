"""The HTTP client of the state, on the standard library; every failure has a message with a next step."""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from memprof_middleware.errors import TopError
from memprof_middleware.model.clean import clean
from memprof_middleware.model.foreign import parsed, parsed_object

# The version of api/state.json that this program understands.
SCHEMA = 2
TOKEN_VARIABLE = "MEMPROF_TOKEN"  # noqa: S105 - the name of a variable
_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 16 * 2**20
_PAGE = "/memprof/"
_SCHEMES = {"http", "https"}


def page_address(given: str) -> str:
    """The address of the page, with a slash at its end, from what a person types.

    Raises:
        TopError: it is no address.
    """
    text = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise TopError(f"{given!r} is no address ({error}): give one such as http://127.0.0.1:8000/memprof/") from None
    if parts.scheme not in _SCHEMES or not host:
        raise TopError(f"{given!r} is no address: give one such as http://127.0.0.1:8000/memprof/")
    if parts.username is not None or parts.query:
        raise TopError("the address holds more than host and path: the token belongs into MEMPROF_TOKEN or a file")
    path = parts.path.removesuffix("api/state.json")
    if path in {"", "/"}:
        path = _PAGE
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def read_token(file: str | None, environ: dict[str, str] | None = None) -> str:
    """The token, from a file or from the environment: a command line shows in every list of processes.

    Raises:
        TopError: there is none, or it cannot be sent.
    """
    if file is not None:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise TopError(f"the token file {file!r} cannot be read: {why}") from None
    else:
        token = (os.environ if environ is None else environ).get(TOKEN_VARIABLE, "").strip()
    if not token:
        where = f"the file {file!r} is empty" if file is not None else "MEMPROF_TOKEN is not set"
        raise TopError(f"no token: {where}. Set MEMPROF_TOKEN to the server's token, or use --token-file FILE")
    if not token.isascii() or not token.isprintable():
        raise TopError("the token holds characters that no token can have: printable ASCII is allowed")
    return token


class Client:
    """One server's page.

    Args:
        address: of the page, as :func:`page_address` gives it.
        token: what opens it.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self._token = token
        # A redirect would carry the token to wherever it leads.
        self._opener = urllib.request.build_opener(_NoRedirect)

    def state(self) -> dict[str, Any]:
        """The state of ``api/state.json``.

        Raises:
            TopError: it cannot be had; the message says what to do.
        """
        answer, _ = self._ask("api/state.json")
        try:
            found = parsed(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("schema"), int) or "version" not in found:
            raise TopError(self._not_ours())
        if found["schema"] > SCHEMA:
            raise TopError(
                f"the server runs a newer memprof (schema {found['schema']}, this one reads {SCHEMA}): update "
                "memprof-middleware here"
            )
        if found["schema"] < SCHEMA:
            raise TopError(
                f"the server runs an older memprof (schema {found['schema']}, this one reads {SCHEMA}): update "
                "memprof-middleware there"
            )
        return found

    def flame_windows(self) -> list[dict[str, Any]]:
        """The flame graphs that the server keeps, the last one first.

        Raises:
            TopError: they cannot be had; the message says what to do.
        """
        windows = self._object("flame/windows.json").get("windows")
        if not isinstance(windows, list):
            raise TopError(self._not_ours())
        return [window for window in windows if isinstance(window, dict)]

    def flames_compared(self, before: str, after: str) -> dict[str, Any]:
        """What differs between two of them.

        Args:
            before: the name of the first.
            after: the name of the second.

        Raises:
            TopError: it cannot be had; the message says what to do.
        """
        return self._object(f"flame/compare.json?{urlencode({'before': before, 'after': after})}")

    def record(self, pid: int, seconds: int) -> str:
        """Ask for a flame graph; the address that it will be at.

        Raises:
            TopError: it is refused; the message is the server's.
        """
        _, location = self._ask("flame", urlencode({"pid": pid, "seconds": seconds}).encode())
        return f"{self.address}{location}"

    def _object(self, path: str) -> dict[str, Any]:
        answer, _ = self._ask(path)
        try:
            return parsed_object(answer)
        except ValueError:
            raise TopError(self._not_ours()) from None

    def _ask(self, path: str, body: bytes | None = None) -> tuple[bytes, str]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "User-Agent": "memprof top"}
        request = urllib.request.Request(f"{self.address}{path}", data=body, headers=headers)  # noqa: S310 - checked
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return answer.read(_MOST_BYTES), ""
        except urllib.error.HTTPError as error:
            with error:
                if body is not None and error.code == http.client.SEE_OTHER:
                    return b"", _header(error, "Location", "")
                raise TopError(self._refused(error, asking=body is not None)) from None
        except urllib.error.URLError as error:
            raise TopError(self._unreachable(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TopError(self._unreachable(error)) from None

    def _refused(self, error: urllib.error.HTTPError, *, asking: bool) -> str:
        status = error.code
        if status == http.client.UNAUTHORIZED:
            return f"{self.address} rejected the token: use the server's MEMPROF_TOKEN"
        if status == http.client.FORBIDDEN:
            return f"{self.address} is closed for this address (403)"
        if status == http.client.TOO_MANY_REQUESTS and not asking:
            return f"too many wrong tokens: try again in {_header(error, 'Retry-After', 'some')} s"
        if asking and status in {http.client.CONFLICT, http.client.TOO_MANY_REQUESTS, http.client.BAD_REQUEST}:
            return clean(error.read(400).decode("utf-8", "replace").strip(), 400)
        if http.client.MULTIPLE_CHOICES <= status < http.client.BAD_REQUEST:
            return f"{self.address} redirects to {_header(error, 'Location', 'another place')}: use that address"
        if status >= http.client.INTERNAL_SERVER_ERROR:
            return f"{self.address} answers with an error ({status}): the server's log says why"
        return self._not_ours()

    def _unreachable(self, error: object) -> str:
        if isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
            return f"{self.address} does not speak TLS: use http://"
        if isinstance(error, (http.client.BadStatusLine, ConnectionResetError)) and self.address.startswith("http:"):
            return f"cannot read from {self.address}: {_reason(error)}. If it speaks TLS, use https://"
        return f"cannot connect to {self.address}: {_reason(error)}"

    def _not_ours(self) -> str:
        return (
            f"{self.address} is not a memprof page. Give the page's address (default path /memprof/). The server "
            "serves it only if MEMPROF_TOKEN is set."
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,  # noqa: ARG002 - the names are the base's
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: http.client.HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


def _header(error: urllib.error.HTTPError, name: str, otherwise: str) -> str:
    return clean(error.headers.get(name, otherwise), 400)


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused. Is the server running?"
    return clean(str(text))
