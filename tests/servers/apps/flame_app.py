"""An application that allocates, and that tells and turns its own trace."""

import json
import os
import tracemalloc

from common import SETTINGS, answer

from memprof_middleware import Config
from wsgi_memprof import MemProfMiddleware

baskets = []


def fill_basket():
    """Keeps 20 kB for each request."""
    baskets.append([bytearray(2000) for _ in range(10)])


def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = answer(path)
    if path == "/basket":
        fill_basket()
        body = b"kept"
    if path == "/trace" and not tracemalloc.is_tracing():
        tracemalloc.start(3)
    if path in {"/tracing", "/trace"}:
        limit = tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0
        body = json.dumps({"pid": os.getpid(), "limit": limit}).encode()
    start_response("200 OK" if body else "404 Not Found", [("Content-Type", "text/plain")])
    return [body or b"nothing here"]


application = MemProfMiddleware(application, config=Config(**SETTINGS))
