"""What is off is not imported: the modules that an import, and a profiler at its defaults, must not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# With what lies below them. Of the standard library only what would be loaded by us: a dependency may have it anyway.
NEVER = {
    *(
        "asyncio",
        "csv",
        "ctypes",
        "decimal",
        "fractions",
        "html",
        "http.server",
        "importlib.metadata",
        "importlib.resources",
    ),
    *("pickle", "secrets", "socketserver", "statistics", "sysconfig", "tracemalloc", "uuid", "wsgiref", "zipfile"),
    *(
        f"memprof_middleware.{name}"
        for name in (
            *("checking", "cli", "evidence.bundle", "evidence.explain", "evidence.report", "flame.folding"),
            *(
                "flame.making",
                "flame.places",
                "flame.queue",
                "flame.store",
                "flame.windows",
                "jobs",
                "limits.learning",
                "limits.state_file",
                "limits.tuner",
                "model.flame",
                "heap.instruments",
                "runtime.readings",
            ),
            *("model.learned", "moved", "recycling.act", "recycling.decision", "recycling.detection"),
            *(
                "recycling.ledger",
                "recycling.recycler",
                "recycling.remedies",
                "sinks.log",
                "sinks.otlp",
                "sinks.statsd",
                "sinks.thread",
            ),
            *("terminal", "testing", "web.html", "web.http.auth", "web.http.exporter", "web.http.page", "web.state"),
        )
    ),
}
METRICS = {"memprof_middleware.metrics", "memprof_middleware.web.http.exposition"}
# What waits until something has grown: the tests of growth, the search for holders, the reader of sources.
GROWN = {
    f"memprof_middleware.{name}"
    for name in (
        *("heap.climb", "heap.definitions", "heap.reckoning", "heap.resolve", "heap.retainers", "heap.sources"),
        *("leaks.account", "leaks.ceiling", "leaks.collecting", "leaks.judge", "leaks.judging", "leaks.reported"),
        *("leaks.life", "leaks.line", "leaks.populations"),
        *("leaks.present", "leaks.survival", "leaks.weighing"),
    )
}
DJANGO = (
    "import django\nfrom django.conf import settings\n"
    "settings.configure(INSTALLED_APPS=['django_memprof'], MEMPROF={'background': False})\n"
    "import django.core.handlers.wsgi"
)
HOSTS = {
    "core": ("", "from memprof_middleware import Config, MemoryProfiler"),
    "asgi": ("", "import asgi_memprof"),
    "wsgi": ("", "import wsgi_memprof"),
    "flask": ("import flask", "import flask_memprof"),
    "django": (DJANGO, "django.setup()\nimport django_memprof.middleware"),
    "aiohttp": ("import aiohttp.web", "import aiohttp_memprof"),
}
MADE = {
    "asgi": "asgi_memprof.MemProfMiddleware(None, config=Config(background=False{more})).profiler.step()",
    "wsgi": "wsgi_memprof.MemProfMiddleware(None, config=Config(background=False{more})).profiler.step()",
    "flask": (
        "app = flask.Flask('shop')\nflask_memprof.MemProf(app, config=Config(background=False{more}))\n"
        "flask_memprof.get_profiler(app).step()"
    ),
    "django": (
        "django_memprof.middleware.MemProfMiddleware(lambda request: None)\n"
        "import django_memprof\ndjango_memprof.get_profiler().step()"
    ),
    "aiohttp": (
        "app = aiohttp.web.Application()\naiohttp_memprof.setup(app, config=Config(background=False{more}))\n"
        "aiohttp_memprof.get_profiler(app).step()"
    ),
}


# From 3.14 on the C half of ctypes loads the other half for each structure, and that loads sysconfig.
_WITH = ", ctypes._layout" if sys.version_info >= (3, 14) else ""


def loaded(before: str, statements: str) -> set[str]:
    """The modules that statements load, where the dependencies and the host are there."""
    program = (
        f"import json, sys\nimport psutil, prometheus_client{_WITH}\n{before}\nfound = set(sys.modules)\n{statements}\n"
        "print(json.dumps(sorted(set(sys.modules) - found)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def of(found: set[str], roots: set[str]) -> set[str]:
    return {name for name in found if any(name == root or name.startswith(f"{root}.") for root in roots)}


@pytest.mark.parametrize("host", HOSTS)
def test_an_import_loads_what_is_used_alone(host: str) -> None:
    """No adapter brings a page, a metric, a sink or a heavy module of the standard library before it is used."""
    found = loaded(*HOSTS[host])
    assert "memprof_middleware.profiler" in found
    assert of(found, NEVER | GROWN | METRICS) == set()


@pytest.mark.parametrize("host", MADE)
def test_a_profiler_at_its_defaults_loads_no_more(host: str) -> None:
    """With the adapter's own objects made and a snapshot taken, only the metrics have come."""
    before, statements = HOSTS[host]
    made = MADE[host].format(more="")
    found = loaded(before, f"{statements}\nfrom memprof_middleware import Config\n{made}")
    assert of(found, NEVER | GROWN) == set()
    assert found >= METRICS


