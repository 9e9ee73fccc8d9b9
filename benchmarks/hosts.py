"""The smallest application of each host: bare, with a middleware that does nothing, with ours, with a peer.

A factory is also what a real server loads: ``HOST`` and ``VARIANT`` in the environment choose one, ``BALLAST`` says
how many live objects the application has besides, ``INTERVAL`` and the like are the profiler's own variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from benchmarks.ballast import build
from memprof_middleware import Config, MemoryProfiler

BODY = b"ok"
VARIANTS = {
    "starlette": ("again", "nothing", "ours", "starlette-exporter"),
    "fastapi": ("again", "nothing", "ours", "prometheus-fastapi-instrumentator"),
    "wsgi": ("again", "nothing", "ours", "dozer"),
    "flask": ("again", "nothing", "ours", "prometheus-flask-exporter", "dozer"),
    "django": ("again", "nothing", "ours", "django-prometheus"),
}
ASGI = frozenset({"starlette", "fastapi"})
EXPORTERS = {
    "starlette": "starlette-exporter",
    "fastapi": "prometheus-fastapi-instrumentator",
    "wsgi": "prometheus-flask-exporter",
    "flask": "prometheus-flask-exporter",
    "django": "django-prometheus",
}


def make(host: str, variant: str) -> Any:
    """An application of a host, as a variant has it; ``bare`` and ``again`` are the same thing.

    Raises:
        KeyError: no such host.
        ValueError: no such variant.
    """
    if variant != "bare" and variant not in VARIANTS[host]:
        raise ValueError(f"variant={variant!r} is none of {host}'s: bare, {', '.join(VARIANTS[host])}")
    return _FACTORIES[host](variant)


def _starlette(variant: str) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def index(_request: object) -> Response:
        return Response(BODY)

    return _around_asgi(Starlette(routes=[Route("/", index)]), variant)


def _fastapi(variant: str) -> Any:
    from fastapi import FastAPI
    from fastapi.responses import Response

    app = FastAPI()

    @app.get("/")
    async def index() -> Response:
        return Response(BODY)

    return _around_asgi(app, variant)


def _around_asgi(app: Any, variant: str) -> Any:
    if variant == "nothing":
        app.add_middleware(_NothingASGI)
    elif variant == "ours":
        from asgi_memprof import MemProfMiddleware

        app.add_middleware(MemProfMiddleware, profiler=_profiler())
    elif variant == "starlette-exporter":
        from starlette_exporter import PrometheusMiddleware

        app.add_middleware(PrometheusMiddleware)
    elif variant == "prometheus-fastapi-instrumentator":
        from prometheus_fastapi_instrumentator import Instrumentator

        Instrumentator().instrument(app)
    return app


def _wsgi(variant: str) -> Any:
    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [BODY]

    return _around_wsgi(app, variant)


def _around_wsgi(app: Any, variant: str) -> Any:
    if variant == "nothing":
        return _NothingWSGI(app)
    if variant == "dozer":
        from dozer import Dozer

        return Dozer(app)
    if variant == "ours":
        from wsgi_memprof import MemProfMiddleware

        return MemProfMiddleware(app, profiler=_profiler())
    return app


def _flask(variant: str) -> Any:
    from flask import Flask

    app = Flask(__name__)

    @app.get("/")
    def index() -> bytes:
        return BODY

    if variant == "ours":
        from flask_memprof import MemProf

        MemProf(app, profiler=_profiler())
    elif variant == "prometheus-flask-exporter":
        from prometheus_client import CollectorRegistry
        from prometheus_flask_exporter import PrometheusMetrics

        PrometheusMetrics(app, registry=CollectorRegistry())
    else:
        app.wsgi_app = _around_wsgi(app.wsgi_app, variant)
    return app


def _django(variant: str) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    if not settings.configured:
        settings.configure(
            SECRET_KEY="benchmarks",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF="benchmarks.django_urls",
            LOGGING_CONFIG=None,
            INSTALLED_APPS=["django_memprof", "django_prometheus"],
            MEMPROF=_profiler(),
        )
        django.setup()
    # What an app adds to the list by itself is there for one variant only.
    settings.MIDDLEWARE = {
        "nothing": ["benchmarks.hosts.nothing_django"],
        "ours": ["django_memprof.middleware.MemProfMiddleware"],
        "django-prometheus": [
            "django_prometheus.middleware.PrometheusBeforeMiddleware",
            "django_prometheus.middleware.PrometheusAfterMiddleware",
        ],
    }.get(variant, [])
    return WSGIHandler()


def nothing_django(get_response: Callable[[object], object]) -> Callable[[object], object]:
    """The least that a Django middleware can do."""

    def nothing(request: object) -> object:
        return get_response(request)

    return nothing


class _NothingASGI:
    """The least that a middleware can do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class _NothingWSGI:
    """As above."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


def _profiler() -> MemoryProfiler:
    return MemoryProfiler(Config.from_env())


_FACTORIES = {"starlette": _starlette, "fastapi": _fastapi, "wsgi": _wsgi, "flask": _flask, "django": _django}


def served() -> Any:
    """What a real server loads."""
    app = make(os.environ["HOST"], os.environ["VARIANT"])
    build(int(os.environ.get("BALLAST", "0")))
    return app
