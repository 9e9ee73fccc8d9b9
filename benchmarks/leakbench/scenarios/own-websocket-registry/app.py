"""A chat: each websocket is registered in its room; closing it does not take it out."""

import asyncio
import itertools
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
ROOM, numbers = {}, itertools.count()


class Member:
    def __init__(self, number):
        self.number, self.inbox = number, asyncio.Queue()


async def chat(receive, send):
    number = next(numbers)
    ROOM[number] = Member(number)
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": "hello"})
    if not LEAK:
        del ROOM[number]


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
