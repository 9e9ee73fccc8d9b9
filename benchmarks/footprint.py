"""What the package weighs: in real applications, time to import, resident memory, the history, and a scrape."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
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
    "prometheus_client": "import prometheus_client",
    "memprof_middleware": "import memprof_middleware",
    "asgi_memprof": "import asgi_memprof",
    "wsgi_memprof": "import wsgi_memprof",
    "asgi_memprof, after its first snapshot": (
        "import asgi_memprof; from memprof_middleware import Config;"
        "made = asgi_memprof.MemProfMiddleware(None, config=Config(background=False)); made.profiler.step()"
    ),
}
# Applications, as a worker has them without preloading: imported, some requests served, ten snapshots taken in threads
# of their own, as the profiler's is.
_FLASK = """
from flask import Flask, jsonify, render_template_string
app = Flask("shop")
kept = {}
@app.get("/items/<int:number>")
def item(number):
    kept[number] = {"number": number, "tags": [str(number)]}
    return jsonify(kept[number])
@app.get("/page")
def page():
    return render_template_string("<p>{{ title }}</p>" * 20, title="shop")
pages = lambda turn: (page for number in range(50) for page in (f"/items/{50 * turn + number}", "/page"))
"""
_APPBUILDER = """
from flask import Flask
from flask_appbuilder import AppBuilder, Model, ModelView
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer, String
class Item(Model):
    __tablename__ = "item"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
class ItemView(ModelView):
    datamodel, list_columns = SQLAInterface(Item), ["name"]
app = Flask("shop")
app.config.update(
    SECRET_KEY="benchmarks", SQLALCHEMY_DATABASE_URI="sqlite://", AUTH_ROLE_PUBLIC="Admin", RATELIMIT_ENABLED=False
)
database = SQLAlchemy()
database.init_app(app)
with app.app_context():
    builder = AppBuilder(app, database.session)
    database.create_all()
    builder.add_view(ItemView, "items")
pages = lambda turn: ("/", "/login/", "/itemview/list/", "/itemview/add", "/users/list/", "/roles/list/")
"""
_SERVED = """
import gc, logging, threading
logging.disable()
{imports}
{application}
{begin}
client = app.test_client()
for turn in range({snapshots}):
    for page in pages(turn):
        if client.get(page).status_code not in (200, 302):
            raise RuntimeError(f"the application does not answer: {{page}}")
    {step}
gc.collect()
lines = open("/proc/self/smaps_rollup").read().splitlines()
private = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
print(private / 1024)
"""
_IN_APPLICATION = {
    "bare": {"imports": "", "begin": "", "step": ""},
    "prometheus_client": {"imports": "import prometheus_client", "begin": "", "step": ""},
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
        "application": _in_application(_FLASK, rounds),
        # Half a minute a round, and the pages of a process vary little.
        "appbuilder": _in_application(_APPBUILDER, 2 if quick else 5) if _has_appbuilder() else {},
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
    titles = {"application": "a Flask application", "appbuilder": "Flask-AppBuilder"}
    applications = [_show_application(title, found[name]) for name, title in titles.items() if found[name]]
    return "\n\n".join([*applications, imports, history, scrape])


def _has_appbuilder() -> bool:
    return importlib.util.find_spec("flask_appbuilder") is not None


def _show_application(title: str, found: dict[str, Any]) -> str:
    """What an application's process has to itself."""
    bare = found["bare"]["mb"][0]
    return harness.table(
        (title, "private memory, MiB", "added"),
        [(name, harness.spread(row["mb"], 1), harness.number(row["mb"][0] - bare)) for name, row in found.items()],
    )


def _in_application(application: str, rounds: int) -> dict[str, Any]:
    """Private memory of an application's process, each variant in fresh ones."""
    seen: dict[str, list[float]] = {name: [] for name in _IN_APPLICATION}
    for _ in range(rounds):
        for name, parts in _IN_APPLICATION.items():
            program = _SERVED.format(application=application, snapshots=10, **parts)
            seen[name].append(harness.in_process(None, program))
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
