"""Frameworks that know a request's route and leave it nowhere: have it left in the environ."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from memprof_middleware.web.http.visits import ROUTE


def have_routes_left(app: Any) -> None:
    """Have an application leave the template of each request's route in its environ, if it is of a kind known here.

    Args:
        app: the application or a method of it, such as ``flask_app.wsgi_app``. Others are left alone.
    """
    app = getattr(app, "__self__", app)
    for base in type(app).__mro__:
        hook = _HOOKS.get(base.__module__.partition(".")[0])
        if hook is not None:
            hook(app)
            return


def _pyramid(router: Any) -> None:
    before_traversal = import_module("pyramid.interfaces").IBeforeTraversal

    def leave(event: Any) -> None:
        route = getattr(event.request, "matched_route", None)
        if route is not None:
            event.request.environ[ROUTE] = f"/{route.pattern.lstrip('/')}"

    router.registry.registerHandler(leave, (before_traversal,))


def _falcon(app: Any) -> None:
    class Leave:
        def process_resource(self, request: Any, *_: object) -> None:
            request.env[ROUTE] = request.uri_template

    app.add_middleware(Leave())


def _flask(app: Any) -> None:
    from flask import request

    def leave() -> None:
        if request.url_rule is not None:
            request.environ[ROUTE] = request.url_rule.rule

    # First of them: what another such function answers has a route too.
    app.before_request_funcs.setdefault(None, []).insert(0, leave)


_HOOKS = {"pyramid": _pyramid, "falcon": _falcon, "flask": _flask}
