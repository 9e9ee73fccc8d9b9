"""The page for people, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from memprof_middleware.web.http.endpoint import MOST_BYTES, PageEndpoint, is_secure, too_large
from memprof_middleware.web.http.exposition import Response
from memprof_middleware.web.http.messages import Request

Message = MutableMapping[str, Any]


async def respond(
    page: PageEndpoint,
    path: str,
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer a request whose path is as ``page.below`` gives it."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    body = await _body(receive)
    request = Request(
        method=scope["method"],
        path=path,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        body=body or b"",
        client=client[0] if client else None,
        secure=is_secure(scope.get("scheme", ""), headers),
    )
    response = too_large(request) if body is None else await _made(page, request)
    found = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": found})
    await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """The body; ``None`` if it is too large to be for us."""
    parts, size = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


async def _made(page: PageEndpoint, request: Request) -> Response:
    # A page takes some milliseconds, of a hundred workers some tens: not on the event loop, where all requests wait.
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another kind of loop, such as trio's, with threads of its own kind
        return page.respond(request)
    return await asyncio.to_thread(page.respond, request)
