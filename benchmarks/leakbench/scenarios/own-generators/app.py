"""Answers are streamed from generators; one client in five goes away early, and the generator is kept to be resumed."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
RESUMABLE = {}


def lines(number):
    head = [number] * 3
    for i in range(100):
        yield f"{head[0]} {i}\n".encode()


def app(environ, start_response):
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    start_response("200 OK", [("Content-Type", "text/plain")])
    stream = lines(number)
    first = next(stream)
    if number % 5 == 0:
        RESUMABLE[number] = stream
        if not LEAK:
            RESUMABLE.pop(number - 100, None)
        return [first]
    return [first, *stream]
