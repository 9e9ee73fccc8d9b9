"""The middlewares for applications that know nothing of them: a ``/metrics`` of the application's own stays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

import asgi_memprof
import wsgi_memprof
from asgi_memprof.frameworks import have_routes_left
from wsgi_memprof.frameworks import have_routes_left as have_wsgi_routes_left

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# A path that no application has: who answers it as it does ``/metrics`` has a page for every path.
_NOWHERE = "/memprof-has-no-such-page"
# Layers of wrappers that servers put around an application: proxies, access logs.
_MOST_LAYERS = 10
_NOT_THERE = frozenset({404, 405})


class YieldingAsgi(asgi_memprof.MemProfMiddleware):
    """The ASGI middleware; the first scrape of a process asks the application whether the path is its own.

    Args:
        app: the application as the server has it.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._taken: bool | None = None
        inner = app
        for _ in range(_MOST_LAYERS):
            inner = getattr(inner, "app", None)
            if inner is None:
                break
            with self.profiler.failures.caught("route_name"):
                have_routes_left(inner)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        path = self.profiler.config.metrics_path
        if self._taken is None and path is not None and scope["type"] == "http" and scope["path"].endswith(path):
            found = await self._answer(scope, scope["path"])
            nowhere = scope["path"].removesuffix(path) + _NOWHERE
            self._taken = _is_there(found) and found != await self._answer(scope, nowhere)
        await super().__call__(scope, receive, send)

    def _is_taken(self, path: str, scope: Any) -> bool:  # noqa: ARG002 - as the base has it
        return bool(self._taken)

    async def _answer(self, scope: Any, path: str) -> list[tuple[int, str]]:
        """Status and type of what the application itself answers."""
        found: list[tuple[int, str]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = {name.lower(): value for name, value in message.get("headers", ())}
                found.append((message["status"], headers.get(b"content-type", b"").decode("latin-1")))

        with self.profiler.failures.caught("routes"):
            await self.app({**scope, "method": "GET", "path": path, "raw_path": path.encode()}, receive, send)
        return found


class YieldingWsgi(wsgi_memprof.MemProfMiddleware):
    """The same for WSGI.

    Args:
        app: the application as the server has it.
    """

    def __init__(self, app: Any) -> None:
        # The base looks at what it is given; what ``flask run`` gives is Flask's and no Flask.
        super().__init__(functools.partial(app))
        self._taken: bool | None = None
        if type(app).__module__ != "flask.cli":
            with self.profiler.failures.caught("route_name"):
                have_wsgi_routes_left(app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = self.profiler.config.metrics_path
        if self._taken is None and path is not None and environ.get("PATH_INFO") == path:
            found = self._answer(environ, path)
            self._taken = _is_there(found) and found != self._answer(environ, _NOWHERE)
            if self._taken:
                self._own = tuple(one for one in self._own if one != path)
        return super().__call__(environ, start_response)

    def _answer(self, environ: WSGIEnvironment, path: str) -> list[tuple[int, str]]:
        """Status and type of what the application itself answers."""
        found: list[tuple[int, str]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[..., None]:
            kinds = {name.lower(): value for name, value in headers}
            found.append((int(status[:3]), kinds.get("content-type", "")))
            return lambda _data: None

        with self.profiler.failures.caught("routes"):
            body = self.app({**environ, "REQUEST_METHOD": "GET", "PATH_INFO": path}, start_response)
            try:
                for _ in body:
                    pass
            finally:
                getattr(body, "close", lambda: None)()
        return found


def _is_there(found: list[tuple[int, str]]) -> bool:
    """Whether it answers at all: one that has no such path is not asked for another, which its log would show."""
    return bool(found) and found[-1][0] not in _NOT_THERE


def exported(app: Any, serve: Callable[[], None]) -> Any:
    """An application that has the middleware itself, and whose metrics go to the port as well.

    Its profiler may be made with its first request; what serves is started after that.

    Args:
        app: the application.
        serve: starts it; may be called again.
    """
    from inspect import iscoroutinefunction

    from memprof_middleware.registry import made_profiler

    def started() -> bool:
        found = made_profiler()
        if found is not None:
            serve()
        return found is not None

    if started():
        return app
    if iscoroutinefunction(app) or iscoroutinefunction(type(app).__call__):

        async def asynchronous(scope: Any, receive: Any, send: Any) -> None:
            async def sent(message: Any) -> None:
                started()
                await send(message)

            await app(scope, receive, sent)

        return asynchronous

    def synchronous(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        finally:
            started()

    return synchronous
