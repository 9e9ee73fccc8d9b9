"""What the package weighs: in a real application, time to import, resident memory, the history, and a scrape."""

from __future__ import annotations

import dataclasses
import gc
import json
import random
import sys
import tempfile
import time
import tracemalloc
from typing import Any

from benchmarks import harness

SNAPSHOTS = 1_000
TYPES = 20
_IMPORTS = {
    "nothing": "",
    "the two dependencies": "import psutil, prometheus_client",
    "memprof_middleware": "import memprof_middleware",
    "asgi_memprof": "import asgi_memprof",
    "wsgi_memprof": "import wsgi_memprof",
    "asgi_memprof, after its first snapshot": (
        "import asgi_memprof; from memprof_middleware import Config;"
        "made = asgi_memprof.MemProfMiddleware(None, config=Config(background=False)); made.profiler.step()"
    ),
}
# A Flask application, as its worker has it without preloading: imported, some requests served, ten snapshots taken in
# a thread of their own, as the profiler's is.
_APPLICATION = """
import gc, sys, threading
from flask import Flask, jsonify, render_template_string
{imports}
app = Flask("shop")
kept = {{}}
@app.get("/items/<int:number>")
def item(number):
    kept[number] = {{"number": number, "tags": [str(number)]}}
    return jsonify(kept[number])
@app.get("/page")
def page():
    return render_template_string("<p>{{{{ title }}}}</p>" * 20, title="shop")
{begin}
client = app.test_client()
def serve(first):
    for number in range(first, first + 50):
        if client.get(f"/items/{{number}}").status_code != 200 or client.get("/page").status_code != 200:
            raise RuntimeError("the application does not answer")
for turn in range({snapshots}):
    serve(50 * turn)
    {step}
gc.collect()
lines = open("/proc/self/smaps_rollup").read().splitlines()
private = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
print(private / 1024)
"""
_IN_APPLICATION = {
    "bare": {"imports": "", "begin": "", "step": ""},
    "the two dependencies": {"imports": "import psutil, prometheus_client", "begin": "", "step": ""},
    "ours, imported and attached": {
        "imports": "from flask_memprof import MemProf; from memprof_middleware import Config",
        "begin": "memprof = MemProf(app, config=Config(background=False))",
        "step": "",
    },
    "ours, after ten snapshots": {
        "imports": "from flask_memprof import MemProf; from memprof_middleware import Config, get_memory_profiler",
        "begin": "memprof = MemProf(app, config=Config(background=False, cpu_budget=100))",
        "step": "one = threading.Thread(target=get_memory_profiler().step); one.start(); one.join()",
    },
}
_PROBE = """
import time
began = time.process_time()
{statement}
seconds = time.process_time() - began
import gc, os
gc.collect()
with open("/proc/self/statm") as statm:
    pages = int(statm.read().split()[1])
print([1000 * seconds, pages * os.sysconf("SC_PAGE_SIZE") / 2**20])
"""


def run(*, quick: bool) -> dict[str, Any]:
    """Everything, each in fresh processes."""
    rounds = 5 if quick else 15
    return {
        "application": _in_application(rounds),
        "imports": _imports(rounds),
        "history": harness.in_process("benchmarks.footprint", "history"),
        "scrape": harness.in_process("benchmarks.footprint", "scrape", rounds),
    }


def show(found: dict[str, Any]) -> str:
    """The tables."""
    imports = harness.table(
        ("imported", "CPU, ms", "resident, MB"),
        [(name, harness.spread(row["ms"], 1), harness.spread(row["mb"], 1)) for name, row in found["imports"].items()],
    )
    history = harness.table(
        (f"{SNAPSHOTS:,} snapshots x {TYPES} types", "MB"),
        [(name, harness.number(size, 2)) for name, size in found["history"].items()],
    )
    row = found["scrape"]
    scrape = harness.table(
        ("scrape", "CPU, ms"),
        [
            ("prometheus_client's own collectors", harness.number(row["base"], 2)),
            ("ours", harness.number(row["variant"], 2)),
            ("ratio", harness.spread(row["ratio"])),
        ],
    )
    return "\n\n".join([_show_application(found["application"]), imports, history, scrape])


