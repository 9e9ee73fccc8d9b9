"""Drives an application in its own process, one batch of requests after the other, as a server would call it."""

from __future__ import annotations

import io
import itertools
import math
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from benchmarks.leakbench.traffic import Traffic

_Call = Callable[[int], object]


def patch_for(mode: str) -> None:
    """What servers of this mode do before anything else is imported."""
    if mode == "greenlet-per-request":
        from gevent import monkey

        monkey.patch_all()
    elif mode == "greenthread-per-request":
        import eventlet

        eventlet.monkey_patch()


def even(total: int, batch: int) -> list[int]:
    """Where batches end that are of one size."""
    return [*range(batch, total, batch), total]


def uneven(total: int, batches: int, rises: float = 1.0, seed: int = 7) -> list[int]:
    """Where batches end that vary as a service's minutes do: by half up and down in slow waves, and by chance.

    Args:
        total: requests.
        batches: how many.
        rises: by what factor the traffic rises in the first three quarters of the time.
        seed: where chance begins.
    """
    chance = random.Random(seed)
    sizes = [(1 + 0.5 * math.sin(number / 9)) * chance.uniform(0.6, 1.4) for number in range(batches)]
    sizes = [size * (1 + (rises - 1) * min(1.0, number / (0.75 * batches))) for number, size in enumerate(sizes)]
    done = itertools.accumulate(sizes)
    return sorted({round(total * part / sum(sizes)) for part in done} - {0})


def wsgi_batches(app: Any, label: dict[str, Any], ends: Sequence[int]) -> Iterator[int]:
    """Run a WSGI application; yields the number of requests answered, first after one, then after each batch.

    Args:
        app: the application.
        label: the scenario's label.
        ends: how many requests are answered at the end of each batch.
    """
    traffic = Traffic(label["paths"])

    def one(number: int) -> None:
        try:
            _wsgi_call(app, *traffic.next(number))
        except Exception:  # a server logs it and goes on
            return

    settings = label.get("drive", {})
    call, drain = _mode(one, settings.get("mode", "direct"), settings.get("concurrency", 8))
    call(0)
    drain()
    yield 0
    for traffic.minute, (begin, end) in enumerate(itertools.pairwise((0, *ends)), start=1):
        for number in range(begin + 1, end + 1):
            call(number)
        drain()
        yield end


def _mode(one: _Call, mode: str, concurrency: int) -> tuple[_Call, Callable[[], None]]:
    """How a server of this mode calls, and how to wait for what is under way."""
    if mode == "threadpool":  # gunicorn gthread, waitress
        pool, pending = ThreadPoolExecutor(concurrency), list[Future[object]]()

        def drain() -> None:
            for future in pending:
                future.result()
            pending.clear()

        def submit(number: int) -> None:
            pending.append(pool.submit(one, number))
            if len(pending) >= concurrency:
                drain()

        return submit, drain
    calls: dict[str, Callable[[], _Call]] = {
        "direct": lambda: one,
        "thread-per-request": lambda: _in_thread(one),
        "greenlet-per-request": lambda: _in_greenlet(one),
        "greenthread-per-request": lambda: _in_greenthread(one),
    }
    if mode not in calls:
        raise ValueError(f"drive.mode is {mode!r}; there are threadpool, {', '.join(calls)}")
    return calls[mode](), lambda: None


def _in_thread(one: _Call) -> _Call:  # runserver, werkzeug's development server
    def call(number: int) -> None:
        thread = threading.Thread(target=one, args=(number,))
        thread.start()
        thread.join()

    return call


def _in_greenlet(one: _Call) -> _Call:  # gunicorn -k gevent
    import gevent

    return lambda number: gevent.spawn(one, number).join()


def _in_greenthread(one: _Call) -> _Call:  # gunicorn -k eventlet
    import eventlet

    return lambda number: eventlet.spawn(one, number).wait()


def _wsgi_call(app: Any, method: str, target: str, body: bytes, headers: dict[str, str]) -> None:
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "testserver",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value

    def start_response(_status: str, _headers: Any, _exc_info: Any = None) -> Callable[[bytes], object]:
        return lambda _data: None

    answer = app(environ, start_response)
    try:
        for _ in answer:
            pass
    finally:
        if hasattr(answer, "close"):
            answer.close()