def test_a_worker_that_grows_little_loads_no_judge() -> None:
    """After many snapshots of a process in which nothing grows, none of what judges and searches has come."""
    steps = "made = wsgi_memprof.MemProfMiddleware(None, config=Config(background=False, cpu_budget=100))\n"
    found = loaded(
        "import wsgi_memprof\nfrom memprof_middleware import Config",
        f"{steps}for _ in range(12):\n    made.profiler.step()\nassert len(made.profiler.history) == 12",
    )
    assert of(found, NEVER | GROWN) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it tells the memory")
def test_psutil_is_not_loaded_where_proc_tells() -> None:
    """A worker on Linux does without its 0.9 MB, a snapshot included."""
    program = (
        "import sys, wsgi_memprof\nfrom memprof_middleware import Config\n"
        "made = wsgi_memprof.MemProfMiddleware(None, config=Config(background=False))\nmade.profiler.step()\n"
        "print(made.profiler.history[-1].rss_mb > 0, 'psutil' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_first_scrape_loads_nothing() -> None:
    """What a scrape needs is there before it: on an event loop every request would wait for an import."""
    found = loaded(
        "import wsgi_memprof\nfrom memprof_middleware import Config\n"
        "from memprof_middleware.web.http.messages import Request\n"
        "made = wsgi_memprof.MemProfMiddleware(None, config=Config(background=False))\nmade.profiler.step()",
        "assert made.endpoint.respond(Request(method='GET', path='/metrics')).status == 200",
    )
    assert found == set()


@pytest.mark.skipif(sys.platform != "linux", reason="only there the listening socket is known")
def test_a_first_request_loads_nothing(tmp_path: Path) -> None:
    """Where a server listens, the first request makes its process a worker: what that takes is there before."""
    found = loaded(
        "import socket, wsgi_memprof\nfrom wsgiref.util import setup_testing_defaults\n"
        "from memprof_middleware import Config\n"
        f"config = Config(background=False, run_dir={str(tmp_path)!r})\n"
        "made = wsgi_memprof.MemProfMiddleware(lambda environ, start_response: [b''], config=config)\n"
        "listening, environ = socket.create_server(('127.0.0.1', 0)), {}\nsetup_testing_defaults(environ)",
        "made(environ, None)\nassert made.profiler._monitor.group.slot is not None",
    )
    assert found == set()


def test_the_bare_package_loads_its_settings_alone() -> None:
    """``import memprof_middleware`` is settings and errors; each other name comes when it is asked for."""
    found = {name for name in loaded("", "import memprof_middleware") if name.startswith("memprof_middleware.")}
    rooms = {name.split(".")[1] for name in found}
    assert rooms == {"config", "errors", "model", "settings"}


@pytest.mark.parametrize(
    ("settings", "module"),
    [
        (", token='correct-horse'", "web.http.page"),
        (", sinks=('log',)", "sinks.log"),
        (", recycle=300", "recycling.recycler"),
        (", remedies=('collect',)", "recycling.recycler"),
        (", thresholds='auto'", "limits.learning"),
    ],
)
def test_what_the_settings_ask_for_is_loaded_when_the_host_is_made(settings: str, module: str) -> None:
    """Before the first request and in the main thread, so that no request waits for it and no fork cuts it off."""
    made = MADE["wsgi"].format(more=settings).removesuffix(".profiler.step()")
    found = loaded("import wsgi_memprof\nfrom memprof_middleware import Config", made)
    assert f"memprof_middleware.{module}" in found


def test_every_public_name_is_there() -> None:
    """The names of the package are listed, found and loaded one by one; another is an error."""
    program = (
        "import memprof_middleware as m\n"
        "assert set(m.__all__) <= set(dir(m))\n"
        "assert all(getattr(m, name).__module__.startswith('memprof_middleware') for name in m.__all__)\n"
        "from memprof_middleware.sinks import DogStatsdSink, LogSink, Sink\n"
        "import memprof_middleware.sinks as s\n"
        "assert all(getattr(s, name) for name in s.__all__)\n"
        "assert not hasattr(m, 'nonsense') and not hasattr(s, 'nonsense')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
