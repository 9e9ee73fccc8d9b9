"""The page as one function: a request in, an answer out. The hosts only translate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.html.assets import assets
from memprof_middleware.web.html.page import render
from memprof_middleware.web.html.shell import REFRESH_SECONDS
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.auth import Guard
from memprof_middleware.web.http.exposition import Response
from memprof_middleware.web.http.extensions import extensions
from memprof_middleware.web.http.messages import BadRequestError, Request
from memprof_middleware.web.state.source import Looking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Handler = Callable[[Request], Response]
# The longest body that is read: a form with a token, or what an extension is told.
MOST_BYTES = 16384
# Longer than any path below the mount: the addresses in an answer lead up from it, so it grows with the path.
_LONGEST_PATH = 200
# A path that no request can have.
_NOWHERE = "\0"


class PageEndpoint:
    """What an adapter mounts: answers requests for the page and what lies below it, and never raises.

    Args:
        profiler: whose figures are shown. Without ``token`` in its settings nothing is served.
        refresh: seconds between two looks of an open page.

    Attributes:
        handlers: what others serve below the mount, behind the token: by the first segment of the path, such as
            ``flame`` for ``flame``, ``flame/17`` and ``flame/17.collapsed``.
        looking: reads what the page shows.
        own_paths: how every path begins that the profiler may answer, the metrics' too: adapters ask a request for
            more only if its path does.
    """

    def __init__(self, profiler: MemoryProfiler, *, refresh: float = REFRESH_SECONDS) -> None:
        self._profiler = profiler
        config = profiler.config
        self.mount = _NOWHERE if config.token is None or config.page_path is None else config.page_path
        self.own_paths = (config.metrics_path or _NOWHERE, self.mount)
        self._guard = Guard(config.token or "", profiler.now, time.monotonic)
        self._refresh = refresh
        self.looking = Looking(profiler)
        self.handlers: dict[str, Handler] = extensions(profiler, self.looking)

    def below(self, path: str) -> str | None:
        """The part of a path below the mount, with the slash in front; ``None`` if it is not ours."""
        if not path.startswith(self.mount):
            return None
        rest = path[len(self.mount) :]
        return rest if rest[:1] in {"", "/"} else None

    def respond(self, request: Request) -> Response:
        """Answer a request whose path is as :meth:`below` gives it."""
        self._profiler.ensure_running()
        self._profiler.step_if_overdue()
        try:
            if not request.path.startswith("/"):  # relative addresses need the slash at the end
                return messages.redirect(f"{quote(self.mount.rpartition('/')[2])}/", 308)
            return _unfit(request) or self._answer(dataclasses.replace(request, path=request.path[1:]))
        except BadRequestError as error:
            return messages.text(request, f"{error}\n", 400)
        except Exception as error:  # noqa: BLE001 - a page that fails must not look like the application failing
            self._profiler.failures.record("page", error)
            return messages.text(request, "the page could not be made; the log says why\n", 500)

    def wsgi(self, environ: WSGIEnvironment, start_response: StartResponse, path: str) -> list[bytes]:
        """The same for a WSGI host; ``path`` as :meth:`below` gives it."""
        headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"}
        size = body_size(environ.get("CONTENT_LENGTH"))
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=path,
            query=environ.get("QUERY_STRING", ""),
            headers=headers,
            body=environ["wsgi.input"].read(size) if 0 < size <= MOST_BYTES else b"",
            size=size,
            client=environ.get("REMOTE_ADDR"),
            secure=is_secure(environ.get("wsgi.url_scheme", ""), headers),
        )
        response = self.respond(request)
        start_response(response.status_line, list(response.headers))
        return [response.body]

    def _answer(self, request: Request) -> Response:
        first, _, rest = request.path.partition("/")
        if first == "static":
            return self._static(request, rest)
        if request.path == "login":
            return self._guard.login(request)
        refusal = self._guard.refusal(request)
        if refusal is not None:
            return refusal
        if first in self.handlers:
            return self.handlers[first](request)
        if request.path not in {"", "api/state.json"}:
            return messages.text(request, "there is no such page here\n", 404)
        if request.method not in {"GET", "HEAD"}:
            return messages.text(request, "use GET or HEAD\n", 405, ("Allow", "GET, HEAD"))
        with self.looking.paying():
            state = self.looking.state(tuple(self.handlers))
            if request.path:
                return messages.data(request, state)
            return messages.html(request, render(state, self._refresh))

    @staticmethod
    def _static(request: Request, name: str) -> Response:
        asset = assets().get(name)
        if asset is None or request.method not in {"GET", "HEAD"}:
            return messages.text(request, "there is no such file here\n", 404)
        return messages.answer(request, asset.body, asset.content_type, cached=True)


def body_size(length: str | None) -> int:
    """The bytes that a ``Content-Length`` announces, as far as it matters here: one too many for all that is more.

    -1 for what is no number.
    """
    digits = (length or "0").lstrip("0") or "0"
    if not (digits.isascii() and digits.isdigit()):
        return -1
    return int(digits) if len(digits) <= len(str(MOST_BYTES)) else MOST_BYTES + 1


def is_secure(scheme: str, headers: dict[str, str]) -> bool:
    """Whether the browser speaks TLS; who lies about it harms only his own cookie."""
    return "https" in {scheme, headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()}


def too_large(request: Request) -> Response:
    """For a body that nobody here would read."""
    return messages.text(request, f"a body of at most {MOST_BYTES} bytes is read here\n", 413)


def _unfit(request: Request) -> Response | None:
    """What to answer to a request that is none of any that our pages make."""
    if request.size < 0:
        return messages.text(request, "Content-Length must be a number\n", 400)
    if request.size > MOST_BYTES:
        return too_large(request)
    if len(request.path) > _LONGEST_PATH:
        return messages.text(request, "no path here is that long\n", 404)
    return None
