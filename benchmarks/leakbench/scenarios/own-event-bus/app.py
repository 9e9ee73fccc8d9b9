"""An event bus to which each order subscribes a callback; nothing ever unsubscribes."""

import collections
import functools
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class EventBus:
    def __init__(self):
        self._handlers = collections.defaultdict(list)

    def subscribe(self, event, handler):
        self._handlers[event].append(handler)
        if not LEAK:
            del self._handlers[event][:-10]


class Order:
    def __init__(self, number):
        self.number, self.lines = number, [(number, 1)]


def notify(order, event):
    order.lines.append(event)


bus = EventBus()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    number = int(scope["path"].rpartition("/")[2])
    if number % 2 == 0:
        bus.subscribe("paid", functools.partial(notify, Order(number)))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
