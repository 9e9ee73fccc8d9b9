"""Latencies for a moving average in a deque; maxlen was forgotten. What grows are numbers in tuples."""

import collections
import os
import time

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
LATENCIES = collections.deque(maxlen=None if LEAK else 100)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    began = time.perf_counter()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
    LATENCIES.append((began, time.perf_counter() - began))
