"""The memory profiler in any ASGI application: Starlette, FastAPI, Quart, Litestar, Django's ASGI handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from asgi_memprof.frameworks import have_routes_left
from asgi_memprof.http import Message, Receive, Scope, Send, respond
from asgi_memprof.routes import RouteNames
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.errors import ConfigError
from memprof_middleware.registry import get_memory_profiler as get_profiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.counter import UNMATCHED
from memprof_middleware.routes.labels import below
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.protocol import is_wsgi
from memprof_middleware.web.http.visits import KEY, OWN, announced, settle, warn_twice

__all__ = ["MemProfMiddleware", "get_profiler", "make_metrics_app"]

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_COUNTED = frozenset({"http", "websocket"})
_ENDS = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class MemProfMiddleware:
    """Starts the profiler with the application, serves ``/metrics``, counts requests; passes on all else.

    Args:
        app: the application.
        profiler: a ready profiler; or
        config: settings to make one with. With neither, the process's own profiler is used.
        route_name: from the scope, as it is when the response has ended, to the template that a request is counted
            under, such as ``/cart/{id}``; ``None`` is unmatched. By default the template that the framework knows
            (docs/routes.md lists them), and for other applications the path with ids and slugs folded.

    Raises:
        ConfigError: both are given, a setting of ``config`` is not valid, or the application is WSGI. A variable of
            the environment that is not valid is told at the application's start, which fails by it.

    Attributes:
        profiler: the profiler at work.
        endpoint: what it answers by itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        profiler: MemoryProfiler | None = None,
        config: Config | None = None,
        route_name: Callable[[Scope], str | None] | None = None,
    ) -> None:
        if is_wsgi(app):
            raise ConfigError("this application is WSGI: use wsgi_memprof, or MemProf(app) for Flask")
        self.app = app
        # Starlette makes its middleware within the first call: an exception there fails each request, and the server
        # starts all the same.
        self._refused = ""
        try:
            self.profiler = profiler_for(profiler, config)
        except ConfigError as error:
            if profiler is not None or config is not None:
                raise
            self._refused = f"memprof: {error}"
            self.profiler = MemoryProfiler(Config(enabled=False))
            self.profiler.logger.error("%s", self._refused)  # noqa: TRY400 - its text says all
        self._traffic = self.profiler.traffic
        self._names = RouteNames(self._traffic, route_name)
        if route_name is None:
            with self.profiler.failures.caught("route_name"):
                have_routes_left(app)
        self.endpoint = endpoint_of(self.profiler)
        self._own = self.endpoint.paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        if kind not in _COUNTED:
            await (self._lifespan if kind == "lifespan" else self.app)(scope, receive, send)
            return
        self.profiler.ensure_running()
        root = scope.get("root_path", "")
        # Behind a prefix, servers differ in whether the path holds it too (ASGI 3.0, "root_path").
        path = below(scope["path"], root) if root else scope["path"]
        if path.startswith(self._own) and kind == "http":
            part = self.endpoint.find(path, partial(self._is_taken, path, scope))
            if part is not None:
                await respond(part, path, scope, receive, send)
                scope.get(KEY, []).append(OWN)
                return
        if KEY in scope:
            await self._within(scope, receive, send, scope[KEY])
            return
        scope[KEY] = announced(root, path)
        watched = None if self._names.host_tells else self._names.watched(scope, send)
        self._traffic.started += 1
        try:
            await self.app(scope, receive, watched or send)
        except Exception:
            self._traffic.failed += 1
            raise
        finally:
            route = UNMATCHED
            try:
                # The scope by now holds what the application's router found.
                route = self._names.of(scope, root, watched)
            except Exception as error:  # noqa: BLE001 - a host's odd route must not fail the request
                self.profiler.failures.record("route_name", error)
            settle(scope, self._traffic, watched or self._traffic, route)

    async def _within(self, scope: Scope, receive: Receive, send: Send, notes: list[str]) -> None:
        """Pass a request on that a middleware further out counts, and tell it the route if the application has."""
        warn_twice(self.profiler)
        try:
            await self.app(scope, receive, send)
        finally:
            with self.profiler.failures.caught("route_name"):
                if self._names.tells(scope):
                    notes.append(self._names.of(scope, notes[0], None))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._refused:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": self._refused})
            return

        async def on_receive() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.profiler.resume()
            return message

        async def on_send(message: Message) -> None:
            if message["type"] in _ENDS:
                # Not in a thread of asyncio's: the loop may be another one, and nothing else runs on it any more.
                with self.profiler.failures.caught("stop"):
                    self.profiler.stop()
            await send(message)

        await self.app(scope, on_receive, on_send)

    def _is_taken(self, path: str, scope: Scope) -> bool:
        """Whether the application's routes have this very path; one that catches everything does not count."""
        routes = [r for r in getattr(scope.get("app", self.app), "routes", ()) if hasattr(r, "matches")]
        sibling = path.rpartition("/")[0] + "/memprof-has-no-such-page"
        for slash in ("", "/"):  # Starlette redirects a path to its twin with a slash, such as a mount
            found = _first_match(routes, scope, path + slash)
            if found is not None and found != _first_match(routes, scope, sibling + slash):
                return True
        return False


def _first_match(routes: Iterable[Any], scope: Scope, path: str) -> tuple[Any, Any] | None:
    """The first route of Starlette's kind that answers a path, and its endpoint."""
    asked = {**scope, "path": path, "root_path": ""}
    for route in routes:
        match, found = route.matches(asked)
        if match.value:
            return route, found.get("endpoint")
    return None


def make_metrics_app(profiler: MemoryProfiler | None = None, *, config: Config | None = None) -> ASGIApp:
    """An ASGI application that serves the metrics, to be mounted anywhere; arguments as for the middleware.

    Raises:
        ConfigError: as the middleware.
    """
    from memprof_middleware.web.http.exposition import MetricsEndpoint

    part = MetricsEndpoint(profiler_for(profiler, config))

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(part, scope["path"], scope, receive, send)

    return metrics
