"""An application without a line of ours; with OWN=1 it has the extension."""

import os
import sys
import time

import flask

app = application = flask.Flask(__name__)
if os.environ.get("OWN") == "1":
    from flask_memprof import MemProf

    MemProf(app)


@app.get("/inside")
def inside():
    until = time.monotonic() + 0.02
    while time.monotonic() < until:
        pass
    return {"pid": os.getpid(), "threads": [], "worker": None}


@app.get("/items/<n>")
def item(n):
    return {"item": n}


if os.environ.get("OWN_METRICS") == "1":

    @app.get("/metrics")
    def metrics():
        return "the application's own 1\n", 200, {"Content-Type": "text/plain"}


if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
