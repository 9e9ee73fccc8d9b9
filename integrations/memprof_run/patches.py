"""The patches of each server's module: the method that takes the application wraps it. Loads no profiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any


def patch(module: ModuleType) -> None:
    """Replace in a module that has just been imported what :data:`PATCHES` says.

    Args:
        module: a server's or a framework's.
    """
    PATCHES[module.__name__](module)


def _asgi(app: Any) -> Any:
    from memprof_run.wrapping import wrapped_asgi

    return wrapped_asgi(app)


def _wsgi(app: Any) -> Any:
    from memprof_run.wrapping import wrapped_wsgi

    return wrapped_wsgi(app)


def _after(owner: Any, method: str, then: Callable[[Any], None]) -> None:
    """Call a function with the object after a method of its class has run."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        then(self)
        return result

    setattr(owner, method, replaced)


def _wrap(owner: Any, method: str, attribute: str, wrapped: Callable[[Any], Any]) -> None:
    """Wrap an attribute after a method has set it."""

    def then(self: Any) -> None:
        app = getattr(self, attribute, None)
        if app is not None:
            setattr(self, attribute, wrapped(app))

    _after(owner, method, then)


def _uvicorn(module: Any) -> None:
    # Always ASGI 3 by then, whatever the interface; workers, reload and Server classes of others all pass here.
    _wrap(module.Config, "load", "loaded_app", _asgi)


def _gunicorn(module: Any) -> None:
    def then(worker: Any) -> None:
        # uvicorn's workers load it once more by uvicorn's Config. Another attribute is set by gunicorn's own for ASGI.
        modules = {base.__module__.partition(".")[0] for base in type(worker).__mro__}
        app = getattr(worker, "wsgi", None)
        if app is not None and not modules & {"uvicorn", "uvicorn_worker"} and not _is_tornado(app):
            worker.wsgi = _wsgi(app)

    _after(module.Worker, "load_wsgi", then)


def _is_tornado(app: Any) -> bool:
    return any(base.__module__.startswith("tornado.") for base in type(app).__mro__)


def _gunicorn_asgi(module: Any) -> None:
    _wrap(module.ASGIWorker, "load_wsgi", "asgi", _asgi)


def _hypercorn(module: Any) -> None:
    _wrap(module.ASGIWrapper, "__init__", "app", _asgi)
    _wrap(module.WSGIWrapper, "__init__", "app", _wsgi)


def _granian(wrapped: Callable[[Any], Any], module: Any) -> None:
    # Its servers take this function by name, after this module has been imported.
    original = module._callback_wrapper

    @functools.wraps(original)
    def replaced(callback: Any, *args: Any, **kwargs: Any) -> Any:
        return original(wrapped(callback), *args, **kwargs)

    module._callback_wrapper = replaced


def _django(module: Any) -> None:
    """Have Django report the template of each request's route to the middleware around it."""
    from memprof_run.telling import tell

    original = module.BaseHandler.resolve_request

    @functools.wraps(original)
    def resolve_request(self: Any, request: Any) -> Any:
        match = original(self, request)
        carrier = getattr(request, "scope", None) or request.META
        template = "/" + match.route.removeprefix("^") if isinstance(match.route, str) else None
        tell(carrier, request.method, request.META.get("SCRIPT_NAME", ""), template)
        return match

    module.BaseHandler.resolve_request = resolve_request


def _flask(module: Any) -> None:
    """The same for Flask: behind its debugger and its reloader nobody else can ask."""
    from memprof_run.telling import tell

    original = module.Flask.dispatch_request

    @functools.wraps(original)
    def dispatch_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        from flask import request

        rule = request.url_rule
        tell(request.environ, request.method, request.script_root, None if rule is None else rule.rule)
        return original(self, *args, **kwargs)

    module.Flask.dispatch_request = dispatch_request


PATCHES: dict[str, Callable[[Any], None]] = {
    "cheroot.wsgi": lambda module: _wrap(module.Server, "__init__", "wsgi_app", _wsgi),
    "daphne.server": lambda module: _wrap(module.Server, "__init__", "application", _asgi),
    "django.core.handlers.base": _django,
    "flask.app": _flask,
    "gevent.pywsgi": lambda module: _wrap(module.WSGIServer, "__init__", "application", _wsgi),
    "granian.asgi": functools.partial(_granian, _asgi),
    "granian.wsgi": functools.partial(_granian, _wsgi),
    "gunicorn.workers.base": _gunicorn,
    "gunicorn.workers.gasgi": _gunicorn_asgi,
    "hypercorn.app_wrappers": _hypercorn,
    "uvicorn.config": _uvicorn,
    "waitress.server": lambda module: _wrap(module.BaseWSGIServer, "__init__", "application", _wsgi),
    "werkzeug.serving": lambda module: _wrap(module.BaseWSGIServer, "__init__", "app", _wsgi),
    "wsgiref.simple_server": lambda module: _wrap(module.WSGIServer, "set_app", "application", _wsgi),
}
"""By module, what is replaced in it."""
