"""What is particular to ASGI: scopes, lifespan, routes of Starlette and FastAPI."""

from __future__ import annotations

import contextvars
import functools
import sys
import threading

import anyio
import pytest
from fastapi import APIRouter, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient

import wsgi_memprof
from asgi_memprof import MemProfMiddleware, make_metrics_app
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.errors import ConfigError
from memprof_middleware.registry import get_memory_profiler
from memprof_middleware.testing import FakeProbes
from memprof_middleware.web.http import visits


async def hello(request):
    return PlainTextResponse("hello")


@pytest.fixture
def profiler():
    """One that is stepped by hand."""
    return MemoryProfiler(Config(background=False), probes=FakeProbes())


def run(app, scope, received=()):
    """Speak raw ASGI: messages in, messages out."""
    sent, incoming = [], list(received)

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    async def main():
        await app(scope, receive, send)

    anyio.run(main)
    return sent


def thread_names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("memprof")]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_lifespan(backend):
    """The profiler runs from lifespan startup to shutdown, whatever the event loop, and again the next time."""
    app = MemProfMiddleware(Starlette(routes=[Route("/hello", hello)]), config=Config())
    for _ in range(2):
        with TestClient(app, backend=backend):
            assert app.profiler.running
        assert not app.profiler.running
    assert thread_names() == []
    assert app.profiler.failures.counts == {}


def test_lifespan_messages_pass_through(profiler):
    """Application and server exchange the messages they would exchange without us, the state included."""
    seen = []

    async def app(scope, receive, send):
        scope["state"]["answer"] = 42
        for kind in ("startup", "shutdown"):
            seen.append(await receive())
            await send({"type": f"lifespan.{kind}.complete"})

    scope = {"type": "lifespan", "state": {}}
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = run(MemProfMiddleware(app, profiler=profiler), scope, received)
    assert seen == received
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert scope["state"] == {"answer": 42}


def test_startup_that_fails():
    """An application that reports a failed start-up is heard, and no thread is left."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    sent = run(MemProfMiddleware(app, config=Config()), {"type": "lifespan"}, [{"type": "lifespan.startup"}])
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert thread_names() == []


def test_application_without_lifespan(profiler, django_project):
    """Django's handler raises on lifespan: the server sees that, and starts without it as it would alone."""
    from django.core.handlers.asgi import ASGIHandler

    django_project()
    with pytest.raises(ValueError, match="lifespan"):
        run(MemProfMiddleware(ASGIHandler(), profiler=profiler), {"type": "lifespan"})


def test_a_stop_that_fails_harms_no_shutdown(profiler, monkeypatch):
    """Should stopping fail, the application's shutdown completes."""
    monkeypatch.setattr(profiler, "stop", lambda: 1 // 0)
    with TestClient(MemProfMiddleware(Starlette(), profiler=profiler)):
        pass
    assert profiler.failures.counts == {"stop": 1}


def test_websocket(profiler):
    """A websocket passes through, also one at the metrics' path, and is counted once when it closes."""

    async def chat(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = MemProfMiddleware(
        Starlette(routes=[WebSocketRoute("/chat", chat), WebSocketRoute("/metrics", chat)]), profiler=profiler
    )
    for count, path in enumerate(("/chat", "/metrics"), start=1):
        with TestClient(app).websocket_connect(path) as websocket:
            websocket.send_text("hi")
            assert websocket.receive_text() == "hi"
        assert profiler.requests == count


def test_foreign_scopes(profiler):
    """A kind of scope that we do not know reaches the application as the same objects and counts as nothing."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await send(await receive())

    scope = {"type": "mqtt"}
    assert run(MemProfMiddleware(app, profiler=profiler), scope, [{"type": "mqtt.publish"}]) == [
        {"type": "mqtt.publish"}
    ]
    assert seen[0] is scope
    assert profiler.requests == 0


def test_scope_receive_and_send_are_the_servers_own(profiler):
    """Where the route is named, the application gets the server's own three objects: nothing is buffered or wrapped."""
    seen = []

    async def app(*three):
        seen.extend(three)

    async def receive():
        return {}

    async def send(message):
        pass

    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}

    async def main():
        await MemProfMiddleware(app, profiler=profiler, route_name=lambda _: "/")(scope, receive, send)

    anyio.run(main)
    assert [a is b for a, b in zip(seen, (scope, receive, send), strict=True)] == [True] * 3


def test_streams_are_not_held_back(profiler):
    """The first part of a stream is sent before the second is made."""
    events = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"1", b"2"):
            events.append(("made", part))
            await send({"type": "http.response.body", "body": part, "more_body": part == b"1"})

    async def send(message):
        if "body" in message:
            events.append(("sent", message["body"]))

    async def main():
        scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
        await MemProfMiddleware(app, profiler=profiler)(scope, None, send)

    anyio.run(main)
    assert events == [("made", b"1"), ("sent", b"1"), ("made", b"2"), ("sent", b"2")]


