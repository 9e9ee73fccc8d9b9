"""What a user writes in each host; only type-checked, never run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, assert_type

from django.http import HttpRequest, HttpResponse
from django.urls import path
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

import asgi_memprof
import django_memprof
import flask_memprof
import wsgi_memprof
from memprof_middleware import Config, MemoryProfiler

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

profiler = MemoryProfiler(Config(background=False))

# ASGI: around any application, in Starlette's list, by add_middleware, mounted
starlette = Starlette(
    middleware=[Middleware(asgi_memprof.MemProfMiddleware, config=Config(interval=10))],
    routes=[Mount("/internal", asgi_memprof.make_metrics_app(profiler))],
)
starlette.add_middleware(asgi_memprof.MemProfMiddleware, profiler=profiler)
assert_type(asgi_memprof.get_profiler(), MemoryProfiler)
asgi_memprof.MemProfMiddleware(starlette, interval=10)  # type: ignore[call-arg]


# WSGI
def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


wrapped: WSGIApplication = wsgi_memprof.MemProfMiddleware(application, config=Config(interval=10))
mounted: WSGIApplication = wsgi_memprof.make_metrics_app(profiler)
assert_type(wsgi_memprof.get_profiler(), MemoryProfiler)
wsgi_memprof.MemProfMiddleware("application")  # type: ignore[arg-type]

# Flask
flask = Flask(__name__)
memprof = flask_memprof.MemProf(config=Config(interval=10))
memprof.init_app(flask)
flask_memprof.MemProf(flask, profiler=profiler)
assert_type(flask_memprof.get_profiler(flask), MemoryProfiler)

# Django
view = django_memprof.make_metrics_app()
assert_type(view, Callable[[HttpRequest], HttpResponse])
urlpatterns: list[Any] = [path("internal/metrics", view)]
assert_type(django_memprof.get_profiler(), MemoryProfiler)
