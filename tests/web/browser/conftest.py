"""A real Chromium, and the page on a real server of each host, behind a prefix."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from memprof_middleware import MemoryProfiler
from memprof_middleware.web.http.page import PageEndpoint
from tests.web.scene import TOKEN, Scene
from tests.web.ten import Server

PREFIX = "/internal/shop"
PICTURES = Path(__file__).parents[3] / "build/pictures"
_START_SECONDS = 10.0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of the system. In CI it must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium is installed: apt-get install chromium, or run .ci/install"
        # A developer may lack it; a CI that skips proves nothing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        # A name that is not this machine's: to the browser it is a host on the net, not localhost.
        rules = "--host-resolver-rules=MAP shop.example 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", rules])
        yield browser
        browser.close()


@dataclasses.dataclass
class Site:
    """A served application.

    Attributes:
        origin: scheme, host and port.
        prefix: what stands before the application's own paths.
        endpoint: the page's.
        seen: cookies that the application itself was sent, by path.
        stop: ends the server.
    """

    origin: str
    prefix: str
    endpoint: PageEndpoint
    seen: dict[str, str]
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        return f"{self.origin}{self.prefix}/memprof/"


@pytest.fixture
def served() -> Iterator[Callable[..., Site]]:
    """``served(host, scene)``: the page of a scene, on a server of this host; stopped at the end."""
    with contextlib.ExitStack() as undo:

        def serve(host: str = "wsgi", scene: Scene | Server | None = None, prefix: str = PREFIX, **more: Any) -> Site:
            profiler = (scene or Scene()).profiler()
            undo.callback(profiler.stop)
            refresh, told = more.pop("refresh", 5.0), more.pop("told", True)
            seen: dict[str, str] = {}
            app, endpoint = {"asgi": _asgi, "wsgi": _wsgi, "flask": _flask, "django": _django}[host](
                profiler, seen, **more
            )
            endpoint._refresh = refresh
            start = _uvicorn if host == "asgi" else _threads
            port, stop = start(app, prefix, told=told)
            undo.callback(stop)
            return Site(f"http://127.0.0.1:{port}", prefix, endpoint, seen, stop)

        yield serve


@dataclasses.dataclass
class Look:
    """A page that is open, and what went wrong in it: messages of the console and requests to elsewhere."""

    page: Page
    complaints: list[str]

    def log_in(self, site: Site, token: str = TOKEN) -> None:
        self.page.goto(site.url)
        self.page.fill("#token", token)
        self.page.click("button[type=submit]")


@pytest.fixture
def look(chromium: Browser) -> Iterator[Callable[..., Look]]:
    """``look(site, ...)``: logged in, at the page; further arguments are of the browser's context."""
    contexts: list[BrowserContext] = []

    def open_(site: Site, *, log_in: bool = True, **options: Any) -> Look:
        context = chromium.new_context(**options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: complaints.append(sent.url) if not _ours(sent.url) else None)
        found = Look(page, complaints)
        if log_in:
            found.log_in(site)
            page.wait_for_selector("#status")
        return found

    yield open_
    for context in contexts:
        context.close()


def _ours(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "http://shop.example:", "data:,"))


def _hello(environ: dict[str, Any], seen: dict[str, str]) -> None:
    seen[environ.get("PATH_INFO", "")] = environ.get("HTTP_COOKIE", "")


def _wsgi(profiler: MemoryProfiler, seen: dict[str, str]) -> tuple[Any, PageEndpoint]:
    from wsgi_memprof import MemProfMiddleware

    def app(environ, start_response):
        _hello(environ, seen)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the application"]

    with _noted() as made:
        wrapped = MemProfMiddleware(app, profiler=profiler)
    return wrapped, made[-1]


def _flask(profiler: MemoryProfiler, seen: dict[str, str]) -> tuple[Any, PageEndpoint]:
    import flask

    from flask_memprof import MemProf

    app = flask.Flask("shop")

    @app.route("/")
    def hello():
        _hello(flask.request.environ, seen)
        return "the application"

    with _noted() as made:
        MemProf(app, profiler=profiler)
    return app, made[-1]


def _django(profiler: MemoryProfiler, seen: dict[str, str], *, project: Any) -> tuple[Any, PageEndpoint]:
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    def hello(request):
        _hello(request.META, seen)
        return HttpResponse("the application")

    project(
        [path("", hello)],
        MEMPROF=profiler,
        # What projects have, and what wants to set headers of its own.
        MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    )
    with _noted() as made:
        handler = WSGIHandler()
    return handler, made[-1]


@contextlib.contextmanager
def _noted() -> Iterator[list[PageEndpoint]]:
    """The endpoints that an adapter makes."""
    made: list[PageEndpoint] = []

    class Noted(PageEndpoint):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("memprof_middleware.web.http.page.PageEndpoint", Noted)
        yield made


def _asgi(profiler: MemoryProfiler, seen: dict[str, str]) -> tuple[Any, PageEndpoint]:
    from asgi_memprof import MemProfMiddleware

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        seen[scope["path"].removeprefix(scope.get("root_path", ""))] = headers.get(b"cookie", b"").decode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"the application"})

    with _noted() as made:
        wrapped = MemProfMiddleware(app, profiler=profiler)
    return wrapped, made[-1]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _Handler(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Silent."""


def _threads(app: Any, prefix: str, *, told: bool) -> tuple[int, Callable[[], None]]:
    def behind(environ, start_response):
        """What a server does that is told of its prefix, or a proxy that takes it away and tells nobody."""
        path = environ["PATH_INFO"]
        if not path.startswith(prefix):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"nothing here"]
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = prefix if told else "", path[len(prefix) :]
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, behind, _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()

    return server.server_port, stop


def _uvicorn(app: Any, prefix: str, *, told: bool) -> tuple[int, Callable[[], None]]:
    import uvicorn

    async def behind(scope, receive, send):
        """As ASGI has it: the path holds the prefix too."""
        if scope["path"].startswith(prefix):
            await app({**scope, "root_path": prefix * told}, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"nothing here"})

    config = uvicorn.Config(behind, port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline, "uvicorn does not start"
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = server.force_exit = True
        thread.join()

    return server.servers[0].sockets[0].getsockname()[1], stop
