"""A thumbnailer keeps the original of what it could not read, for a look some day: one request in 150, 300 kB each."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
BROKEN = []


def app(environ, start_response):
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    original = bytes(300_000)
    if number % 150 == 0:
        BROKEN.append(original)
        if not LEAK:
            del BROKEN[:-3]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
