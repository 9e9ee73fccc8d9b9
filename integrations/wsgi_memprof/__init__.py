"""The memory profiler in any WSGI application: Bottle, Pyramid, Falcon, plain WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.registry import get_memory_profiler as get_profiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.counter import UNMATCHED, Traffic
from memprof_middleware.routes.labels import FOLDED, LABELS
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.protocol import is_asgi
from memprof_middleware.web.http.visits import (
    COMPLETE,
    KEY,
    OWN,
    ROUTE,
    RequestCounter,
    counted_body,
    counted_further_out,
    expect_mounted,
    label_within,
    settle,
    text_of,
    warn_twice,
)
from wsgi_memprof.frameworks import have_routes_left

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["MemProfMiddleware", "get_profiler", "make_metrics_app"]


class MemProfMiddleware:
    """Starts the profiler with the first request, serves ``/metrics``, counts requests; passes on all else.

    A WSGI application does not tell its routes: where it has a ``/metrics`` of its own, ours comes first, so set
    ``metrics_path`` to another path, or to ``None``.

    Args:
        app: the application.
        profiler: a ready profiler; or
        config: settings to make one with. With neither, the process's own profiler is used.
        route_name: from the environ, as it is when the application has returned, to the template that a request is
            counted under, such as ``/cart/{id}``; ``None`` is unmatched. By default the template that the framework
            knows (docs/routes.md lists them), else the path with ids and slugs folded.

    Raises:
        ConfigError: both are given, a setting is not valid, or the application is ASGI.

    Attributes:
        profiler: the profiler at work.
        endpoint: what it answers by itself.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        profiler: MemoryProfiler | None = None,
        config: Config | None = None,
        route_name: Callable[[WSGIEnvironment], str | None] | None = None,
    ) -> None:
        if is_asgi(app):
            raise ConfigError("this application is ASGI: use asgi_memprof")
        expect_mounted()
        self.app = app
        self.profiler = profiler_for(profiler, config)
        self._traffic = self.profiler.traffic
        self._route_name = route_name
        if route_name is None:
            with self.profiler.failures.caught("route_name"):
                have_routes_left(app)
        self.endpoint = endpoint_of(self.profiler)
        self._own = self.endpoint.paths

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self.profiler.ensure_running()
        if environ.get("PATH_INFO", "").startswith(self._own):
            answer = wsgi.answer(self.endpoint, environ, start_response)
            if answer is not None:
                (counted_further_out(environ) or []).append(OWN)
                return answer
        notes = counted_further_out(environ)
        if notes is not None:
            return self._within(environ, start_response, notes)
        prefix = environ.get("SCRIPT_NAME", "")
        environ[KEY] = [prefix]
        counter: RequestCounter = self._traffic
        route = ""
        if self._route_name is None:
            route = FOLDED[environ.get("REQUEST_METHOD", ""), text_of(prefix + environ.get("PATH_INFO", ""))]
            if not self._traffic.knows(route):
                counter = newcomer = _Newcomer(self._traffic, start_response)
                start_response = newcomer.start_response
        self._traffic.started += 1
        try:
            body = self.app(environ, start_response)
        except BaseException:
            self._traffic.failed += 1
            self._settle(environ, counter, route)
            raise
        if type(body) in COMPLETE:
            self._settle(environ, counter, route)
            return body
        return counted_body(body, environ, self._traffic, *self._found(environ, counter, route))

    def _settle(self, environ: WSGIEnvironment, counter: RequestCounter, route: str) -> None:
        settle(environ, self._traffic, *self._found(environ, counter, route))

    def _found(self, environ: WSGIEnvironment, counter: RequestCounter, path: str) -> tuple[RequestCounter, str]:
        """The counter of a request and its route: the framework's or the user's, else its path."""
        template = _template(environ)
        if template is not None and path:
            return self._traffic, _label(environ, environ.get(KEY, []), template)
        return counter, path or self._named(environ)

    def _within(self, environ: WSGIEnvironment, start_response: StartResponse, notes: list[str]) -> Iterable[bytes]:
        """Pass a request on that a middleware further out counts, and tell it the route if that is known here."""
        warn_twice(self.profiler)
        try:
            return self.app(environ, start_response)
        finally:
            template = _template(environ)
            if self._route_name is not None:
                notes.append(self._named(environ))
            elif template is not None:
                notes.append(_label(environ, notes, template))

    def _named(self, environ: WSGIEnvironment) -> str:
        try:
            name = self._route_name(environ) if self._route_name else None
            return UNMATCHED if name is None else LABELS[environ.get("REQUEST_METHOD", ""), name]
        except Exception as error:  # noqa: BLE001 - the user's rule must not fail the request
            self.profiler.failures.record("route_name", error)
            return UNMATCHED


def _template(environ: WSGIEnvironment) -> str | None:
    """The template of the route, where the framework has left one."""
    template: str | None = environ.get(ROUTE)
    if template is None and "bottle.route" in environ:
        template = environ["bottle.route"].rule
    return template


def _label(environ: WSGIEnvironment, notes: list[str], template: str) -> str:
    """The label of a template, with the prefix that a dispatcher in between has mounted the application at."""
    return label_within(notes, environ.get("REQUEST_METHOD", ""), environ.get("SCRIPT_NAME", ""), template)


class _Newcomer:
    """The counter of a request with an unknown path: errors get no route of their own, so that scanners make none."""

    def __init__(self, traffic: Traffic, start_response: StartResponse) -> None:
        self._traffic, self._start_response, self._status = traffic, start_response, ""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Note the status."""
        self._status = status
        given = () if exc_info is None else (exc_info,)
        return self._start_response(status, headers, *given)

    def end(self, route: str) -> None:
        """Count it."""
        if self._status[:1] == "2":
            self._traffic.end_path(route)
        elif self._status[:3] == "404":
            self._traffic.end(UNMATCHED)
        else:
            self._traffic.end_unsure(route)


def make_metrics_app(profiler: MemoryProfiler | None = None, *, config: Config | None = None) -> WSGIApplication:
    """A WSGI application that serves the metrics, to be mounted anywhere; arguments as for the middleware.

    Raises:
        ConfigError: as the middleware.
    """
    from memprof_middleware.web.http.exposition import MetricsEndpoint

    return partial(wsgi.respond, MetricsEndpoint(profiler_for(profiler, config)))