def test_a_context_that_the_application_keeps_holds_hardly_anything_of_ours(profiler, monkeypatch):
    """A task or a timer that is lost keeps the context of its request: the path and the labels are not in it."""
    monkeypatch.setattr(visits, "_is_asked_for", True)
    kept = []

    async def lost(scope, receive, send):
        kept.append(contextvars.copy_context())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    run(MemProfMiddleware(lost, profiler=profiler), {"type": "http", "path": "/" + "x" * 500, "method": "GET"})
    [ours] = [value for variable, value in kept[0].items() if variable.name == "memprof_request"]
    assert (list(ours), ours.path) == ([], "")
    assert sys.getsizeof(ours) <= 80 + 8


def test_context_variables_and_background_tasks(profiler):
    """What the application sets is seen outside, and its background tasks run (BaseHTTPMiddleware breaks both)."""
    variable = contextvars.ContextVar("variable", default="unset")
    ran = []

    async def view(request):
        variable.set("set in the view")
        return PlainTextResponse("hello", background=BackgroundTask(ran.append, "background"))

    inner = MemProfMiddleware(Starlette(routes=[Route("/", view)]), profiler=profiler)

    async def outer(scope, receive, send):
        await inner(scope, receive, send)
        ran.append(variable.get())

    assert TestClient(outer).get("/").text == "hello"
    assert ran == ["background", "set in the view"]


def test_nothing_of_ours_in_the_context_of_a_request(profiler, monkeypatch):
    """What a request leaves behind, such as a timer, keeps its context: there is nothing of the profiler's in it."""
    monkeypatch.setattr(visits, "_is_asked_for", False)  # else by the WSGI applications of other tests
    left = []

    async def app(scope, receive, send):
        left.append([variable.name for variable in contextvars.copy_context()])

    async def main():
        await MemProfMiddleware(app, profiler=profiler)({"type": "http", "path": "/", "method": "GET"}, None, None)

    anyio.run(main)
    assert [name for name in left[0] if "memprof" in name] == []
    wsgi_memprof.MemProfMiddleware(lambda environ, start: [b""], profiler=profiler)
    anyio.run(main)
    assert [name for name in left[1] if "memprof" in name] == ["memprof_request"]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_add_middleware(framework, profiler):
    """app.add_middleware, as the frameworks' users type it."""
    app = framework()
    app.add_route("/hello", hello)
    app.add_middleware(MemProfMiddleware, profiler=profiler)
    with TestClient(app) as client:
        assert client.get("/hello").text == "hello"
        assert "fogcompute_memory" in client.get("/metrics").text
    assert profiler.requests == 1


def test_without_settings_it_is_the_process_wide_profiler(monkeypatch):
    """With neither profiler nor config the environment's settings hold, and get_profiler() finds the same one."""
    monkeypatch.setenv("MEMPROF_BACKGROUND", "false")
    monkeypatch.setenv("MEMPROF_METRICS_PATH", "/memory")
    app = MemProfMiddleware(Starlette())
    assert app.profiler is get_memory_profiler()
    assert TestClient(app).get("/memory").status_code == 200


