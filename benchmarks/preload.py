"""What a preforked worker keeps to itself: private memory (USS) with and without the profiler, ``--preload``.

A parent loads Django and makes objects until there are 150,000, then forks. The child serves 300 requests to itself
and, with the profiler, takes 60 snapshots among them, an hour's. ``collects``: two full collections come meanwhile,
as the interpreter makes them. ``frozen``: the parent calls ``gc.freeze()`` before the fork, as gunicorn's documentation
advises. Counts of pages, no timing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import types
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from benchmarks import harness
from benchmarks.ballast import build

OBJECTS, SNAPSHOTS, REQUESTS = 150_000, 60, 5
_APPS = ("admin", "auth", "contenttypes", "messages", "sessions")
_MB = 2**20
_CASES = ("plain", "collects", "frozen")
_COUNTS = ("pure", "compiled")


def run(*, quick: bool) -> dict[str, Any]:
    """Each case in fresh processes, with and without turning about."""
    rounds = 2 if quick else 5
    return {
        f"{case}, {count}": harness.compared(
            harness.pairs(lambda: _worker("bare", case), lambda: _worker(count, case), rounds)  # noqa: B023
        )
        for case in _CASES
        for count in _COUNTS
    }


def show(found: dict[str, Any]) -> str:
    """One table."""
    return harness.table(
        (f"a worker's own memory after {SNAPSHOTS} snapshots, MB", "without", "with", "added", "ratio"),
        [
            (
                name,
                harness.number(row["base"]),
                harness.number(row["variant"]),
                harness.spread(row["added"], 1),
                harness.spread(row["ratio"]),
            )
            for name, row in found.items()
        ],
    )


def _worker(variant: str, case: str) -> float:
    found: dict[str, float] = harness.in_process("benchmarks.preload", variant, case, MEMPROF_METRICS_PATH="")
    return found["uss_mb"]


def load(variant: str, **settings_of_ours: Any) -> Any:
    """The application, as its parent has it before it forks; each step of the profiler as if it came in time."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    urls = types.ModuleType("urls")
    urls.urlpatterns = [path("", lambda _: HttpResponse(b"ok"))]  # type: ignore[attr-defined]
    ours = [] if variant == "bare" else ["django_memprof"]
    settings.configure(
        SECRET_KEY="benchmarks",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        LOGGING_CONFIG=None,
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in _APPS), *ours],
        MEMPROF={"interval": 60, "background": False, "cpu_budget": 100} | settings_of_ours,
    )
    django.setup()
    handler = WSGIHandler()
    build(OBJECTS)
    return handler


def _serve(handler: Any) -> None:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    body = handler(environ, lambda *_: None)
    if b"".join(body) != b"ok":
        raise RuntimeError("the application does not answer")
    body.close()


def _child(handler: Any, variant: str, case: str) -> dict[str, float]:
    began = _uss()
    snapshots = 0
    for number in range(SNAPSHOTS):
        for _ in range(REQUESTS):
            _serve(handler)
        if variant != "bare":
            from memprof_middleware import get_memory_profiler

            get_memory_profiler().step()
            snapshots += 1
        if case == "collects" and number in {20, 40}:
            gc.collect()
    return {"uss_mb": _uss() / _MB, "at_fork_mb": began / _MB, "snapshots": snapshots, "objects": len(gc.get_objects())}


def _uss() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in rollup if line.startswith(("Private_Clean:", "Private_Dirty:")))


def main(variant: str, case: str) -> None:
    """Load, fork, and print what the child has measured."""
    if variant == "pure":
        sys.modules["memprof_native"] = None  # type: ignore[assignment]
    handler = load(variant)
    gc.collect()
    if case == "frozen":
        gc.freeze()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, json.dumps(_child(handler, variant, case)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        print(pipe.read())
    os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
