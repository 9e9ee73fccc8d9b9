"""The memory profiler as a Flask extension, set up by ``MEMPROF_*`` keys in ``app.config``."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click
from flask import Flask, current_app, got_request_exception, request
from flask.cli import with_appcontext
from werkzeug.local import LocalProxy
from werkzeug.routing import Rule

from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.registry import profiler_for
from memprof_middleware.routes.counter import UNMATCHED
from memprof_middleware.routes.labels import LABELS
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.visits import (
    KEY,
    OWN,
    counted_body,
    counted_further_out,
    expect_mounted,
    label_within,
    settle,
    warn_twice,
)

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
        # app.logger sets itself up when first asked for, which must not come before the application's own set-up. The
        # application is not held: threads hold the logger, and it is to be freed when its maker drops it.
        held = weakref.ref(app)
        level = profiler.config.log_level
        profiler.use_logger(cast("Any", LocalProxy(lambda: _logger(held(), level))))
        app.extensions["memprof"] = profiler
        app.wsgi_app = _around(app, profiler)  # type: ignore[assignment,method-assign]
        app.cli.add_command(_report_command)


def _logger(app: Flask | None, level: str | None) -> logging.Logger:
    """The application's, or a child of it that has a level of its own: that of the application's stays as it is."""
    if app is None:
        return logging.getLogger("memprof")
    if level is None:
        return app.logger
    child = app.logger.getChild("memprof")
    child.setLevel(level.upper())
    return child


def _around(app: Flask, profiler: MemoryProfiler) -> WSGIApplication:
    """``app.wsgi_app`` and the profiler around it, so that a login asked for everywhere shuts out no scrape."""
    inner, traffic, endpoint = app.wsgi_app, profiler.traffic, endpoint_of(profiler)
    ensure_running, own_paths = profiler.ensure_running, endpoint.paths
    alone, is_taken = _is_alone(app), partial(_has_route, app, profiler.config.metrics_path)
    got_request_exception.connect(_note_route, app)
    expect_mounted()

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ensure_running()
        if environ.get("PATH_INFO", "").startswith(own_paths):
            answer = wsgi.answer(endpoint, environ, start_response, is_taken)
            if answer is not None:
                (counted_further_out(environ) or []).append(OWN)
                return answer
        notes = counted_further_out(environ)
        if notes is not None:
            warn_twice(profiler)
            return _within(inner, environ, start_response, notes)

        rule, whole = None, False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal rule, whole
            rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            traffic.failed += status[:1] == "5"
            for name, _ in headers:
                if name == "Content-Length":
                    whole = True
                    break
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        environ[KEY] = [environ.get("SCRIPT_NAME", "")]
        traffic.started += 1
        try:
            body = inner(environ, start if alone else start_response)
        except BaseException:
            traffic.failed += 1
            settle(environ, traffic, traffic, _label(environ, environ.get(_RULE)))
            raise
        route = _label(environ, rule if alone else environ.get(_RULE))
        if whole:  # all of it is there: Flask tells a length by itself in that case alone
            settle(environ, traffic, traffic, route)
            return body
        return counted_body(body, environ, traffic, traffic, route)

    return wsgi_app


def _is_alone(app: Flask) -> bool:
    """Whether nothing stands between us and Flask, which tells the route at a response's start: the cheapest way.

    A middleware in between may start it later, and an error that Flask passes on starts none.
    """
    alone = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
    if not alone:
        # First of them: what another such function answers has a route too.
        app.before_request_funcs.setdefault(None, []).insert(0, _note_route)
    return alone


def _within(
    inner: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, notes: list[str]
) -> Iterable[bytes]:
    """Pass a request on that a middleware further out counts, and tell it the rule."""
    rule = None

    def start(*given: Any) -> Callable[[bytes], object]:
        nonlocal rule
        rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
        return start_response(*given)

    try:
        return inner(environ, start)
    finally:
        rule = rule or environ.get(_RULE)
        prefix = environ.get("SCRIPT_NAME", "")
        notes.append(UNMATCHED if rule is None else label_within(notes, environ["REQUEST_METHOD"], prefix, rule.rule))


def _has_route(app: Flask, path: str | None) -> bool:
    """Whether an application has a rule for this path; with a slash at its end, Flask would redirect to it."""
    return any(rule.rule.rstrip("/") == path for rule in app.url_map.iter_rules())


def _note_route(*_: object, **__: object) -> None:
    """Leave the rule where we find it afterwards: Flask takes its request out of the environ at the end."""
    found = request._get_current_object()  # type: ignore[attr-defined]  # once, since each use of a proxy costs
    found.environ[_RULE] = found.url_rule


def _label(environ: WSGIEnvironment, rule: Rule | None) -> str:
    return UNMATCHED if rule is None else LABELS[environ["REQUEST_METHOD"], rule.rule]


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
    from memprof_middleware.web.http.exposition import MetricsEndpoint

    return partial(wsgi.respond, MetricsEndpoint(profiler_for(profiler, config)))


@click.command("memprof")
@with_appcontext
def _report_command() -> None:
    """Print the memory report of the application as loaded by this command."""
    from memprof_middleware.evidence.report import render_report

    profiler = get_profiler()
    profiler.take_snapshot()
    click.echo(render_report(profiler))
