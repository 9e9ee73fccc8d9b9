"""Frameworks that know a request's route and leave it nowhere: have it left in the scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memprof_middleware.web.http.visits import ROUTE, counted_further_out, expect_mounted, label_within


def have_routes_left(app: Any) -> None:
    """Have an application leave the template of each request's route in its scope, if it is of a kind known here.

    Args:
        app: the application or a method of it, such as ``quart_app.asgi_app``. Others are left alone.
    """
    _hook(getattr(app, "__self__", app), {"quart": _quart, "sanic": _sanic, "falcon": _falcon})


def have_mounted_routes_left(mount: Any) -> None:
    """Have a Flask application, mounted in an ASGI one by an adapter, report the request's route.

    Args:
        mount: the route, or what it calls: the adapter, such as Starlette's ``WSGIMiddleware``.
    """
    inner = mount
    while inner is not None and not _hook(inner, {"flask": _flask}):
        inner = getattr(inner, "app", None)


def _hook(app: Any, hooks: Mapping[str, Callable[[Any], object]]) -> bool:
    for base in type(app).__mro__:
        hook = hooks.get(base.__module__.partition(".")[0])
        if hook is not None:
            hook(app)
            return True
    return False


def _quart(app: Any) -> None:
    from quart import has_request_context, request, websocket

    async def leave() -> None:
        asked: Any = request if has_request_context() else websocket
        if asked.url_rule is not None:
            asked.scope[ROUTE] = asked.url_rule.rule

    # First of them: what another such function answers has a route too.
    app.before_request_funcs[None].insert(0, leave)
    app.before_websocket_funcs[None].insert(0, leave)


def _sanic(app: Any) -> None:
    async def leave(request: Any) -> None:
        scope = getattr(request.transport, "scope", None)
        if scope is not None and request.route is not None:
            scope[ROUTE] = request.uri_template

    app.register_middleware(leave, "request")


def _falcon(app: Any) -> None:
    class Leave:
        async def process_resource(self, request: Any, *_: object) -> None:
            request.scope[ROUTE] = request.uri_template

    app.add_middleware(Leave())


def _flask(app: Any) -> None:
    from flask import request

    def leave() -> None:
        notes = counted_further_out(request.environ)
        if notes is not None and request.url_rule is not None:
            notes.append(label_within(notes, request.method, request.script_root, request.url_rule.rule))

    funcs = app.before_request_funcs.setdefault(None, [])
    if "memprof" not in app.extensions and not any(func.__module__ == __name__ for func in funcs):
        funcs.insert(0, leave)
        expect_mounted()
