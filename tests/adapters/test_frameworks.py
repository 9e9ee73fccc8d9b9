"""Each framework of the table in docs/routes.md: requests count under the template that it knows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import webtest
from starlette.testclient import TestClient

from asgi_memprof import MemProfMiddleware as AsgiMiddleware
from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.testing import FakeProbes
from wsgi_memprof import MemProfMiddleware as WsgiMiddleware

ROOT = Path(__file__).parents[2]
SLUGS = ("red-shoes", "blue-hat")


@pytest.fixture
def profiler() -> MemoryProfiler:
    """One that is stepped by hand."""
    return MemoryProfiler(Config(background=False), probes=FakeProbes())


def ask_wsgi(app: Any, profiler: MemoryProfiler) -> None:
    client = webtest.TestApp(WsgiMiddleware(app, profiler=profiler))
    for slug in SLUGS:
        assert client.get(f"/items/{slug}").text == slug
    client.get("/nowhere", status=404)


def ask_asgi(app: Any, profiler: MemoryProfiler, *, lifespan: bool = True) -> None:
    client = TestClient(AsgiMiddleware(app, profiler=profiler))
    with client if lifespan else contextlib.nullcontext():
        for slug in SLUGS:
            assert client.get(f"/items/{slug}").text == slug
        assert client.get("/nowhere").status_code == 404


def bottle(profiler: MemoryProfiler) -> None:
    from bottle import Bottle

    app = Bottle()
    app.route("/items/<name>", "GET", lambda name: name)
    ask_wsgi(app, profiler)


def pyramid(profiler: MemoryProfiler) -> None:
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator() as config:
        config.add_route("item", "/items/{name}")
        config.add_view(lambda request: Response(request.matchdict["name"]), route_name="item")
        ask_wsgi(config.make_wsgi_app(), profiler)


def falcon_wsgi(profiler: MemoryProfiler) -> None:
    import falcon

    class Item:
        def on_get(self, _: Any, response: Any, name: str) -> None:
            response.text = name

    app = falcon.App()
    app.add_route("/items/{name}", Item())
    ask_wsgi(app, profiler)


def flask_plain(profiler: MemoryProfiler) -> None:
    from flask import Flask

    app = Flask("shop")
    app.add_url_rule("/items/<name>", view_func=lambda name: name)
    ask_wsgi(app.wsgi_app, profiler)


def falcon_asgi(profiler: MemoryProfiler) -> None:
    import falcon.asgi

    class Item:
        async def on_get(self, _: Any, response: Any, name: str) -> None:
            response.text = name

    app = falcon.asgi.App()
    app.add_route("/items/{name}", Item())
    ask_asgi(app, profiler, lifespan=False)  # with it, Starlette's client waits for ever, with Falcon alone too


def quart(profiler: MemoryProfiler) -> None:
    from quart import Quart

    app = Quart("shop")

    @app.get("/items/<name>")
    async def item(name: str) -> str:
        return name

    ask_asgi(app.asgi_app, profiler)


def litestar(profiler: MemoryProfiler) -> None:
    from litestar import Litestar, MediaType, get

    async def item(name: str) -> str:
        return name

    item.__annotations__ = {"name": str, "return": str}  # it reads them, and here they are texts
    route = get("/items/{name:str}", media_type=MediaType.TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the shortest way to declare a parameter is deprecated there
        app = Litestar([route(item)])
    ask_asgi(app, profiler)


def sanic(profiler: MemoryProfiler) -> None:
    from sanic import Sanic
    from sanic.response import text

    Sanic.test_mode = True
    app = Sanic(f"shop-{id(profiler)}", configure_logging=False)

    async def item(_: Any, name: str) -> Any:
        return text(name)

    app.add_route(item, "/items/<name>")
    ask_asgi(app, profiler)


def flask_in_fastapi(profiler: MemoryProfiler) -> None:
    from a2wsgi import WSGIMiddleware
    from fastapi import FastAPI
    from flask import Flask

    inner, app = Flask("shop"), FastAPI()
    inner.add_url_rule("/<name>", view_func=lambda name: name)
    app.mount("/items", WSGIMiddleware(inner))
    with TestClient(AsgiMiddleware(app, profiler=profiler)) as client:
        client.get("/items/first")
    profiler.traffic.forget()  # the first one shows what is mounted there
    ask_asgi(app, profiler)


def aiohttp_web(profiler: MemoryProfiler) -> None:
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from aiohttp_memprof import get_profiler, setup

    async def item(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    async def ask() -> None:
        app, shop = web.Application(), web.Application()
        shop.router.add_get("/{name}", item)
        app.add_subapp("/items", shop)
        setup(app, profiler=profiler)
        assert get_profiler(app) is profiler
        with pytest.raises(ConfigError, match="already"):
            setup(app)
        async with TestClient(TestServer(app)) as client:
            for slug in SLUGS:
                assert await (await client.get(f"/items/{slug}")).text() == slug
            assert (await client.get("/nowhere")).status == 404
            metrics = await client.get("/metrics")
            assert metrics.status == 200
            assert "fogcompute_memory_workers" in await metrics.text()

    anyio.run(ask)


# As the table names them: what asks, and the template.
FRAMEWORKS: dict[str, tuple[Callable[[MemoryProfiler], None], str]] = {
    "aiohttp.web": (aiohttp_web, "/items/{name}"),
    "Bottle": (bottle, "/items/<name>"),
    "Falcon (WSGI)": (falcon_wsgi, "/items/{name}"),
    "Falcon (ASGI)": (falcon_asgi, "/items/{name}"),
    "Flask in the WSGI middleware": (flask_plain, "/items/<name>"),
    "Flask mounted in FastAPI": (flask_in_fastapi, "/items/<name>"),
    "Litestar": (litestar, "/items/{name}"),
    "Pyramid": (pyramid, "/items/{name}"),
    "Quart": (quart, "/items/<name>"),
    "Sanic (ASGI)": (sanic, "/items/<name:str>"),
}


# Installed in a folder of their own (Makefile), so tried in a process of their own.
APART = Path(sys.prefix, "apart")
IN_APART = {"Pyramid", "Sanic (ASGI)"}


def tried(framework: str) -> dict[str, Any]:
    """What was counted while a framework's application answered, and the failures."""
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())
    FRAMEWORKS[framework][0](profiler)
    return {"requests": profiler.traffic.read()[0], "failures": dict(profiler.failures.counts)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_tells_its_routes(framework: str) -> None:
    """Two requests of one route are two requests under its template; what no route answers is unmatched."""
    if framework in IN_APART:
        program = (
            "import json, sys; from tests.adapters.test_frameworks import tried; print(json.dumps(tried(sys.argv[1])))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, framework],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(APART)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
    else:
        found = tried(framework)
    template = FRAMEWORKS[framework][1]
    assert found == {"requests": {f"GET {template}": 2, "<unmatched>": 1}, "failures": {}}


def test_the_docs_list_each_of_them() -> None:
    """The table has the template that the test has, and no framework that none runs."""
    text = (ROOT / "docs/routes.md").read_text()
    table = text.split("| framework |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \|[^|]+\| `(/items/[^`]+)` \|$", table, re.MULTILINE))
    assert rows == {name: template for name, (_, template) in FRAMEWORKS.items()}


def test_a_mounted_flask_with_the_extension_counts_once(profiler: MemoryProfiler) -> None:
    """Its environ has no mark of the ASGI middleware, and still the request is one, under the mounted route."""
    from a2wsgi import WSGIMiddleware
    from fastapi import FastAPI
    from flask import Flask

    from flask_memprof import MemProf

    inner, app = Flask("shop"), FastAPI()
    inner.add_url_rule("/<name>", view_func=lambda name: name)
    own = MemoryProfiler(Config(background=False), probes=FakeProbes())
    MemProf(inner, profiler=own)
    app.mount("/items", WSGIMiddleware(inner))
    ask_asgi(app, profiler)
    assert profiler.traffic.read()[0] == {"GET /items/<name>": 2, "<unmatched>": 1}
    assert own.traffic.total == 0


def test_slugs_of_paths_fold() -> None:
    """Where only a path is known, many names after one prefix become one route, and pages keep their names."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"page"]

    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())
    client = webtest.TestApp(WsgiMiddleware(app, profiler=profiler))
    pages = ["/", "/cart", "/about-us", "/sign-up", "/help/first-steps", "/help/refunds"]
    for path in pages:
        client.get(path)
    for number in range(300):
        client.get(f"/items/shoe-no-{number}-x/reviews")
    profiler.traffic.review()
    requests, _ = profiler.traffic.read()
    assert requests.keys() == {f"GET {path}" for path in pages} | {"GET /items/{slug}/reviews"}
    assert profiler.traffic.total == 300 + len(pages)
    assert requests["GET /items/{slug}/reviews"] > 280  # those that came before it was known ended with their names
