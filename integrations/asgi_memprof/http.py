"""Requests and answers over ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from memprof_middleware.web.http.messages import MOST_BYTES, Request, Response, is_secure
from memprof_middleware.web.http.part import Part

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def respond(part: Part, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Have a part of the endpoint answer a request.

    Args:
        part: what answers.
        path: as the application sees it.
        scope: the request.
        receive: gives its body.
        send: takes the answer.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    body = await _body(receive) if part.slow else b""
    request = Request(
        method=scope["method"],
        path=path,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        body=body,
        size=len(body),
        client=client[0] if client else None,
        secure=is_secure(scope.get("scheme", ""), headers),
    )
    response = await _made(part, request)
    found = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": found})
    await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Receive) -> bytes:
    """The body; of one that is too large to be for us so much that this can be told."""
    parts, size = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES or not message.get("more_body"):
            return b"".join(parts)


async def _made(part: Part, request: Request) -> Response:
    # A page takes some milliseconds, of a hundred workers some tens: not on the event loop, where all requests wait.
    if not part.slow:
        return part.respond(request)
    import asyncio  # loaded there already; under another loop it would weigh 3 MB

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another kind of loop, such as trio's, with threads of its own kind
        return part.respond(request)
    return await asyncio.to_thread(part.respond, request)
