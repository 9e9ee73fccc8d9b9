"""Whose ``/metrics`` is: the first scrape of a process asks the application, and no more than it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memprof_run.yielding import YieldingAsgi, YieldingWsgi

Answer = tuple[str, Any]


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROF_BACKGROUND", "false")


def shop(statuses: dict[str, int], asked: list[str]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A WSGI and an ASGI application with these pages and no others, which note what they are asked for."""

    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        asked.append(environ["PATH_INFO"])
        status = statuses.get(environ["PATH_INFO"], statuses["else"])
        start_response(f"{status} ?", [("Content-Type", "text/plain")])
        return iter([b"theirs"])

    async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        asked.append(scope["path"])
        status = statuses.get(scope["path"], statuses["else"])
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"theirs"})

    return wsgi, asgi


def wsgi_answer(app: YieldingWsgi) -> bytes:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    return b"".join(app(environ, lambda *_: lambda _: None))


def asgi_answer(app: YieldingAsgi) -> bytes:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": [], "root_path": ""}
    asyncio.run(app(scope, receive, send))
    return b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("statuses", "theirs", "asked"),
    [
        ({"else": 404}, False, ["/metrics"]),
        ({"else": 200}, False, ["/metrics", "/memprof-has-no-such-page"]),
        ({"/metrics": 200, "else": 404}, True, ["/metrics", "/memprof-has-no-such-page"]),
    ],
    ids=["no such page", "one page for all", "its own"],
)
def test_whose_metrics_they_are(statuses: dict[str, int], theirs: bool, asked: list[str]) -> None:
    """An application that has no such page is asked once, in which its log shows what any scrape would."""
    heard: list[str] = []
    wsgi, asgi = shop(statuses, heard)
    for app, answer in ((YieldingWsgi(wsgi), wsgi_answer), (YieldingAsgi(asgi), asgi_answer)):
        heard.clear()
        first = answer(app)
        assert (first == b"theirs") is theirs
        assert heard == [*asked, *(["/metrics"] if theirs else [])]
        assert (answer(app) == b"theirs") is theirs
        assert len(heard) == len(asked) + 2 * theirs
