"""One small application on four hosts, behind one client interface."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import webtest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes

PARTS = [b"one ", b"two ", b"three"]


def refused(path: str) -> str:
    """The status for a path without a route: its first part, if that is a number."""
    first = path.split("/")[1]
    return first if first.isdigit() else "404"


MINE = b"the application's own figures"


@dataclasses.dataclass
class Answer:
    """What a client saw; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text. Some clients unpack by themselves."""
        packed = self.body.startswith(b"\x1f\x8b")
        return (gzip.decompress(self.body) if packed else self.body).decode()


@dataclasses.dataclass
class Client:
    """Speaks to one application.

    Attributes:
        ask: method, path, headers, body, address and prefix in, an :class:`Answer` out.
        get_profiler: the adapter's own verb.
    """

    ask: Callable[..., Answer]
    get_profiler: Callable[[], MemoryProfiler]

    def get(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        return self("GET", path, headers, **more)

    def __call__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        address: str = "127.0.0.1",
        prefix: str = "",
    ) -> Answer:
        found = {"accept-encoding": "identity", **(headers or {})}
        return self.ask(method, path, found, body=body, address=address, prefix=prefix)


class Host:
    """A kind of web application.

    Attributes:
        sees_routes: whether the adapter can know that the application has a route of its own.
        logger: name of the logger that alerts appear in.
        raises: whether the client sees the application's exception itself, not an error page.
    """

    name: str
    sees_routes = True
    logger = "memprof"
    raises = True

    def __init__(self, undo: contextlib.ExitStack) -> None:
        self._undo = undo

    def serve(
        self, *, profiler: MemoryProfiler | None = None, config: Config | None = None, own_metrics: bool = False
    ) -> Client:
        """The application with the profiler."""
        raise NotImplementedError

    def bare(self) -> Client:
        """The application without it."""
        raise NotImplementedError

    def mounted(self, profiler: MemoryProfiler) -> Client:
        """The application without it, and ``make_metrics_app(profiler)`` at ``/internal/metrics``."""
        raise NotImplementedError

    def make_metrics_app(self, *args: Any, **kwargs: Any) -> Any:
        """The adapter's own verb."""
        raise NotImplementedError

    def misuse(self, profiler: MemoryProfiler, config: Config) -> None:
        """Give the adapter both."""
        self.make_metrics_app(profiler, config=config)

    def keep(self, profiler: MemoryProfiler) -> MemoryProfiler:
        """Stop it when the test is over."""
        self._undo.callback(profiler.stop)
        return profiler

    def stepped(self, **settings: Any) -> MemoryProfiler:
        """A profiler that the test steps by hand, and that is sure of a leak after a few minutes."""
        settings = {"background": False, "leak_confirm_hours": 0.05} | settings
        return self.keep(MemoryProfiler(Config(**settings), clock=FakeClock(), probes=FakeProbes()))


