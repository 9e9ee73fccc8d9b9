"""Events are collected and written to the warehouse when there are 3,000 of them."""

EVENTS, TOGETHER = [], 3000


class Event:
    __slots__ = ("fields", "name")

    def __init__(self, name):
        self.name, self.fields = name, {"name": [name]}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    EVENTS.append(Event(scope["path"]))
    if len(EVENTS) >= TOGETHER:
        EVENTS.clear()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
