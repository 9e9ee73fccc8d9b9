"""The eight routes on Flask; run by gunicorn."""

from __future__ import annotations

from flask import Flask, Response, request

from benchmarks.routes import control, rss_delta, work
from flask_memprof import MemProf

app = Flask(__name__)


@app.before_request
def before() -> None:
    request.environ["bench.rss"] = rss_delta.resident()


@app.after_request
def after(response: Response) -> Response:
    if request.url_rule is not None:
        change = rss_delta.resident() - request.environ["bench.rss"]
        rss_delta.blamed[f"{request.method} {request.url_rule.rule}"] += max(change, 0)
    return response


@app.post("/cart")
def cart() -> str:
    work.cart()
    return "ok"


@app.post("/wish")
def wish() -> str:
    work.wish()
    return "ok"


@app.post("/track")
def track() -> str:
    work.track()
    return "ok"


@app.get("/report")
def report() -> str:
    return str(work.report())


@app.get("/product/<int:number>")
def product(number: int) -> str:
    return str(len(work.product(number)))


@app.get("/export")
def export() -> Response:
    return Response(work.export())


@app.get("/about")
def about() -> str:
    return "about"


@app.get("/help")
def help_page() -> str:
    return "help"


@app.post("/control/begin/<int:grows>")
def begin(grows: int) -> str:
    return control.begin(bool(grows))


@app.get("/control/found")
def found() -> str:
    return control.found()


@app.get("/control/windows")
def windows() -> str:
    return control.windows()


MemProf(app, profiler=control.profiler)
