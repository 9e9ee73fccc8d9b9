"""The memory profiler in any WSGI application: Bottle, Pyramid, Falcon, plain WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.registry import get_memory_profiler as get_profiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.counter import UNMATCHED, Traffic
from memprof_middleware.routes.labels import FOLDED, LABELS, LONGEST_PATH
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.visits import COMPLETE, KEY, OWN, RequestCounter, counted_body, settle, warn_twice

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
            counted under, such as ``/cart/{id}``; ``None`` is unmatched. By default the path with ids folded.

    Raises:
        ConfigError: both are given, or a setting is not valid.

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
        self.app = app
        self.profiler = profiler_for(profiler, config)
        self._traffic = self.profiler.traffic
        self._route_name = route_name
        self.endpoint = endpoint_of(self.profiler)
        self._own = self.endpoint.paths

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self.profiler.ensure_running()
        if environ.get("PATH_INFO", "").startswith(self._own):
            answer = wsgi.answer(self.endpoint, environ, start_response)
            if answer is not None:
                environ.get(KEY, []).append(OWN)
                return answer
        if KEY in environ:
            return self._within(environ, start_response, environ[KEY])
        prefix = environ.get("SCRIPT_NAME", "")
        environ[KEY] = [prefix]
        counter: RequestCounter = self._traffic
        route = ""
        if self._route_name is None:
            path = prefix + environ.get("PATH_INFO", "")
            if not path.isascii():  # each character stands for a byte (PEP 3333)
                path = path[:LONGEST_PATH].encode("latin-1", "replace").decode(errors="replace")
            route = FOLDED[environ.get("REQUEST_METHOD", ""), path]
            if not self._traffic.knows(route):
                counter = newcomer = _Newcomer(self._traffic, start_response)
                start_response = newcomer.start_response
        self._traffic.started += 1
        try:
            body = self.app(environ, start_response)
        except BaseException:
            settle(environ, self._traffic, counter, route or self._named(environ))
            raise
        if type(body) in COMPLETE:
            settle(environ, self._traffic, counter, route or self._named(environ))
            return body
        return counted_body(body, environ, self._traffic, counter, route or self._named(environ))

    def _within(self, environ: WSGIEnvironment, start_response: StartResponse, told: list[str]) -> Iterable[bytes]:
        """Pass a request on that a middleware further out counts, and tell it the route if there is a rule for it."""
        warn_twice(self.profiler)
        try:
            return self.app(environ, start_response)
        finally:
            if self._route_name is not None:
                told.append(self._named(environ))

    def _named(self, environ: WSGIEnvironment) -> str:
        try:
            name = self._route_name(environ) if self._route_name else None
            return UNMATCHED if name is None else LABELS[environ.get("REQUEST_METHOD", ""), name]
        except Exception as error:  # noqa: BLE001 - the user's rule must not fail the request
            self.profiler.failures.record("route_name", error)
            return UNMATCHED


class _Newcomer:
    """Counts a request whose path has no name yet: an error gives it none, so that a scanner makes no routes."""

    def __init__(self, traffic: Traffic, start_response: StartResponse) -> None:
        self._traffic, self._start_response, self._status = traffic, start_response, ""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Keeps the status."""
        self._status = status
        given = () if exc_info is None else (exc_info,)
        return self._start_response(status, headers, *given)

    def end(self, route: str) -> None:
        """Count it."""
        if self._status[:1] == "2":
            self._traffic.end(route)
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
