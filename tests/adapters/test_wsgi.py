"""What is particular to WSGI: the iterable and the server's own objects."""

from __future__ import annotations

import io
from wsgiref.util import FileWrapper

import pytest
from fastapi import FastAPI
from quart import Quart

from memprof_middleware import Config, ConfigError, MemoryProfiler
from wsgi_memprof import MemProfMiddleware


@pytest.mark.parametrize("parts", [[b"1", b"2"], FileWrapper(io.BytesIO(b"12"))])
def test_the_body_is_the_applications_own(parts):
    """The server gets the very list or file wrapper that the application returned: sendfile keeps working."""
    seen = []

    def app(environ, start_response):
        seen.extend((environ, start_response))
        return parts

    def start_response(status, headers, exc_info=None):
        raise AssertionError("the application did not call it")

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
    given = dict(environ)
    profiler = MemoryProfiler(Config(background=False))
    middleware = MemProfMiddleware(app, profiler=profiler, route_name=lambda _: "/")
    assert middleware(environ, start_response) is parts
    assert seen[0] is environ
    assert seen[1] is start_response
    assert environ == given


def test_an_environ_with_next_to_nothing():
    """PATH_INFO and REMOTE_ADDR may be missing (PEP 3333, Unix sockets)."""
    started = []
    for allow, status in (((), "200 OK"), (("10.0.0.0/8",), "403 Forbidden")):
        profiler = MemoryProfiler(Config(background=False, metrics_allow=allow))
        app = MemProfMiddleware(lambda environ, start_response: [b"app"], profiler=profiler)
        assert app({"REQUEST_METHOD": "GET"}, None) == [b"app"]
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}, lambda *given: started.append(given))
        assert started[-1][0] == status


def test_an_error_is_counted_under_its_route():
    """The user's rule names it, as it names an answer."""

    def app(environ, start_response):
        raise ZeroDivisionError

    profiler = MemoryProfiler(Config(background=False))
    middleware = MemProfMiddleware(app, profiler=profiler, route_name=lambda _: "/orders/{id}")
    with pytest.raises(ZeroDivisionError):
        middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/orders/17"}, None)
    assert profiler.traffic.read() == ({"GET /orders/{id}": 1}, 0)


async def asgi_application(scope, receive, send):
    """One that is a function."""


@pytest.mark.parametrize("app", [FastAPI(), Quart("shop").asgi_app, asgi_application])
def test_an_asgi_application_is_refused_with_what_to_use(app):
    """Below a WSGI middleware it would fail at each request with a TypeError; the error names the right adapter."""
    with pytest.raises(ConfigError, match="this application is ASGI: use asgi_memprof"):
        MemProfMiddleware(app)