def test_a_wrong_variable_fails_the_start_and_no_request(monkeypatch, caplog):
    """Starlette makes middleware in the lifespan's call: an exception there would fail each request, not the start."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "-5")
    app = Starlette(routes=[Route("/hello", hello)])
    app.add_middleware(MemProfMiddleware)
    sent = run(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, received=[{"type": "lifespan.startup"}])
    text = "memprof: MEMPROF_INTERVAL='-5' is out of range; allowed: 1 to 86400 seconds"
    assert sent == [{"type": "lifespan.startup.failed", "message": text}]
    assert TestClient(app).get("/hello").text == "hello"  # of a server that has no lifespan
    assert caplog.messages == [text]


@pytest.mark.parametrize("wrong", [{"config": {"interval": 5}}, {"profiler": Config(background=False)}])
def test_what_is_no_config_and_no_profiler_is_refused(wrong):
    """With what is allowed there, not with an AttributeError."""
    with pytest.raises(ConfigError, match=r"config= takes a Config, such as|profiler= takes a MemoryProfiler"):
        MemProfMiddleware(Starlette(), **wrong)


@pytest.mark.parametrize("given", ["config", "profiler"])
def test_asked_for_too_early(given, profiler, caplog):
    """Starlette makes middleware late: who asks for the profiler before that is told that config= made another one."""
    app = Starlette()
    options = {"config": Config(background=False)} if given == "config" else {"profiler": profiler}
    app.add_middleware(MemProfMiddleware, **options)
    get_memory_profiler().register_leak_callback(print)
    assert TestClient(app).get("/metrics").status_code == 200
    told = [record.getMessage() for record in caplog.records if "pass profiler=" in record.getMessage()]
    assert len(told) == (1 if given == "config" else 0)


def own(*_):
    return PlainTextResponse("own")


def included(prefix=""):
    router = APIRouter()
    router.add_api_route("/metrics", lambda: PlainTextResponse("own"))
    app = FastAPI()
    app.include_router(router, prefix=prefix)
    return app


OWN = {
    "route": lambda: Starlette(routes=[Route("/metrics", own)]),
    "route with a slash": lambda: Starlette(routes=[Route("/metrics/", own)]),
    "mount": lambda: Starlette(routes=[Mount("/metrics", app=Router(routes=[Route("/", own)]))]),
    "before a catch-all": lambda: Starlette(routes=[Route("/metrics", own), Route("/{path:path}", hello)]),
    "POST only": lambda: Starlette(routes=[Route("/metrics", own, methods=["POST"])]),
    "included router": included,
}
OURS = {
    "nothing": Starlette,
    "catch-all": lambda: Starlette(routes=[Route("/{path:path}", hello)]),
    "parameter": lambda: Starlette(routes=[Route("/{name}", hello)]),
    "mount at the root": lambda: Starlette(routes=[Mount("/", app=Router(routes=[Route("/hello", hello)]))]),
    "router included elsewhere": lambda: included("/v1"),
    "routes of another kind": type("App", (), {"routes": [object()], "__call__": None}),
}


@pytest.mark.parametrize("way", ["add_middleware", "wrapped"])
@pytest.mark.parametrize("kind", OWN)
def test_own_route_stays(kind, way, profiler, caplog):
    """However the application came by its own /metrics, it stays, and one warning is logged."""
    app = wrapped = OWN[kind]()
    if way == "wrapped":
        wrapped = MemProfMiddleware(app, profiler=profiler)
    else:
        app.add_middleware(MemProfMiddleware, profiler=profiler)
    for _ in range(2):
        answer = TestClient(wrapped).get("/metrics")
        assert (answer.status_code, answer.text) in {(200, "own"), (405, "Method Not Allowed")}
    assert sum("/metrics belongs to the application" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("kind", OURS)
def test_routes_that_are_no_own_route(kind, profiler):
    """A route that answers everything is no route of its own for the metrics."""
    answer = TestClient(MemProfMiddleware(OURS[kind](), profiler=profiler)).get("/metrics")
    assert "fogcompute_memory" in answer.text
    assert profiler.failures.counts == {}


def test_own_route_behind_a_prefix(profiler):
    """Below a root_path, the application's own route is found as well."""
    app = MemProfMiddleware(Starlette(routes=[Route("/metrics", own)]), profiler=profiler)
    assert TestClient(app, root_path="/api").get("/api/metrics").text == "own"


def test_mounted_metrics(profiler):
    """make_metrics_app can be mounted below any path of a Starlette or FastAPI application."""
    for framework in (Starlette, FastAPI):
        app = framework()
        app.mount("/internal/metrics", make_metrics_app(profiler))
        assert "fogcompute_memory" in TestClient(app).get("/internal/metrics/").text


def test_inside_a_mounted_application(profiler):
    """Around a sub-application, the metrics are below its prefix."""
    inner = MemProfMiddleware(Starlette(routes=[Route("/hello", hello)]), profiler=profiler)
    client = TestClient(Starlette(routes=[Mount("/shop", app=inner)]))
    assert client.get("/shop/hello").text == "hello"
    assert "fogcompute_memory" in client.get("/shop/metrics").text
    assert client.get("/metrics").status_code == 404


def test_a_peer_without_an_address():
    """On a Unix socket there is no client address: an allow list refuses, without one all may read."""
    scope = {"type": "http", "path": "/metrics", "method": "GET", "headers": [], "client": None}
    for allow, status in (((), 200), (("10.0.0.0/8",), 403)):
        profiler = MemoryProfiler(Config(background=False, metrics_allow=allow))
        assert run(MemProfMiddleware(Starlette(), profiler=profiler), dict(scope))[0]["status"] == status


def wsgi_application(environ, start_response):
    """One that is a function."""


@pytest.mark.parametrize("app", [Flask("shop"), Flask("shop").wsgi_app, wsgi_application])
def test_a_wsgi_application_is_refused_with_what_to_use(app):
    """Below an ASGI middleware it would fail at each request with a TypeError; the error names the right adapter."""
    with pytest.raises(ConfigError, match=r"this application is WSGI: use wsgi_memprof, or MemProf\(app\) for Flask"):
        MemProfMiddleware(app)


class Static:
    """Called without itself."""

    @staticmethod
    def __call__(scope, receive, send):
        return Starlette()(scope, receive, send)


class Looks:
    """Looks like the function that it adapts, as objects of wrapt do."""

    __code__ = wsgi_application.__code__
    __class__ = type(wsgi_application)

    def __call__(self, *args):
        return Starlette()(*args)


@pytest.mark.parametrize("app", [Static(), Looks(), functools.partial(Starlette()), Starlette().__call__])
def test_an_unusual_asgi_application_is_not_refused(app):
    """What an application looks like is not always how it is called; in doubt it is taken."""
    profiler = MemoryProfiler(Config(background=False))
    scope = {"type": "http", "path": "/metrics", "method": "GET", "headers": [], "client": None}
    assert run(MemProfMiddleware(app, profiler=profiler), scope)[0]["status"] == 200
