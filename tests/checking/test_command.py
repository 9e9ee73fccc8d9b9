"""``memprof check``: an application, its paths, an exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

APPS = """
import flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

KEPT = []
class Visit: pass

web = flask.Flask(__name__)

@web.get("/leak")
def leak():
    KEPT.append(Visit())
    print("much is printed")
    return "ok"

@web.get("/fine")
def fine():
    return "ok"

@web.post("/cart")
def cart():
    return flask.request.headers["x-shop"] + flask.request.get_data(as_text=True)

@web.get("/fails")
def fails():
    flask.abort(500)

async def aleak(request):
    KEPT.append(Visit())
    return PlainTextResponse("ok")

async def afine(request):
    assert request.app.state.started
    return PlainTextResponse("ok")

async def araises(request):
    raise ValueError("secret")

class lifespan:
    def __init__(self, app): self.app = app
    async def __aenter__(self): self.app.state.started = True
    async def __aexit__(self, *_): pass

site = Starlette(routes=[Route("/leak", aleak), Route("/fine", afine), Route("/raises", araises)], lifespan=lifespan)

class broken(lifespan):
    async def __aenter__(self): raise RuntimeError("no database")

dead = Starlette(lifespan=broken)
def make(): return web
number = 5
"""


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(APPS)
    (folder / "bad.py").write_text("raise RuntimeError('no\\nsettings')\n")
    command = [sys.executable, "-m", "memprof_middleware.cli", "check", *options]
    command[1:3] = ["-c", "import sys; from memprof_middleware.cli import main; sys.exit(main())"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("app", ["shop:web", "shop:site"])
def test_a_leak_is_status_one_and_named(tmp_path: Path, app: str) -> None:
    """Of two paths the one that leaks is told with its holder; what the application prints is not shown."""
    done = check(tmp_path, app, "--path", "/leak", "--path", "/fine")
    assert (done.returncode, done.stderr) == (1, "")
    assert "memory leaks with each GET /leak:" in done.stdout
    assert "shop.KEPT keeps one Visit for each GET /leak" in done.stdout
    assert done.stdout.endswith("GET /fine: no memory leak\n")
    assert "much is printed" not in done.stdout


def test_clean_is_status_zero(tmp_path: Path) -> None:
    """With a method, a header, a body and a factory; a WSGI and an ASGI application, the latter with its lifespan."""
    options = ("--factory", "--path", "POST /cart?n=1", "--header", "X-Shop: north", "--body", "tea")
    for arguments in (
        ("shop:make", *options),
        ("shop:site", "--path", "/fine"),
        ("shop:web", "--path", "/gone/{n}", "--accept", "404"),
    ):
        done = check(tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout.endswith("no memory leak\n")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("shop:web", "--path", "/fails"), 3, "GET /fails was answered with status 500"),
        (("shop:web", "--path", "/nowhere"), 3, "GET /nowhere was answered with status 404"),
        (("shop:site", "--path", "/raises"), 3, "GET /raises raised ValueError"),
        (("nothing:app",), 2, "nothing:app cannot be loaded: ModuleNotFoundError: No module named 'nothing'"),
        (("shop:nothing",), 2, "shop:nothing cannot be loaded: AttributeError"),
        (("bad",), 2, "bad cannot be loaded: RuntimeError: no?settings"),
        (("shop:number",), 2, "shop:number is of type int, and no ASGI or WSGI application"),
        (("shop:dead",), 2, "the application does not start: "),
        (("shop:web", "--path", "/fails", "--accept", "404"), 3, "answered with status 500"),
        (("shop:web", "--path", "cart"), 2, "a path begins with a slash"),
        (("shop:web", "--header", "X"), 2, "a name, a colon and a value"),
        (("shop:web", "--requests", "1"), 2, "requests=1 is out of range"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line(
    tmp_path: Path, options: tuple[str, ...], status: int, words: str
) -> None:
    """A request that fails keeps nothing, so it is no clean one: status 3; what does not start is status 2."""
    done = check(tmp_path, *options)
    assert done.returncode == status, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("memprof check: ")
    assert words in line
