"""Nothing grows with what strangers send, and a request counts once however often the middleware is in its way."""

from __future__ import annotations

import contextvars
import gc
import logging
import random
import sys
import tracemalloc
from wsgiref.util import setup_testing_defaults

import anyio
import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asgi_memprof import MemProfMiddleware as AsgiMiddleware
from flask_memprof import MemProf
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.http import visits
from wsgi_memprof import MemProfMiddleware as WsgiMiddleware

DJANGO = "django_memprof.middleware.MemProfMiddleware"


@pytest.fixture
def profiler(monkeypatch):
    """One that is stepped by hand."""
    monkeypatch.setattr(visits, "_warned", False)
    return MemoryProfiler(Config(background=False), clock=FakeClock(), probes=FakeProbes())


def counted(profiler):
    return profiler.traffic.read()[0]


async def page(request):
    return PlainTextResponse("page")


async def plain_asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def plain_wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]


def flask_app(profiler):
    app = flask.Flask("shop")
    app.add_url_rule("/item/<int:number>", "item", lambda number: f"{number}")
    app.add_url_rule("/all/<path:rest>", "all", lambda rest: "ok")
    MemProf(app, profiler=profiler)
    return app


def wsgi(app, path, **more):
    """Ask a WSGI application; the body."""
    environ = {"PATH_INFO": path.encode().decode("latin-1"), **more}
    setup_testing_defaults(environ)
    answer = app(environ, lambda *_: None)
    body = b"".join(answer)
    getattr(answer, "close", bool)()
    return body


def asgi(app, *paths):
    """Ask an ASGI application."""

    async def send(message):
        pass

    async def main():
        for path in paths:
            asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

            async def receive(asked=asked):
                for message in asked:
                    return message
                return await anyio.sleep_forever()

            scope = {"type": "http", "method": "GET", "path": path, "raw_path": b"", "query_string": b"", "headers": []}
            await app(scope, receive, send)

    anyio.run(main)


def many(number):
    return [f"/{number}-{turn}" + "\U0001f600" * 5_000 for turn in range(50)]


@pytest.mark.parametrize("host", ["asgi", "mount", "wsgi", "flask", "django", "django-asgi"])
def test_long_paths_are_not_kept(host, profiler, django_project):
    """After 600 requests for paths of 20 kB, all different, less than 2 MB of 12 are there."""
    if host.startswith("django"):
        from django.core.handlers.asgi import ASGIHandler
        from django.core.handlers.wsgi import WSGIHandler
        from django.http import HttpResponse
        from django.urls import re_path

        django_project([re_path("", lambda request: HttpResponse("ok"))], MEMPROF=profiler)
        app = ASGIHandler() if host == "django-asgi" else WSGIHandler()
    else:
        mount = Starlette(routes=[Mount("/{tenant}", routes=[Route("/z", page)])])
        app = {
            "asgi": lambda: AsgiMiddleware(plain_asgi, profiler=profiler),
            "mount": lambda: AsgiMiddleware(mount, profiler=profiler),
            "wsgi": lambda: WsgiMiddleware(plain_wsgi, profiler=profiler),
            "flask": lambda: flask_app(profiler),
        }[host]()

    def ask(paths):
        if "asgi" in host or host == "mount":
            asgi(app, *[path + ("/z" if host == "mount" else "") for path in paths])
        else:
            for path in paths:
                wsgi(app, ("/all" if host == "flask" else "") + path)

    ask(many(-1))
    tracemalloc.start()
    try:
        for number in range(12):
            ask(many(number))
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 2_000_000
    assert profiler.requests == 650


def test_a_context_that_outlives_its_request_holds_no_long_path(profiler):
    """A server's timers keep a request's context for seconds: of the path, the end alone is in it."""
    kept = []

    async def app(scope, receive, send):
        kept.append(contextvars.copy_context())
        await plain_asgi(scope, receive, send)

    asgi(AsgiMiddleware(app, profiler=profiler), "/" + "\U0001f600" * 60_000)
    values = [value for context in kept for value in context.values() if type(value) is tuple]
    assert sum(sys.getsizeof(part) for value in values for part in value) < 2_000


@pytest.mark.parametrize("name", ["1", "x" * 5_000, "\U0001f600" * 5_000, "\xe9x" * 5_000 + "%ff"])
def test_flask_in_an_asgi_application_counts_once_whatever_the_path(profiler, name):
    """The two know each other's request by the end of its path, also by that of a long one that is not ASCII."""
    from a2wsgi import WSGIMiddleware

    app = AsgiMiddleware(Starlette(routes=[Mount("/shop", WSGIMiddleware(flask_app(profiler)))]), profiler=profiler)
    TestClient(app).get(f"/shop/all/{name}")
    assert counted(profiler) == {"GET /shop/all/<path:rest>": 1}


