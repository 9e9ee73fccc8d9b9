"""The same for ASGI: lifespan, requests at once in a number that may change, websockets that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.leakbench.traffic import Traffic

_HOST = {
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "root_path": "",
    "client": ("127.0.0.1", 4242),
    "server": ("testserver", 80),
}


def asgi_batches(app: Any, label: dict[str, Any], ends: Sequence[int], step: int) -> Iterator[int]:
    """Run an ASGI application; yields as :func:`benchmarks.leakbench.drive.wsgi_batches`.

    Args:
        app: the application.
        label: the scenario's label.
        ends: the same.
        step: requests for each entry of the label's traffic profiles.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        server = _Server(app, label)
        loop.run_until_complete(server.start())
        yield 0
        wait = not label.get("drive", {}).get("sample_in_flight", False)
        begin, batches = 0, set(ends)
        # Parts of batches, since a batch need not end where the profile's next entry begins.
        for end in sorted({*ends, *range(step, ends[-1], step)}):
            loop.run_until_complete(server.serve(begin, end, begin // step, at_entry=begin % step == 0))
            begin = end
            if end in batches:
                server.traffic.minute += 1
                loop.run_until_complete(server.settle(wait=wait))
                yield end
    finally:
        loop.run_until_complete(_cancel_all())
        asyncio.set_event_loop(None)
        loop.close()


async def _cancel_all() -> None:
    """End what is left: clients, and tasks that leaked."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=5)


class _Server:
    """Calls the application; what is under way is kept between batches.

    Attributes:
        traffic: the requests to come.
    """

    def __init__(self, app: Any, label: dict[str, Any]) -> None:
        self._app, self.traffic = app, Traffic(label["paths"])
        self._settings = label.get("drive", {})
        self._state: dict[str, Any] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._clients: list[_Client] = []

    async def start(self) -> None:
        if self._settings.get("lifespan", True):
            self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
            self._started = asyncio.Event()
            self._lifespan = asyncio.ensure_future(self._live())
            self._told.put_nowait({"type": "lifespan.startup"})
            await self._started.wait()
        await asyncio.ensure_future(self._one(0))

    async def serve(self, begin: int, end: int, entry: int, *, at_entry: bool) -> None:
        """The requests after number ``begin`` up to ``end``."""
        if at_entry:
            await self._open_clients(entry)
        profile = self._settings.get("concurrency_profile")
        at_once = profile[entry % len(profile)] if profile else self._settings.get("concurrency", 1)
        number = begin
        while number < end:
            while len(self._under_way) < at_once and number < end:
                number += 1
                task = asyncio.ensure_future(self._one(number))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                del task
            if at_once == 1:
                await self._drain()
            elif self._under_way:
                await asyncio.wait(set(self._under_way), return_when=asyncio.FIRST_COMPLETED)

    async def settle(self, *, wait: bool) -> None:
        """Let what has been answered come to its end."""
        if wait:
            await self._drain()
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.sleep(self._settings.get("settle", 0.02))

    async def _drain(self) -> None:
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def _open_clients(self, entry: int) -> None:
        profile = self._settings.get("websocket_profile")
        if not profile:
            return
        wanted = profile[entry % len(profile)]
        while len(self._clients) < wanted:
            self._clients.append(_Client(self._app, self._settings.get("websocket_path", "/ws")))
        while len(self._clients) > wanted:
            await self._clients.pop().close()
        for client in self._clients:
            client.say("hello")
        await asyncio.sleep(0.01)

    async def _one(self, number: int) -> None:
        try:
            await self._call(*self.traffic.next(number))
        except Exception:  # a server logs it and goes on
            return

    async def _call(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> None:
        path, _, query = target.partition("?")
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        if body:
            raw.append((b"content-length", str(len(body)).encode()))
        scope: dict[str, Any] = {
            **_HOST,
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"testserver"), *raw],
        }
        if self._state:
            scope["state"] = dict(self._state)
        given, done = False, asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                done.set()

        await self._app(scope, receive, send)
        done.set()

    async def _live(self) -> None:
        async def send(message: dict[str, Any]) -> None:
            if message["type"].startswith("lifespan.startup"):
                self._started.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self._state}
        with contextlib.suppress(Exception):  # an application without lifespan raises
            await self._app(scope, self._told.get, send)
        self._started.set()


class _Client:
    """A websocket that stays open until it is told to close."""

    def __init__(self, app: Any, path: str) -> None:
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            **_HOST,
            "type": "websocket",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"testserver")],
            "subprotocols": [],
        }
        self._said.put_nowait({"type": "websocket.connect"})

        async def send(_message: dict[str, Any]) -> None:
            return

        self._task = asyncio.ensure_future(app(scope, self._said.get, send))

    def say(self, text: str) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    async def close(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1000})
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._task, 5)