class Asgi(Host):
    name = "asgi"

    def serve(self, *, profiler=None, config=None, own_metrics=False):
        from asgi_memprof import MemProfMiddleware, get_profiler

        wrapped = MemProfMiddleware(self._app(own_metrics), profiler=profiler, config=config)
        self.keep(wrapped.profiler)
        return Client(self._ask(wrapped), get_profiler)

    def bare(self):
        return Client(self._ask(self._app(False)), lambda: None)

    def mounted(self, profiler):
        from starlette.routing import Route

        app = self._app(False)
        app.router.routes.append(Route("/internal/metrics", _Endpoint(self.make_metrics_app(profiler))))
        return Client(self._ask(app), lambda: profiler)

    def make_metrics_app(self, *args, **kwargs):
        from asgi_memprof import make_metrics_app

        return make_metrics_app(*args, **kwargs)

    def misuse(self, profiler, config):
        from asgi_memprof import MemProfMiddleware

        MemProfMiddleware(self._app(False), profiler=profiler, config=config)

    @staticmethod
    def _app(own_metrics):
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse, StreamingResponse
        from starlette.routing import Route

        async def hello(request):
            return PlainTextResponse("hello", headers={"x-app": "yes"})

        async def teapot(request):
            return PlainTextResponse("short and stout", status_code=418)

        async def echo(request):
            return PlainTextResponse(await request.body())

        async def stream(request):
            return StreamingResponse(iter(PARTS), media_type="text/plain")

        async def boom(request):
            raise ZeroDivisionError("boom")

        async def own(request):
            return PlainTextResponse(MINE)

        async def nothing(request, error):
            return PlainTextResponse("nothing here", status_code=int(refused(request.url.path)))

        routes = [
            Route("/hello", hello),
            Route("/teapot", teapot),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/boom", boom),
        ]
        every = [*routes, Route("/metrics", own)] if own_metrics else routes
        return Starlette(routes=every, exception_handlers={404: nothing})

    @staticmethod
    def _ask(app):
        from starlette.testclient import TestClient

        def ask(method, path, headers, *, body, address, prefix):
            client = TestClient(app, client=(address, 50000), root_path=prefix, follow_redirects=False)
            found = client.request(method, path, headers=headers, content=body)
            return Answer(found.status_code, dict(found.headers), found.content)

        return ask