def test_a_forged_route_in_the_log(caplog):
    """The alert of a route whose path a stranger chose is one line without control characters."""
    caplog.set_level(
        logging.INFO, "app"
    )  # the line of the leak names the route, too, so that of the route is no warning
    clock, probes, rng, memory = FakeClock(), FakeProbes(limit_mb=150), random.Random(1), 50_000_000
    profiler = MemoryProfiler(
        Config(background=False, warmup_snapshots=1), clock=clock, probes=probes, logger=logging.getLogger("app")
    )
    app = WsgiMiddleware(plain_wsgi, profiler=profiler)
    for _ in range(45):
        for path in ("/x\n[CRITICAL] forged\x1b[31m", "/help\u202e", "/search"):
            for _ in range(rng.randrange(20, 100)):
                wsgi(app, path)
                memory += 20_000 if "x" in path else 0
        probes.allocated = AllocatorStats(in_use=memory, retained=0, blocks=100_000, name="fake")
        probes.heap_mb = memory / 2**20
        clock.advance(60)
        profiler.step()
    lines = [record.getMessage() for record in caplog.records if "route leaks" in record.getMessage()]
    assert lines
    assert "GET /x?[CRITICAL] forged?[31m" in lines[0]
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize("root_path", ["/", "/me", "/shop/"])
def test_any_root_path(profiler, root_path):
    """The metrics answer whatever the application says of its prefix; a prefix ends at a slash."""
    app = FastAPI()
    app.root_path = root_path  # as the argument does, of which newer versions warn
    app.add_api_route("/x/{number}", lambda number: number)
    app.add_middleware(AsgiMiddleware, profiler=profiler)
    client = TestClient(app)
    assert "fogcompute_memory" in client.get("/metrics").text
    assert client.get("/x/1").status_code == 200
    assert counted(profiler) == {"GET /x/{number}": 1}


def test_prefixes_of_a_stranger_make_no_names(profiler):
    """The value of a mount's parameter is no part of a label, converted or with slashes in it."""
    app = Starlette(
        routes=[
            Mount("/t/{number:int}", routes=[Route("/z", page)]),
            Mount("/p/{rest:path}/in", routes=[Route("/z", page)]),
        ]
    )
    client = TestClient(AsgiMiddleware(app, profiler=profiler))
    for path in ("/t/17/z", "/t/0017/z", "/p/a/b/in/z", "/p/c/in/z"):
        assert client.get(path).status_code == 200
    assert counted(profiler) == {"GET /t/{number}/z": 1, "GET /t/{id}/z": 1, "GET /p/{rest}/in/z": 2}


def test_twice_around_an_asgi_application(profiler, caplog):
    """Added twice, a request counts once, in the outermost, and a warning says so once."""
    app = Starlette(routes=[Route("/x/{id}", page)])
    app.add_middleware(AsgiMiddleware, profiler=profiler)
    client = TestClient(AsgiMiddleware(app, profiler=profiler))
    for _ in range(5):
        client.get("/x/1")
    assert counted(profiler) == {"GET /x/{id}": 5}
    assert profiler.traffic.in_flight == 0
    assert [record.getMessage() for record in caplog.records if "more than once" in record.getMessage()][1:] == []
    assert "more than once" in caplog.text


def test_outer_and_mounted_application(profiler):
    """A request of a mounted application with the middleware counts once; its scrape and its page count as nothing."""
    inner = MemoryProfiler(Config(background=False, token="a-token-of-the-tests"), probes=FakeProbes())
    sub = Starlette(routes=[Route("/x/{id}", page)])
    sub.add_middleware(AsgiMiddleware, profiler=inner)
    app = AsgiMiddleware(Starlette(routes=[Mount("/sub", sub)]), profiler=profiler)
    client = TestClient(app)
    client.get("/sub/x/1")
    assert "fogcompute_memory" in client.get("/sub/metrics").text
    assert client.get("/sub/memprof/login", follow_redirects=False).status_code < 500
    assert counted(profiler) == {"GET /sub/x/{id}": 1}
    assert counted(inner) == {}
    assert profiler.traffic.in_flight == 0


def test_a_scrape_through_three_middlewares(profiler):
    """What the innermost of three answers itself counts as nothing, whatever route the one between has seen."""
    sub = Starlette(routes=[Route("/x/{id}", page)])
    app = Starlette(routes=[Mount("/sub", sub)])
    for each in (sub, app, app):
        each.add_middleware(AsgiMiddleware, profiler=profiler)
    client = TestClient(app)
    assert "fogcompute_memory" in client.get("/sub/metrics").text
    client.get("/sub/x/1")
    assert counted(profiler) == {"GET /sub/x/{id}": 1}
    assert profiler.traffic.in_flight == 0


