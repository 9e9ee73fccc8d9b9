"""A small shop under the profiler. ``/leak`` keeps what it makes until ``/release``; everything else is healthy.

Nobody can choose the worker that answers. So a visitor who wants every worker to do something once asks, with one and
the same number of a round, until each has answered; those that did it before do nothing.
"""

import os

from flask import Flask, request

from flask_memprof import MemProf

app = Flask(__name__)
MemProf(app)
KEPT: list[object] = []
DONE: set[str] = set()


class Session:
    def __init__(self, number: int) -> None:
        self.number = number


@app.get("/")
def index():
    basket = [{"item": number} for number in range(1000)]
    return {"items": len(basket)}


@app.get("/leak")
def leak():
    # In headers: an address that is new each time would fill the caches of those who take addresses apart.
    number, mb = request.headers["X-Round"], float(request.headers["X-MB"])
    if number not in DONE:
        DONE.add(number)
        KEPT.append(([Session(number) for number in range(int(500 * mb))], b"x" * int(mb * 2**20)))
    return {"pid": os.getpid()}


@app.get("/release")
def release():
    KEPT.clear()
    return {"pid": os.getpid()}
