"""Under which route each host's requests count, and when."""

from __future__ import annotations

import io
from wsgiref.util import FileWrapper

import anyio
import flask
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import django_memprof
from asgi_memprof import MemProfMiddleware as AsgiMiddleware
from flask_memprof import MemProf
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeProbes
from wsgi_memprof import MemProfMiddleware as WsgiMiddleware


@pytest.fixture
def profiler():
    """One that is stepped by hand."""
    return MemoryProfiler(Config(background=False), probes=FakeProbes())


def counted(profiler):
    return profiler.traffic.read()[0]


async def page(request):
    return PlainTextResponse("page")


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_starlette_templates(profiler, outside, root_path):
    """Mounts belong to the template, a proxy's prefix and the values of parameters do not."""
    routes = [
        Route("/plain/{number:int}", page),
        Mount("/shop", routes=[Route("/item/{id}", page), Mount("/inner", Starlette(routes=[Route("/x", page)]))]),
        Mount("/tenant/{name}", routes=[Route("/item/{id}", page)]),
        Mount("/raw", PlainTextResponse("raw")),
    ]
    app = Starlette(routes=routes)
    if outside:
        app = AsgiMiddleware(app, profiler=profiler)
    else:
        app.add_middleware(AsgiMiddleware, profiler=profiler)
    client = TestClient(app, root_path=root_path)
    for path in ("/plain/1", "/plain/2", "/shop/item/a", "/shop/inner/x", "/tenant/t1/item/7", "/tenant/t2/item/8"):
        assert client.get(root_path + path).status_code == 200
    client.get(root_path + "/raw/anything")
    client.get(root_path + "/nowhere")
    assert counted(profiler) == {
        "GET /plain/{number:int}": 2,
        "GET /shop/item/{id}": 1,
        "GET /shop/inner/x": 1,
        "GET /tenant/{name}/item/{id}": 2,
        "GET /raw/*": 1,
        "<unmatched>": 1,
    }


def test_fastapi_included_routers(profiler):
    """A router that is included twice has two templates; a request that fails validation has its route."""
    router = APIRouter(prefix="/items")

    @router.get("/{number}")
    def item(number: int) -> int:
        return number

    app, whole = FastAPI(), FastAPI()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    whole.mount("/api", app)
    client = TestClient(AsgiMiddleware(whole, profiler=profiler))
    for path in ("/api/v1/items/1", "/api/v2/items/1", "/api/v2/items/not-a-number"):
        client.get(path)
    assert counted(profiler) == {"GET /api/v1/items/{number}": 1, "GET /api/v2/items/{number}": 2}


def test_starlette_that_does_not_tell_the_route(profiler):
    """Older versions leave only the endpoint in the scope: the route is found by it."""

    class Older:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            await self.app(scope, receive, send)
            scope.pop("route", None)

    app = Starlette(routes=[Route("/one/{id}", page), Mount("/sub", routes=[Route("/two/{id}", page)])])
    client = TestClient(AsgiMiddleware(Older(app), profiler=profiler))
    for path in ("/one/1", "/one/2", "/sub/two/3"):
        client.get(path)
    assert counted(profiler) == {"GET /one/{id}": 2, "GET /sub/two/{id}": 1}


def test_background_task_is_part_of_the_request(profiler):
    """A request is in flight until its background task is done, and counts then."""
    seen = []

    def task():
        seen.append((profiler.traffic.in_flight, profiler.requests))

    async def view(request):
        return PlainTextResponse("ok", background=BackgroundTask(task))

    TestClient(AsgiMiddleware(Starlette(routes=[Route("/", view)]), profiler=profiler)).get("/")
    assert seen == [(1, 0)]
    assert counted(profiler) == {"GET /": 1}


def test_streaming_over_asgi(profiler):
    """A streamed response counts after its last part."""
    seen = []

    async def parts():
        for _ in range(2):
            seen.append(profiler.requests)
            yield b"part"

    async def view(request):
        return StreamingResponse(parts())

    TestClient(AsgiMiddleware(Starlette(routes=[Route("/", view)]), profiler=profiler)).get("/")
    assert seen == [0, 0]
    assert profiler.requests == 1


