"""A trail of breadcrumbs in a context variable. Its default is one list, made once, and every request adds to that."""

import contextvars
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class Breadcrumb:
    def __init__(self, where):
        self.where, self.tags = where, {"level": "info"}


TRAIL = contextvars.ContextVar("trail", default=[])


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if not LEAK:
        TRAIL.set([])
    TRAIL.get().append(Breadcrumb(scope["path"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
