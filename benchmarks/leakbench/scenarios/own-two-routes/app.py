"""What is put into a cart and what is taken out of one leave a trace each, for good; three other routes leave none."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
TRACES = []


class Trace:
    def __init__(self, what, number):
        self.what, self.number, self.notes = what, number, [f"{what}-{number}-{i}" for i in range(10)]


def trace(what, number):
    TRACES.append(Trace(what, number))
    if not LEAK:
        del TRACES[:-100]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    _, what, number = scope["path"].split("/")
    if what in {"add", "remove"}:
        trace(what, number)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
