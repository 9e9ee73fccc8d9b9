"""One application for the recycling tests, as WSGI and as ASGI: work that takes a while, a leak, an endless stream."""

import asyncio
import json
import os
import random
import threading
import time

import asgi_memprof
import wsgi_memprof
from memprof_middleware import get_memory_profiler

LEAK_MB, MOST_MB = 8, 200
kept = []
# Which requests reached the application, and which of them it answered. One that did and got no answer was lost in
# flight: by whoever ended the process, or, if the application had answered it, by the server.
seen = os.open(os.environ["RECYCLING_SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def begin(number):
    os.write(seen, f"begun {number}\n".encode())


def end(number):
    os.write(seen, f"answered {number}\n".encode())


def leak():
    if len(kept) * LEAK_MB < MOST_MB:
        kept.append(bytearray(os.urandom(1024)) * 1024 * LEAK_MB)


def burst():
    """200 MB in blocks that Python's own allocator does not serve; one in 97 stays, so that glibc keeps them all."""
    kept.extend([bytearray(2048) for _ in range(100_000)][::97])


def answer(path):
    """The body for a path, and how long to work for it."""
    if path == "/leak":
        leak()
    if path == "/burst":
        burst()
    if path == "/inside":
        names = [thread.name for thread in threading.enumerate()]
        return json.dumps({"pid": os.getpid(), "threads": names, "worker": get_memory_profiler().worker}).encode(), 0.02
    return str(os.getpid()).encode(), 0.05 if path == "/leak" else random.uniform(0.05, 0.2)


def wsgi(environ, start_response):
    begin(environ["QUERY_STRING"])
    body, seconds = answer(environ["PATH_INFO"])
    time.sleep(seconds)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    end(environ["QUERY_STRING"])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    begin(scope["query_string"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/leaking-stream":
        while True:
            leak()
            await send({"type": "http.response.body", "body": f"{os.getpid()}\n".encode(), "more_body": True})
            await asyncio.sleep(0.05)
    body, seconds = answer(scope["path"])
    await asyncio.sleep(seconds)
    await send({"type": "http.response.body", "body": body})
    end(scope["query_string"].decode())


wsgi_application = wsgi_memprof.MemProfMiddleware(wsgi)
asgi_application = asgi_memprof.MemProfMiddleware(asgi)