def test_websocket(profiler):
    """A websocket is one request, from its opening to its end."""

    async def echo(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = AsgiMiddleware(Starlette(routes=[WebSocketRoute("/ws/{room}", echo)]), profiler=profiler)
    with TestClient(app).websocket_connect("/ws/blue") as session:
        assert profiler.traffic.in_flight == 1
        session.send_text("hi")
        assert session.receive_text() == "hi"
    assert counted(profiler) == {"WEBSOCKET /ws/{room}": 1}


def test_cancelled_request_ends(profiler):
    """A request whose client has gone is not in flight for ever."""

    async def main():
        async def app(scope, receive, send):
            await anyio.sleep_forever()

        with anyio.move_on_after(0.01):
            await AsgiMiddleware(app, profiler=profiler)({"type": "http", "method": "GET", "path": "/"}, None, None)

    anyio.run(main)
    assert profiler.traffic.in_flight == 0
    assert profiler.requests == 1


def test_route_name_over_asgi(profiler):
    """The user's own rule names routes; one that raises is counted as a failure, and the request goes on."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    names = {"/a": "/first", "/b": None}
    client = TestClient(AsgiMiddleware(app, profiler=profiler, route_name=lambda scope: names[scope["path"]]))
    for path in ("/a", "/b", "/c"):
        assert client.get(path).text == "ok"
    assert counted(profiler) == {"GET /first": 1, "<unmatched>": 2}
    assert profiler.failures.counts["route_name"] == 1


def test_plain_applications_fold_ids(profiler):
    """Where a host tells no routes, ids in the path are folded, over WSGI as over ASGI."""

    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    paths = ["/users/17", "/users/18", "/o/0190163d-8694-739b-aea5-966c26f8ad91", "/v2/c/deadbeef01"]
    middleware, client = WsgiMiddleware(wsgi, profiler=profiler), TestClient(AsgiMiddleware(asgi, profiler=profiler))
    for path in paths:
        middleware({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda *_: None)
        client.get(path)
    assert counted(profiler) == {"GET /users/{id}": 4, "GET /o/{id}": 2, "GET /v2/c/{id}": 2}


def test_route_name_over_wsgi(profiler):
    """The user's own rule names routes; one that raises is counted as a failure, and the request goes on."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    middleware = WsgiMiddleware(app, profiler=profiler, route_name=lambda environ: environ["name"])
    for more in ({"name": "/first"}, {"name": None}, {}):
        assert middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **more}, lambda *_: None) == [b"ok"]
    assert counted(profiler) == {"GET /first": 1, "<unmatched>": 2}
    assert profiler.failures.counts["route_name"] == 1


class Body:
    """An iterable that knows whether it was closed."""

    closed = False

    def __iter__(self):
        return iter([b"1", b"2"])

    def close(self):
        self.closed = True


def test_wsgi_body_counts_when_closed(profiler):
    """An iterable's request ends when the server closes it, and the application's own close() runs first."""
    body = Body()
    middleware = WsgiMiddleware(lambda environ, start_response: body, profiler=profiler)
    answer = middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    assert list(answer) == [b"1", b"2"]
    assert (profiler.requests, profiler.traffic.in_flight, body.closed) == (0, 1, False)
    answer.close()
    answer.close()
    assert (profiler.requests, profiler.traffic.in_flight, body.closed) == (1, 0, True)


def test_wsgi_body_that_nobody_closes(profiler):
    """A server that drops the iterable instead of closing it leaves nothing in flight."""
    middleware = WsgiMiddleware(lambda environ, start_response: iter([b"1"]), profiler=profiler)
    answer = middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    assert profiler.traffic.in_flight == 1
    del answer
    assert (profiler.requests, profiler.traffic.in_flight) == (1, 0)


def test_wsgi_close_that_raises(profiler):
    """An error in the application's close() comes out, and the request is counted all the same."""

    class Broken(Body):
        def close(self):
            raise ZeroDivisionError

    middleware = WsgiMiddleware(lambda environ, start_response: Broken(), profiler=profiler)
    answer = middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        answer.close()
    assert profiler.requests == 1


def test_file_wrapper_that_is_a_function(profiler):
    """The wrapper of uWSGI is a function that gives the file back: the server must find that very object again."""
    file = io.BytesIO(b"content")
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": lambda file, size=0: file}
    middleware = WsgiMiddleware(lambda environ, _: environ["wsgi.file_wrapper"](file), profiler=profiler)
    assert middleware(environ, lambda *_: None) is file
    assert profiler.requests == 1


