"""What an application drops is freed: a profiler does not outlive the last one who holds it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Config, MemoryProfiler, get_memory_profiler
from memprof_middleware.probes import gc_stats
from memprof_middleware.sinks import Sink
from memprof_middleware.weakly import weakly
from memprof_middleware.web.http.exposition import MetricsEndpoint
from tests.asking import scrape


class Load:
    """Something large that an application has."""


class Taking(Sink):
    name = "taking"
    closed = 0

    def snapshot(self, metrics: Any) -> None:
        pass

    def close(self) -> None:
        Taking.closed += 1


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("memprof-")]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        gc.collect()
        time.sleep(0.01)


def with_flask() -> Load:
    from flask import Flask

    from flask_memprof import MemProf

    app = Flask("shop")
    app.load = load = Load()  # type: ignore[attr-defined]
    app.add_url_rule("/x", "x", lambda: "x")
    MemProf(app)
    assert app.test_client().get("/x").text == "x"
    return load


def with_wsgi() -> Load:
    import webtest

    from wsgi_memprof import MemProfMiddleware

    load = Load()

    def app(_environ: Any, start_response: Any, load: Load = load) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
        return [b"x"]

    assert webtest.TestApp(MemProfMiddleware(app, config=Config())).get("/x").text == "x"
    return load


def with_asgi() -> Load:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from asgi_memprof import MemProfMiddleware

    app = Starlette(routes=[Route("/x", lambda _: PlainTextResponse("x"))])
    app.state.load = load = Load()
    assert TestClient(MemProfMiddleware(app, config=Config())).get("/x").text == "x"
    return load


@pytest.mark.parametrize("make", [with_flask, with_wsgi, with_asgi])
def test_applications_of_a_factory_are_freed(make: Callable[[], Load]) -> None:
    """Thirty applications that were made, asked once and dropped leave no thread, no callback and no application."""
    loads = [weakref.ref(make()) for _ in range(30)]
    assert sum(callback is gc_stats._on_collection for callback in gc.callbacks) <= 1
    until(lambda: not any(load() for load in loads), "an application is held")
    until(lambda: not ours(), "a thread goes on")
    assert gc_stats._on_collection not in gc.callbacks


def test_a_dropped_profiler_gives_back_what_it_has(tmp_path: Path) -> None:
    """Its thread ends at once and not after its interval, its sinks are closed, and what its callbacks hold is free."""
    load = Load()
    Taking.closed = 0
    profiler = MemoryProfiler(Config(interval=3600, run_dir=str(tmp_path)), sinks=[Taking()])
    profiler.register_alert_callback(lambda _alert, load=load: None)
    profiler.start()
    until(lambda: "memprof-sink-taking" in ours(), "the sink was never given anything")
    held, gone = weakref.ref(load), weakref.ref(profiler)
    del load, profiler
    until(lambda: held() is None and gone() is None, "it is held")
    until(lambda: not ours(), "a thread goes on")
    assert Taking.closed == 1
    assert gc_stats._on_collection not in gc.callbacks


def test_one_that_is_dropped_before_its_start_is_simply_gone() -> None:
    """Making and dropping one leaves nothing."""
    gone = weakref.ref(MemoryProfiler(Config()))
    until(lambda: gone() is None, "it is held")


def test_the_processs_own_goes_with_its_application_and_stays_with_who_asked() -> None:
    """What an adapter made is returned while it lives; what was asked for without any is kept: nobody else holds it."""
    from wsgi_memprof import MemProfMiddleware

    middleware = MemProfMiddleware(lambda *_: [], config=Config(interval=7))
    assert get_memory_profiler() is middleware.profiler
    gone = weakref.ref(middleware.profiler)
    del middleware
    until(lambda: gone() is None, "it is held")
    heard = get_memory_profiler()
    number = id(heard)
    del heard
    gc.collect()
    assert id(get_memory_profiler()) == number


def test_an_exporter_holds_its_profiler(tmp_path: Path) -> None:
    """An endpoint that is mounted somewhere keeps the profiler at work, whoever made it has forgotten it."""
    endpoint = MetricsEndpoint(MemoryProfiler(Config(background=False, run_dir=str(tmp_path))))
    gc.collect()
    assert scrape(endpoint).status == 200


def test_a_weak_method_ends_with_its_object() -> None:
    """It calls its object while that is there, and then returns nothing."""

    class Greeter:
        def greet(self, whom: str) -> str:
            return f"hello {whom}"

    greeter = Greeter()
    greet = weakly(greeter.greet)
    assert greet("you") == "hello you"
    del greeter
    assert greet("you") is None
