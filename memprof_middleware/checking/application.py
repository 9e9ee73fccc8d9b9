"""An ASGI or WSGI application in this process, with one request at a time."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from memprof_middleware.errors import MemprofError
from memprof_middleware.model.clean import clean
from memprof_middleware.model.value import valueclass

Message = MutableMapping[str, Any]
_FAILS = 400
# A number that rises with each request; with a count, it begins again after so many.
_RISING = re.compile(r"\{n(?:%([1-9]\d{0,8}))?\}")


class CheckError(MemprofError):
    """The application cannot be checked: it does not load, or does not start."""


class AnswerError(MemprofError):
    """A request was answered with an error: what fails keeps nothing, so that nothing can be said."""


@valueclass(frozen=True, slots=True)
class RepeatedRequest:
    """A request that is sent many times.

    Attributes:
        method: such as ``GET``.
        path: with its query; ``{n}`` in it is a number that rises with each request, ``{n%200}`` begins again at 200.
        headers: names in lower case.
        body: bytes.
        accepted: statuses of errors that count as right: a leak may lie on the way of an error.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    accepted: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """Method and path, for messages."""
        return clean(f"{self.method} {self.path}")

    def judge(self, status: int) -> None:
        """Accept the answer.

        Raises:
            AnswerError: it is an error.
        """
        if status >= _FAILS and status not in self.accepted:
            raise AnswerError(f"{self.label} was answered with status {status}")


def load(name: str, *, factory: bool = False) -> Any:
    """The application by its name, as servers write it: ``shop:app``, ``shop.web:site.app``.

    Args:
        name: module and object; without one, ``app`` or ``application``.
        factory: whether it is a function that makes the application.

    Raises:
        CheckError: there is no such module or object, or it raises.
    """
    module_name, _, path = name.partition(":")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as a server does it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        found: Any = importlib.import_module(module_name)
        if not path:
            path = next((usual for usual in ("app", "application") if hasattr(found, usual)), "app")
        for part in path.split("."):
            found = getattr(found, part)
        if factory:
            found = found()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CheckError(f"{name} cannot be loaded: {type(error).__name__}: {clean(str(error))}") from error
    if not callable(found):
        raise CheckError(f"{name} is of type {type(found).__name__}, and no ASGI or WSGI application")
    return found


def client(app: Any) -> AsgiClient | WsgiClient:
    """The client of an application."""
    asynchronous = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)
    return AsgiClient(app) if asynchronous else WsgiClient(app)


def _paths(path: str) -> Iterator[str]:
    for number in itertools.count(1):
        yield _RISING.sub(lambda found: str(number % int(found[1]) if found[1] else number), path)  # noqa: B023


class WsgiClient:
    """Asks a WSGI application.

    Args:
        app: the application.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def work(self, repeated: RepeatedRequest) -> Callable[[], object]:
        """A function that sends a request and reads the answer.

        Raises:
            AnswerError: when it is called, and the answer is an error.
        """
        paths = _paths(repeated.path)
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in repeated.headers}
        content_type = headers.pop("HTTP_CONTENT_TYPE", "")

        def ask() -> None:
            path, _, query = next(paths).partition("?")
            statuses: list[str] = []

            def start_response(status: str, _headers: Any, _exc_info: Any = None) -> Callable[[bytes], object]:
                statuses.append(status)
                return lambda _data: None

            body = self._app(
                {
                    "REQUEST_METHOD": repeated.method,
                    "SCRIPT_NAME": "",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": content_type,
                    "CONTENT_LENGTH": str(len(repeated.body)),
                    "SERVER_NAME": "localhost",
                    "SERVER_PORT": "80",
                    "SERVER_PROTOCOL": "HTTP/1.1",
                    "REMOTE_ADDR": "127.0.0.1",
                    "HTTP_HOST": "localhost",
                    "wsgi.version": (1, 0),
                    "wsgi.url_scheme": "http",
                    "wsgi.input": io.BytesIO(repeated.body),
                    "wsgi.errors": sys.stderr,
                    "wsgi.multithread": False,
                    "wsgi.multiprocess": False,
                    "wsgi.run_once": False,
                    **headers,
                },
                start_response,
            )
            try:
                for _ in body:
                    pass
            finally:
                close = getattr(body, "close", None)
                if close is not None:
                    close()
            repeated.judge(int(statuses[-1][:3]))

        return ask

    def close(self) -> None:
        """Nothing to end."""


class AsgiClient:
    """Asks an ASGI application, in an event loop of its own, with its lifespan around all requests.

    Args:
        app: the application.

    Raises:
        CheckError: it does not start.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        self._state: dict[str, Any] = {}
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None
        try:
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise

    def work(self, repeated: RepeatedRequest) -> Callable[[], object]:
        """As for a WSGI application."""
        paths = _paths(repeated.path)
        return lambda: self._runner.run(self._ask(repeated, next(paths)))

    def close(self) -> None:
        """End the application as a server does."""
        self._runner.run(self._stop())
        self._runner.close()

    async def _ask(self, repeated: RepeatedRequest, whole: str) -> None:
        path, _, query = whole.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": repeated.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                *((name.encode(), value.encode()) for name, value in repeated.headers),
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("localhost", 80),
            "state": self._state.copy(),
        }
        sent = [{"type": "http.request", "body": repeated.body, "more_body": False}]
        over = asyncio.Event()
        status = 500

        async def receive() -> Message:
            if sent:
                return sent.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                over.set()

        await self._app(scope, receive, send)
        over.set()
        repeated.judge(status)

    async def _start(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self._lifespan = asyncio.ensure_future(self._app(scope, self._events.get, self._said.put))
        said = await self._answer("lifespan.startup")
        if said is not None and said["type"] == "lifespan.startup.failed":
            why = str(said.get("message", "")).strip().splitlines()[-1:]
            await asyncio.wait({self._lifespan}, timeout=1.0)
            if self._lifespan.done() and not self._lifespan.cancelled():
                self._lifespan.exception()  # seen, so that nobody reports it
            raise CheckError(f"the application does not start: {clean(''.join(why))}")

    async def _stop(self) -> None:
        await self._answer("lifespan.shutdown")
        if self._lifespan is not None:
            self._lifespan.cancel()

    async def _answer(self, question: str) -> Message | None:
        """The answer of the application to a lifespan message; ``None``: it has no lifespan, which is allowed."""
        if self._lifespan is None or self._lifespan.done():
            return None
        self._events.put_nowait({"type": question})
        said = asyncio.ensure_future(self._said.get())
        await asyncio.wait({said, self._lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            return said.result()
        said.cancel()
        self._lifespan.exception()  # seen, so that nobody reports it
        return None
