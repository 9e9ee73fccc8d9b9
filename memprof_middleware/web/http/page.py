"""The page endpoint: the page and all paths below it, behind one token."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from urllib.parse import quote

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.html.assets import assets
from memprof_middleware.web.html.page import render
from memprof_middleware.web.html.shell import REFRESH_SECONDS
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.auth import Guard
from memprof_middleware.web.http.extensions import extensions
from memprof_middleware.web.http.messages import MOST_BYTES, Request, Response
from memprof_middleware.web.http.part import Part
from memprof_middleware.web.state.source import StateReader

Handler = Callable[[Request], Response]
# Longer than any path below the mount: the addresses in an answer lead up from it, so it grows with the path.
_LONGEST_PATH = 200


class PageEndpoint(Part):
    """Answer requests for the page and the paths below it.

    Args:
        profiler: the profiler; its settings have a ``token`` and a ``page_path``.
        refresh: seconds between two updates of an open page.

    Attributes:
        handlers: the handlers below the mount, behind the token, by the first segment of the path, such as
            ``flame`` for ``flame``, ``flame/17`` and ``flame/17.collapsed``.
        reader: reads the state that the page shows.
    """

    failure = "page"
    slow = True

    def __init__(self, profiler: MemoryProfiler, *, refresh: float = REFRESH_SECONDS) -> None:
        self._mount = profiler.config.page_path or ""
        super().__init__(profiler, self._mount)
        self._guard = Guard(profiler.config.token or "", profiler.now, time.monotonic)
        self._refresh = refresh
        self.reader = StateReader(profiler)
        self.handlers: dict[str, Handler] = extensions(profiler, self.reader)

    def owns(self, path: str) -> bool:
        """Whether a path is the mount's or below it."""
        return path.startswith(self._mount) and path[len(self._mount) :][:1] in {"", "/"}

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        self.profiler.step_if_overdue()
        below = request.path[len(self._mount) :]
        if not below:  # relative addresses need the slash at the end
            return messages.redirect(f"{quote(self._mount.rpartition('/')[2])}/", 308)
        request = dataclasses.replace(request, path=below[1:])
        return _unfit(request) or self._answer(request)

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
        with self.reader.charging():
            state = self.reader.state(tuple(self.handlers))
            if request.path:
                return messages.data(request, state)
            return messages.html(request, render(state, self._refresh))

    @staticmethod
    def _static(request: Request, name: str) -> Response:
        asset = assets().get(name)
        if asset is None or request.method not in {"GET", "HEAD"}:
            return messages.text(request, "there is no such file here\n", 404)
        return messages.answer(request, asset.body, asset.content_type, cached=True)


def _unfit(request: Request) -> Response | None:
    """The response to a request that none of our pages makes; ``None`` for all others."""
    if request.size < 0:
        return messages.text(request, "Content-Length must be a number\n", 400)
    if request.size > MOST_BYTES:
        return messages.text(request, f"a body of at most {MOST_BYTES} bytes is read here\n", 413)
    if len(request.path) > _LONGEST_PATH:
        return messages.text(request, "no path here is that long\n", 404)
    return None
