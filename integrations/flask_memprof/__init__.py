"""The memory profiler as a Flask extension, set up by ``MEMPROF_*`` keys in ``app.config``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click
from flask import Flask, current_app, got_request_exception, request
from flask.cli import with_appcontext
from werkzeug.local import LocalProxy

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.outputs.exposition import MetricsEndpoint
from memprof_middleware.outputs.report import render_report
from memprof_middleware.process_profiler import profiler_for
from memprof_middleware.traffic import UNMATCHED, counted_body, label
from memprof_middleware.web.app import PageEndpoint

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_RULE = "memprof.rule"
__all__ = ["MemProf", "get_profiler", "make_metrics_app"]


class MemProf:
    """Starts the profiler with the first request, serves ``/metrics``, passes alerts to ``app.logger``.

    Args:
        app: the application; without one, call :meth:`init_app` later.
        profiler: a ready profiler; or
        config: settings to make one with. With neither, the ``MEMPROF_*`` keys of ``app.config`` are used.

    Raises:
        ConfigError: both are given, or a setting is not valid.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        profiler: MemoryProfiler | None = None,
        config: Config | None = None,
    ) -> None:
        self._profiler, self._config = profiler, config
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Introduce the profiler to an application; starts nothing.

        Raises:
            ConfigError: as the class; or the application has the extension already.
        """
        if "memprof" in app.extensions:
            raise ConfigError(f"the application {app.name!r} has the extension already: call init_app() once")
        config = self._config
        if self._profiler is None and config is None:
            config = Config.from_mapping(app.config, prefix="MEMPROF_")
        profiler = profiler_for(self._profiler, config)
        # app.logger sets itself up when first asked for, which must not come before the application's own set-up.
        profiler.use_logger(cast("Any", LocalProxy(lambda: app.logger)))
        app.extensions["memprof"] = profiler
        app.wsgi_app = _Shell(app, profiler)  # type: ignore[method-assign]
        app.cli.add_command(_report_command)


class _Shell:
    """Around ``app.wsgi_app``, so that a login that the application asks for everywhere does not shut out a scrape."""

    def __init__(self, app: Flask, profiler: MemoryProfiler) -> None:
        self._flask, self._app, self._profiler = app, app.wsgi_app, profiler
        # Flask tells the route at a response's start: the cheapest way, closed where a middleware in between may start
        # it later. An error that Flask passes on starts none.
        self._alone = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
        if not self._alone:
            # First of them: what another such function answers has a route too.
            app.before_request_funcs.setdefault(None, []).insert(0, _note_route)
        got_request_exception.connect(_note_route, app)
        self._traffic = profiler.traffic
        self._endpoint = MetricsEndpoint(profiler)
        self._path = profiler.config.metrics_path
        self.page = PageEndpoint(profiler)
        self._own = self.page.own_paths

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._profiler.ensure_running()
        if environ.get("PATH_INFO", "").startswith(self._own):
            answer = self._answer(environ, start_response)
            if answer is not None:
                return answer
        traffic = self._traffic
        traffic.started += 1
        try:
            body = self._app(environ, partial(_start, environ, start_response) if self._alone else start_response)
        except BaseException:
            traffic.end(_route(environ))
            raise
        return counted_body(body, environ, traffic, _route(environ))

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """The metrics or the page, if that is what was asked for."""
        path = environ["PATH_INFO"]
        if path == self._path:
            # With a slash at the end, Flask would redirect to the rule.
            if all(rule.rule.rstrip("/") != path for rule in self._flask.url_map.iter_rules()):
                return self._endpoint.wsgi(environ, start_response)
            self._endpoint.yield_to_host()
        below = self.page.below(path)
        return None if below is None else self.page.wsgi(environ, start_response, below)


def _start(environ: WSGIEnvironment, start_response: StartResponse, *given: Any) -> Callable[[bytes], object]:
    """Flask takes its request out of the environ at the end; here it is still there."""
    environ[_RULE] = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return start_response(*given)


def _note_route(*_: object, **__: object) -> None:
    """The same, inside a request."""
    found = request._get_current_object()  # type: ignore[attr-defined]  # once, since each use of a proxy costs
    found.environ[_RULE] = found.url_rule


def _route(environ: WSGIEnvironment) -> str:
    """The label of the route that Flask found."""
    rule = environ.get(_RULE)
    return UNMATCHED if rule is None else label(environ.get("REQUEST_METHOD", ""), rule.rule)


def get_profiler(app: Flask | None = None) -> MemoryProfiler:
    """The profiler of an application; by default of the current one.

    Raises:
        KeyError: the application has no such extension.
    """
    profiler: MemoryProfiler = (app or current_app).extensions["memprof"]
    return profiler


def make_metrics_app(profiler: MemoryProfiler | None = None, *, config: Config | None = None) -> WSGIApplication:
    """A WSGI application that serves the metrics, for example for ``DispatcherMiddleware``.

    Raises:
        ConfigError: both are given, or a setting is not valid.
    """
    return MetricsEndpoint(profiler_for(profiler, config)).wsgi


@click.command("memprof")
@with_appcontext
def _report_command() -> None:
    """Print the memory report of the application as loaded by this command."""
    profiler = get_profiler()
    profiler.take_snapshot()
    click.echo(render_report(profiler))