def test_flask_rules(profiler, tmp_path):
    """Flask's requests count under their rule: blueprints, converters, files and functions that answer first."""
    app = flask.Flask("shop")
    shop = flask.Blueprint("shop", "shop", url_prefix="/shop")
    (tmp_path / "page.txt").write_text("page")

    @shop.get("/item/<int:number>")
    def item(number):
        return str(number)

    @app.get("/file")
    def file():
        return flask.send_file(tmp_path / "page.txt")

    @app.before_request
    def gate():
        return ("closed", 403) if flask.request.headers.get("X-Gate") else None

    app.register_blueprint(shop)
    MemProf(app, profiler=profiler)
    client = app.test_client()
    client.get("/shop/item/1")
    client.get("/shop/item/2", headers={"X-Gate": "yes"})
    client.get("/file").close()
    client.get("/file", environ_overrides={"wsgi.file_wrapper": FileWrapper}).close()
    client.post("/file").close()
    client.get("/shop/item/none").close()
    assert counted(profiler) == {"GET /shop/item/<int:number>": 2, "GET /file": 2, "<unmatched>": 2}
    assert profiler.traffic.in_flight == 0


def test_django_routes(django_project, profiler):
    """Django's requests count under the route that the resolver found, includes and expressions too."""
    from django.http import HttpResponse
    from django.test import Client
    from django.urls import include, path, re_path

    def view(request, **_):
        return HttpResponse("ok")

    urls = [
        path("shop/", include([path("item/<int:number>/", view)])),
        re_path(r"^old/(?P<number>\d+)$", view),
    ]
    django_project(urls, MEMPROF=profiler)
    client = Client()
    for where in ("/shop/item/1/", "/shop/item/2/", "/old/3", "/nowhere"):
        client.get(where)
    assert counted(django_memprof.get_profiler()) == {
        "GET /shop/item/<int:number>/": 2,
        r"GET /old/(?P<number>\d+)$": 1,
        "<unmatched>": 1,
    }


def test_django_streams(django_project, profiler):
    """A streamed response counts when it is closed, one that is dropped when it is gone."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import StreamingHttpResponse
    from django.test import RequestFactory
    from django.urls import path

    django_project([path("stream", lambda request: StreamingHttpResponse(iter([b"1"])))], MEMPROF=profiler)
    handler = WSGIHandler()
    for end in ("close", "drop"):
        environ = RequestFactory().get("/stream").environ
        response = handler(environ, lambda *_: None)
        assert list(response) == [b"1"]
        assert profiler.traffic.in_flight == 1
        if end == "close":
            response.close()
        del response, environ
        assert profiler.traffic.in_flight == 0
    assert counted(profiler) == {"GET /stream": 2}


def bottle_app():
    import bottle

    app = bottle.Bottle()
    app.route("/b/<name>", callback=lambda name: name)
    return app, "/b/red-shoes", "/b/<name>"


def falcon_app():
    import falcon

    class Item:
        def on_get(self, request, response, name):
            response.text = name

    app = falcon.App()
    app.add_route("/f/{name}", Item())
    return app, "/f/red-shoes", "/f/{name}"


def plain_flask_app():
    app = flask.Flask("shop")
    app.add_url_rule("/p/<name>", "item", lambda name: name)
    return app, "/p/red-shoes", "/p/<name>"


@pytest.mark.parametrize("make", [bottle_app, falcon_app, plain_flask_app])
@pytest.mark.parametrize("prefix", ["/one", "/two"])
def test_a_template_below_a_dispatcher(profiler, make, prefix):
    """Applications that are mounted at several places have several routes, as a mounted Starlette has."""
    app, path, template = make()
    outer = WsgiMiddleware(DispatcherMiddleware(app, {prefix: app}), profiler=profiler)
    WsgiMiddleware(app, profiler=MemoryProfiler(Config(background=False)))  # has the framework leave its route
    client = Client(outer)
    for place in (path, prefix + path, prefix + path):
        assert client.get(place).status_code == 200
    assert counted(profiler) == {f"GET {template}": 1, f"GET {prefix}{template}": 2}


@pytest.mark.parametrize("make", [bottle_app, falcon_app, plain_flask_app])
def test_a_template_within_an_asgi_application(profiler, make):
    """A WSGI application in an ASGI one is wrapped too, and its route is the request's."""
    from a2wsgi import WSGIMiddleware

    app, path, template = make()
    inner = WSGIMiddleware(WsgiMiddleware(app, profiler=profiler))
    client = TestClient(AsgiMiddleware(Starlette(routes=[Mount("/in", inner)]), profiler=profiler))
    assert client.get(f"/in{path}").status_code == 200
    assert counted(profiler) == {f"GET /in{template}": 1}
