"""An undo history as a linked list; each step points to the one before, and none is ever cut off."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class Step:
    __slots__ = ("done", "previous")

    def __init__(self, done, previous):
        self.done, self.previous = done, previous


class History:
    def __init__(self):
        self.last = None

    def add(self, done):
        self.last = Step(done, self.last if LEAK else None)


HISTORY = History()


def app(environ, start_response):
    HISTORY.add(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