class _Endpoint:
    """Starlette takes an instance of a class as an ASGI application, a function as one of its own endpoints."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        await self._app(scope, receive, send)


def _ask_wsgi(app):
    def ask(method, path, headers, *, body, address, prefix):
        sent = {}

        def noted(environ, start_response):
            def note(status, headers, *exc_info):
                sent.update((name.lower(), value) for name, value in headers)
                return start_response(status, headers, *exc_info)

            return app(environ, note)

        client = webtest.TestApp(noted, extra_environ={"REMOTE_ADDR": address, "SCRIPT_NAME": prefix})
        found = client.request(path, method=method, headers=headers, body=body, expect_errors=True)
        return Answer(found.status_int, sent, found.body)  # WebTest unpacks the body and drops the header that said so

    return ask


class Wsgi(Host):
    name = "wsgi"
    sees_routes = False

    def serve(self, *, profiler=None, config=None, own_metrics=False):
        from wsgi_memprof import MemProfMiddleware, get_profiler

        wrapped = MemProfMiddleware(self._app(own_metrics), profiler=profiler, config=config)
        self.keep(wrapped.profiler)
        return Client(_ask_wsgi(wrapped), get_profiler)

    def bare(self):
        return Client(_ask_wsgi(self._app(False)), lambda: None)

    def mounted(self, profiler):
        metrics, app = self.make_metrics_app(profiler), self._app(False)

        def dispatch(environ, start_response):
            chosen = metrics if environ["PATH_INFO"] == "/internal/metrics" else app
            return chosen(environ, start_response)

        return Client(_ask_wsgi(dispatch), lambda: profiler)

    def make_metrics_app(self, *args, **kwargs):
        from wsgi_memprof import make_metrics_app

        return make_metrics_app(*args, **kwargs)

    def misuse(self, profiler, config):
        from wsgi_memprof import MemProfMiddleware

        MemProfMiddleware(self._app(False), profiler=profiler, config=config)

    @staticmethod
    def _app(own_metrics):
        def app(environ, start_response):
            path, plain = environ["PATH_INFO"], ("Content-Type", "text/plain")
            if path == "/boom":
                raise ZeroDivisionError("boom")
            if path == "/stream":
                start_response("200 OK", [plain])
                return iter(PARTS)
            status, body = {
                "/hello": ("200 OK", b"hello"),
                "/teapot": ("418 I'm a teapot", b"short and stout"),
                "/echo": ("200 OK", b"" if path != "/echo" else environ["wsgi.input"].read()),
                "/metrics": ("200 OK", MINE) if own_metrics else ("404 Not Found", b"nothing here"),
            }.get(path, (f"{refused(path)} Not For You", b"nothing here"))
            start_response(status, [plain, ("X-App", "yes"), ("Content-Length", str(len(body)))])
            return [body]

        return app


class Flask(Host):
    name = "flask"
    logger = "shop"

    def serve(self, *, profiler=None, config=None, own_metrics=False):
        from flask_memprof import MemProf, get_profiler

        app = self._app(own_metrics)
        MemProf(app, profiler=profiler, config=config)
        self.keep(get_profiler(app))
        return Client(_ask_wsgi(app), lambda: get_profiler(app))

    def bare(self):
        return Client(_ask_wsgi(self._app(False)), lambda: None)

    def mounted(self, profiler):
        from werkzeug.middleware.dispatcher import DispatcherMiddleware

        app = self._app(False)
        metrics = self.make_metrics_app(profiler)
        return Client(_ask_wsgi(DispatcherMiddleware(app, {"/internal/metrics": metrics})), lambda: profiler)

    def make_metrics_app(self, *args, **kwargs):
        from flask_memprof import make_metrics_app

        return make_metrics_app(*args, **kwargs)

    def misuse(self, profiler, config):
        from flask_memprof import MemProf

        MemProf(self._app(False), profiler=profiler, config=config)

    @staticmethod
    def _app(own_metrics):
        import flask

        app = flask.Flask("shop")
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.register_error_handler(404, lambda _: ("nothing here", int(refused(flask.request.path))))

        def echo():
            return flask.request.get_data()

        app.add_url_rule("/hello", "hello", lambda: ("hello", {"X-App": "yes"}))
        app.add_url_rule("/teapot", "teapot", lambda: ("short and stout", 418))
        app.add_url_rule("/echo", "echo", echo, methods=["POST"])
        app.add_url_rule("/stream", "stream", lambda: flask.Response(iter(PARTS), mimetype="text/plain"))
        app.add_url_rule("/boom", "boom", lambda: 1 // 0)
        if own_metrics:
            app.add_url_rule("/metrics", "own", lambda: MINE)
        return app


class Django(Host):
    name = "django"
    raises = False

    def __init__(self, undo, project):
        super().__init__(undo)
        self._project = project

    def serve(self, *, profiler=None, config=None, own_metrics=False):
        import django_memprof

        self._project(self._urls(own_metrics), MEMPROF=profiler or config or {})
        return Client(self._handler(), django_memprof.get_profiler)

    def bare(self):
        self._project(self._urls(False), INSTALLED_APPS=[])
        return Client(self._handler(), lambda: None)

    def mounted(self, profiler):
        from django.urls import path

        self._project(
            [*self._urls(False), path("internal/metrics", self.make_metrics_app(profiler))], INSTALLED_APPS=[]
        )
        return Client(self._handler(), lambda: profiler)

    def make_metrics_app(self, *args, **kwargs):
        from django_memprof import make_metrics_app

        return make_metrics_app(*args, **kwargs)

    @staticmethod
    def _handler():
        from django.core.handlers.wsgi import WSGIHandler

        return _ask_wsgi(WSGIHandler())

    @staticmethod
    def _urls(own_metrics):
        from django.http import HttpResponse, StreamingHttpResponse
        from django.urls import path

        def boom(request):
            raise ZeroDivisionError("boom")

        urls = [
            path("hello", lambda request: HttpResponse("hello", headers={"X-App": "yes"})),
            path("teapot", lambda request: HttpResponse("short and stout", status=418)),
            path("echo", lambda request: HttpResponse(request.body)),
            path("stream", lambda request: StreamingHttpResponse(iter(PARTS), content_type="text/plain")),
            path("boom", boom),
        ]
        return [*urls, path("metrics", lambda request: HttpResponse(MINE))] if own_metrics else urls


@pytest.fixture(params=["asgi", "wsgi", "flask", "django"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Each of the four hosts in turn."""
    with contextlib.ExitStack() as undo:
        if request.param == "django":
            yield Django(undo, request.getfixturevalue("django_project"))
        else:
            yield {"asgi": Asgi, "wsgi": Wsgi, "flask": Flask}[request.param](undo)