def test_twice_around_a_wsgi_application(profiler):
    """Also where the inner one runs only when the body is read, and where the environ is used once more."""
    inner = WsgiMiddleware(plain_wsgi, profiler=profiler)

    def late(environ, start_response):
        yield from inner(environ, start_response)

    for app in (WsgiMiddleware(inner, profiler=profiler), WsgiMiddleware(late, profiler=profiler)):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
        for _ in range(2):
            answer = app(environ, lambda *_: None)
            assert b"".join(answer) == b"ok"
            getattr(answer, "close", bool)()
    assert counted(profiler) == {"GET /": 4}
    assert profiler.traffic.in_flight == 0


@pytest.mark.parametrize("error", [False, True])
def test_flask_in_wsgi(profiler, error):
    """Flask tells the middleware around it its rule, below the prefix that it is mounted at."""
    app = flask_app(profiler)
    if error:
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.add_url_rule("/boom", "boom", lambda: 1 // 0)
    outer = WsgiMiddleware(DispatcherMiddleware(plain_wsgi, {"/shop": app}), profiler=profiler)
    assert wsgi(outer, "/shop/item/1") == b"1"
    wsgi(outer, "/shop/nowhere")
    assert b"fogcompute_memory" in wsgi(outer, "/shop/metrics")
    if error:
        with pytest.raises(ZeroDivisionError):
            wsgi(outer, "/shop/boom")
    assert counted(profiler) == {"GET /shop/item/<int:number>": 1, "<unmatched>": 1} | (
        {"GET /shop/boom": 1} if error else {}
    )
    assert profiler.traffic.in_flight == 0


@pytest.mark.parametrize("outside", ["django", "wsgi", "asgi"])
def test_django_and_a_middleware_around_it(profiler, django_project, outside):
    """Django tells the middleware around it its route; the one that is in MIDDLEWARE twice counts once."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    urls = [
        path("item/<int:number>/", lambda request, number: HttpResponse("ok")),
        path("stream", lambda request: StreamingHttpResponse(iter([b"1"]))),
    ]
    django_project(urls, MEMPROF=profiler, MIDDLEWARE=[DJANGO, DJANGO] if outside == "django" else [DJANGO])
    paths = ["/item/1/", "/stream", "/nowhere", "/metrics"]
    if outside == "asgi":
        asgi(AsgiMiddleware(ASGIHandler(), profiler=profiler), *paths[:1], *paths[2:])
    else:
        handler = WSGIHandler()
        app = handler if outside == "django" else WsgiMiddleware(handler, profiler=profiler)
        for where in paths:
            wsgi(app, where)
    streamed = {} if outside == "asgi" else {"GET /stream": 1}
    assert counted(profiler) == {"GET /item/<int:number>/": 1, "<unmatched>": 1} | streamed
    assert profiler.traffic.in_flight == 0


@pytest.mark.parametrize(("answer", "route"), [("accept", "WEBSOCKET /chat/{id}"), ("close", "<unmatched>")])
def test_websockets_of_a_plain_application(profiler, answer, route):
    """A websocket that was accepted has a name at once; one that was refused is as good as an error."""

    async def app(scope, receive, send):
        await send({"type": f"websocket.{answer}"})

    async def main():
        async def send(message):
            pass

        await AsgiMiddleware(app, profiler=profiler)({"type": "websocket", "path": "/chat/17"}, None, send)

    anyio.run(main)
    assert profiler.traffic.read() == ({route: 1}, 0)


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5_000, "-1", "x"])
def test_django_and_a_length_that_is_none(profiler, django_project, length):
    """A Content-Length that is no number, or a huge one, is answered and raises nothing."""
    from django.core.handlers.wsgi import WSGIHandler

    profiler = MemoryProfiler(Config(background=False, token="a-token-of-the-tests"), probes=FakeProbes())
    django_project([], MEMPROF=profiler)
    statuses = []
    environ = {"PATH_INFO": "/memprof/login", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": length}
    setup_testing_defaults(environ)
    b"".join(WSGIHandler()(environ, lambda status, *_: statuses.append(status)))
    assert statuses[0][:1] == "4"
    assert profiler.failures.counts == {}


def test_a_rule_that_gives_no_text(profiler):
    """A `route_name=` that returns something else than text harms no request."""
    app = WsgiMiddleware(plain_wsgi, profiler=profiler, route_name=lambda environ: 17)
    assert wsgi(app, "/") == b"ok"
    assert counted(profiler) == {"<unmatched>": 1}
    assert profiler.failures.counts["route_name"] == 1