def _show_application(found: dict[str, Any]) -> str:
    """What an application's process has to itself."""
    bare = found["bare"]["mb"][0]
    return harness.table(
        ("a Flask application", "private memory, MiB", "added"),
        [(name, harness.spread(row["mb"], 1), harness.number(row["mb"][0] - bare)) for name, row in found.items()],
    )


def _in_application(rounds: int) -> dict[str, Any]:
    """Private memory of an application's process, each variant in fresh ones."""
    seen: dict[str, list[float]] = {name: [] for name in _IN_APPLICATION}
    for _ in range(rounds):
        for name, parts in _IN_APPLICATION.items():
            seen[name].append(harness.in_process(None, _APPLICATION.format(snapshots=10, **parts)))
    return {name: {"mb": harness.interval(found)} for name, found in seen.items()}


def _imports(rounds: int) -> dict[str, Any]:
    """Each import in fresh processes, which find its bytecode, as an installed package has it."""
    seen: dict[str, list[list[float]]] = {name: [] for name in _IMPORTS}
    with tempfile.TemporaryDirectory() as bytecode:
        compiled = {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        for number in range(rounds + 1):
            for name, statement in _IMPORTS.items():
                found = harness.in_process(None, _PROBE.format(statement=statement), **compiled)
                if number:  # the first of each has compiled
                    seen[name].append(found)
    return {
        name: {"ms": harness.interval([ms for ms, _ in found]), "mb": harness.interval([mb for _, mb in found])}
        for name, found in seen.items()
    }


def _history() -> dict[str, float]:
    """Bytes held after so many snapshots, in the worst case (every count changes every time) and in a common one."""
    from memprof_middleware import Config, MemoryProfiler
    from memprof_middleware.analysis.history import History

    profiler = MemoryProfiler(Config(background=False))
    snapshot = profiler.take_snapshot()
    profiler.stop()
    choose = random.Random(1)
    few = [f"app.models.Kind{number}" for number in range(TYPES)]
    many = [f"app.models.Kind{number}" for number in range(500)]

    def row(names: list[str], changing: int) -> dict[str, int]:
        return {
            name: choose.randrange(1_000, 1_000_000) if place < changing else 1_000 for place, name in enumerate(names)
        }

    def size_of(names: list[str], changing: int, *, compact: bool) -> float:
        history = History(SNAPSHOTS, TYPES)
        plain: list[object] = []
        gc.collect()
        tracemalloc.start()
        for number in range(SNAPSHOTS):
            counts = row(names, changing)
            taken = dataclasses.replace(snapshot, timestamp=float(number), object_counts=counts)
            if compact:
                history.append(taken, counts)
            else:
                plain.append(taken)
        del taken, counts
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] / 2**20
        tracemalloc.stop()
        return used

    return {
        "every count changes each time": size_of(few, TYPES, compact=True),
        f"{len(many)} types in the process, {TYPES} of them change": size_of(many, TYPES, compact=True),
        "the same as snapshot objects in a list": size_of(few, TYPES, compact=False),
    }


def _scrape(rounds: int) -> dict[str, Any]:
    import prometheus_client

    from memprof_middleware import Config, MemoryProfiler
    from memprof_middleware.web.http.exposition import MetricsEndpoint
    from memprof_middleware.web.http.messages import Request

    profiler = MemoryProfiler(Config(background=False))
    profiler.step()
    endpoint = MetricsEndpoint(profiler)
    times = 20

    def theirs() -> float:
        began = time.thread_time()
        for _ in range(times):
            prometheus_client.generate_latest()
        return 1000 * (time.thread_time() - began) / times

    def ours() -> float:
        began = time.thread_time()
        for _ in range(times):
            if endpoint.respond(Request(method="GET", path="/metrics")).status != 200:
                raise RuntimeError("the scrape failed")
        return 1000 * (time.thread_time() - began) / times

    theirs()
    ours()
    found = harness.compared(harness.pairs(theirs, ours, rounds))
    profiler.stop()
    return found


if __name__ == "__main__":
    _, mode, *rest = sys.argv
    if mode == "history":
        print(json.dumps(_history()))
    elif mode == "scrape":
        print(json.dumps(_scrape(int(rest[0]))))
