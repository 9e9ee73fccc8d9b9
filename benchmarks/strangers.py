"""What strangers can make a process keep: memory after long and all different paths, with the profiler and without.

A real server (uvicorn with h11 for ASGI, waitress for WSGI) takes some thousand requests of 60 kB, with and without
characters beyond the BMP, of which Python keeps 4 bytes each. What is told is the growth of the anonymous resident
memory of the server's process; what the bare application keeps stands beside it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import harness

HOSTS = ("asgi", "starlette-mount", "wsgi", "flask", "django-asgi", "django-wsgi")
ASGI = frozenset({"asgi", "starlette-mount", "django-asgi"})
PATHS = {"ascii": "x" * 60_000, "emoji": "%F0%9F%98%80" * 5_000}
REQUESTS = 2_100
_WARM_UP = 100
_SECONDS = 60.0


def run(*, quick: bool) -> dict[str, Any]:
    """Every host and kind of path, bare and with the profiler."""
    return {
        f"{host} {kind}": {variant: growth(host, variant, kind, 300 if quick else REQUESTS) for variant in VARIANTS}
        for host in HOSTS
        for kind in PATHS
    }


def show(found: dict[str, Any]) -> str:
    """The table."""
    rows = [(name, *(harness.number(row[variant], 1) for variant in VARIANTS)) for name, row in found.items()]
    return harness.table(("host and paths", "bare, MB", "with the profiler, MB"), rows)


def growth(host: str, variant: str, kind: str, requests: int) -> float:
    """MB by which a server's process grows while it answers so many requests, each for another path."""
    with _served(host, variant) as (pid, port), socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        for number in range(_WARM_UP):
            _ask(connection, f"/warm{number % 10}")
        before = _anonymous(pid)
        for number in range(requests):
            _ask(connection, f"/{number:06d}{PATHS[kind]}")
        return (_anonymous(pid) - before) / 1024


def _ask(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        part = connection.recv(65536)
        if not part:
            raise RuntimeError(f"the server broke off: {answer[:200]!r}")
        answer += part


def _anonymous(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no line RssAnon: it is over, or this is not Linux")


@contextlib.contextmanager
def _served(host: str, variant: str) -> Iterator[tuple[int, int]]:
    # Handed over as it listens: a number that was free a moment ago may be another server's by now.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, fd = listening.getsockname()[1], listening.fileno()
        command = (sys.executable, "-m", "benchmarks.strangers", host, variant, str(fd))
        process = subprocess.Popen(command, cwd=harness.ROOT, stdout=subprocess.DEVNULL, pass_fds=[fd])
    try:
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


# -- inside the server -------------------------------------------------------------------------------------------------


def _asgi(variant: str) -> Any:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError("this application knows HTTP alone")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return _around_asgi(app, variant)


def _starlette_mount(variant: str) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Mount, Route

    async def index(_request: object) -> Response:
        return Response(b"ok")

    return _around_asgi(Starlette(routes=[Mount("/{tenant}", routes=[Route("/", index)])]), variant, "/")


def _around_asgi(app: Any, variant: str, ending: str = "") -> Any:
    async def ended(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "path": scope["path"] + ending} if scope["type"] == "http" else scope, receive, send)

    if variant == "ours":
        from asgi_memprof import MemProfMiddleware

        return MemProfMiddleware(ended)
    return ended


def _wsgi(variant: str) -> Any:
    def app(_environ: object, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    if variant == "ours":
        from wsgi_memprof import MemProfMiddleware

        return MemProfMiddleware(app)
    return app


def _flask(variant: str) -> Any:
    from flask import Flask

    app = Flask(__name__)
    app.add_url_rule("/<path:anything>", "index", lambda anything: "ok")  # noqa: ARG005 - Flask passes it by name
    if variant == "ours":
        from flask_memprof import MemProf

        MemProf(app)
    return app


def _django(variant: str) -> None:
    import types

    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import re_path

    urls = types.ModuleType("urls")
    urls.urlpatterns = [re_path("", lambda _request: HttpResponse(b"ok", headers={"Content-Length": "2"}))]  # type: ignore[attr-defined]
    apps = ["django_memprof"] if variant == "ours" else []
    settings.configure(
        SECRET_KEY="benchmarks", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, LOGGING_CONFIG=None, INSTALLED_APPS=apps
    )
    django.setup()


def _django_asgi(variant: str) -> Any:
    from django.core.handlers.asgi import ASGIHandler

    _django(variant)
    return ASGIHandler()


def _django_wsgi(variant: str) -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    _django(variant)
    return WSGIHandler()


VARIANTS = ("bare", "ours")
_FACTORIES = dict(zip(HOSTS, (_asgi, _starlette_mount, _wsgi, _flask, _django_asgi, _django_wsgi), strict=True))


def _serve(host: str, variant: str, fd: int) -> None:
    app = _FACTORIES[host](variant)
    listening = socket.socket(fileno=fd)
    if host in ASGI:
        import uvicorn

        uvicorn.Server(uvicorn.Config(app, http="h11", log_level="critical")).run(sockets=[listening])
    else:
        import waitress

        logging.getLogger("waitress.queue").setLevel("ERROR")  # it tells of each request that waits for a thread
        waitress.serve(app, sockets=[listening], threads=2)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
