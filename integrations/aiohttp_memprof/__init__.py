"""The memory profiler in an aiohttp.web application."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.counter import UNMATCHED
from memprof_middleware.routes.labels import LABELS
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.messages import MOST_BYTES, Request, is_secure
from memprof_middleware.web.http.part import Part

__all__ = ["get_profiler", "setup"]

_PROFILER = web.AppKey("memprof", MemoryProfiler)


def setup(app: web.Application, *, profiler: MemoryProfiler | None = None, config: Config | None = None) -> None:
    """Start the profiler with the application, serve ``/metrics``, count requests by their routes.

    Args:
        app: the main application, before it runs; sub-applications need nothing.
        profiler: a ready profiler; or
        config: settings to make one with. With neither, the process's own profiler is used.

    Raises:
        ConfigError: both are given, a setting is not valid, or the application was set up before.
    """
    if _PROFILER in app:
        raise ConfigError("the application has the profiler already: call setup() once")
    profiler = app[_PROFILER] = profiler_for(profiler, config)
    app.middlewares.insert(0, _middleware(app, profiler))
    app.on_startup.append(_start)
    app.on_cleanup.append(_stop)


def get_profiler(app: web.Application) -> MemoryProfiler:
    """The profiler of an application.

    Raises:
        KeyError: :func:`setup` was not called for it.
    """
    return app[_PROFILER]


async def _start(app: web.Application) -> None:
    app[_PROFILER].resume()


async def _stop(app: web.Application) -> None:
    with app[_PROFILER].failures.caught("stop"):
        app[_PROFILER].stop()


def _middleware(app: web.Application, profiler: MemoryProfiler) -> Middleware:
    endpoint, traffic = endpoint_of(profiler), profiler.traffic

    @web.middleware
    async def memprof(request: web.Request, handler: Handler) -> web.StreamResponse:
        profiler.ensure_running()
        if request.path.startswith(endpoint.paths):
            part = endpoint.find(request.path, partial(_is_taken, app, request.path))
            if part is not None:
                return await _respond(part, request)
        traffic.started += 1
        try:
            return await handler(request)
        except Exception as error:
            if not isinstance(error, web.HTTPException) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                traffic.failed += 1
            raise
        finally:
            route = UNMATCHED
            with profiler.failures.caught("route_name"):
                resource = request.match_info.route.resource  # None: no route answers this path
                if resource is not None:
                    route = LABELS[request.method, resource.canonical]
            traffic.end(route)

    return memprof


def _is_taken(app: web.Application, path: str) -> bool:
    """Whether the application has a resource for this very path."""
    return any(resource.canonical.rstrip("/") == path for resource in app.router.resources())


async def _respond(part: Part, request: web.Request) -> web.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await request.content.read(MOST_BYTES + 1) if part.slow and request.can_read_body else b""
    asked = Request(
        method=request.method,
        path=request.path,
        query=request.query_string,
        headers=headers,
        body=body,
        size=len(body),
        client=request.remote,
        secure=is_secure(request.scheme, headers),
    )
    # A page takes some milliseconds: not on the event loop, where all requests wait.
    response = await asyncio.to_thread(part.respond, asked) if part.slow else part.respond(asked)
    return web.Response(status=response.status, headers=list(response.headers), body=response.body)
