"""A small shop under the profiler. ``/leak`` keeps what it makes until ``/release``; everything else is healthy.

From the first ``/leak`` on sessions leak too, a portion for each time that the profiler has counted the objects: so
their growth is as even on a busy machine as on an idle one.

Nobody can choose the worker that answers. So a visitor who wants every worker to do something once asks, with one and
the same number of a round, until each has answered; those that did it before do nothing.
"""

import os
import threading
import time

from flask import Flask, request

from flask_memprof import MemProf, get_profiler

app = Flask(__name__)
MemProf(app)
KEPT: list[object] = []
LAST = {"round": ""}  # one round after another; a set of all of them would be a leak of its own, and found
LEAKING = threading.Event()
PORTION = 1500


class Session:
    def __init__(self, number: int) -> None:
        self.number = number


def leak_sessions(profiler) -> None:
    seen = None
    while LEAKING.is_set():
        snapshot = profiler.metrics().snapshot
        if snapshot is not None and snapshot.census_timestamp != seen:
            seen = snapshot.census_timestamp
            KEPT.append([Session(number) for number in range(PORTION)])
        time.sleep(0.05)


@app.get("/")
def index():
    basket = [{"item": number} for number in range(1000)]
    return {"items": len(basket)}


@app.get("/leak")
def leak():
    # In headers: an address that is new each time would fill the caches of those who take addresses apart.
    number, mb = request.headers["X-Round"], float(request.headers["X-MB"])
    if number != LAST["round"]:
        LAST["round"] = number
        KEPT.append(b"x" * int(mb * 2**20))
    if not LEAKING.is_set():
        LEAKING.set()
        threading.Thread(target=leak_sessions, args=(get_profiler(),), daemon=True).start()
    return {"pid": os.getpid()}


@app.get("/release")
def release():
    LEAKING.clear()
    KEPT.clear()
    return {"pid": os.getpid()}
