"""A ticker: clients come and go in the course of a day, each with a queue and a subscription."""

import asyncio

SUBSCRIBERS = set()


class Subscriber:
    def __init__(self):
        self.prices, self.symbols = asyncio.Queue(), {"A", "B"}


async def ticker(receive, send):
    subscriber = Subscriber()
    SUBSCRIBERS.add(subscriber)
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": "A 1.0"})
    SUBSCRIBERS.discard(subscriber)


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await ticker(receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
