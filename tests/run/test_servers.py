"""Real servers under ``memprof run``, with applications that have no line of ours."""

from __future__ import annotations

import dataclasses
import importlib.util
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.servers.harness import Server, gunicorn_options, reserved_ports, started
from tests.servers.scrape import Scrape

APPS = Path(__file__).with_name("apps")
MEMPROF = str(Path(sys.executable).with_name("memprof"))
ITEMS = 12
# What is shown is as of the last snapshot.
QUICK = {"MEMPROF_INTERVAL": "1"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A command, the modules that it needs, how many processes serve, and how the framework writes its route."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    workers: int = 1
    route: str = "GET /items/{n}"


UVICORN = (sys.executable, "-m", "uvicorn", "--port", "{port}", "run_asgi:application")
GUNICORN = (sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *gunicorn_options())
GRANIAN = (sys.executable, "-m", "granian", "--port", "{port}", "--workers", "2", "--interface")
FLASK = "GET /items/<n>"
CASES = [
    Case("uvicorn workers", (*UVICORN, "--workers", "2"), ("uvicorn",), 2),
    Case("uvicorn reload", (*UVICORN, "--reload"), ("uvicorn",)),
    Case("uvicorn.run", (sys.executable, "run_asgi.py", "{port}"), ("uvicorn",)),
    Case("gunicorn sync preload", (*GUNICORN, "--preload", "run_wsgi:app"), ("gunicorn",), 2, FLASK),
    Case("gunicorn gthread", (*GUNICORN, "-k", "gthread", "run_wsgi:app"), ("gunicorn",), 2, FLASK),
    Case("gunicorn gevent preload", (*GUNICORN, "-k", "gevent", "--preload", "run_wsgi:app"), ("gevent",), 2, FLASK),
    Case("gunicorn asgi", (*GUNICORN, "-k", "asgi", "run_asgi:application"), ("gunicorn.workers.gasgi",), 2),
    Case(
        "gunicorn uvicorn-worker",
        (*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "run_asgi:application"),
        ("uvicorn_worker",),
        2,
    ),
    Case(
        "hypercorn",
        (sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "-w", "2", "run_asgi:application"),
        ("hypercorn",),
        2,
    ),
    Case("granian asgi", (*GRANIAN, "asgi", "run_asgi:application"), ("granian",), 2),
    Case("granian wsgi", (*GRANIAN, "wsgi", "run_wsgi:app"), ("granian",), 2, FLASK),
    Case("daphne", (sys.executable, "-m", "daphne", "-p", "{port}", "run_asgi:application"), ("daphne",)),
    Case(
        "waitress",
        (sys.executable, "-m", "waitress", "--listen", "127.0.0.1:{port}", "run_wsgi:app"),
        ("waitress",),
        1,
        FLASK,
    ),
    Case("wsgiref", (sys.executable, "run_wsgi.py", "{port}"), (), 1, FLASK),
    Case("flask run", (sys.executable, "-m", "flask", "--app", "run_wsgi", "run", "--port", "{port}"), (), 1, FLASK),
    Case(
        "flask debug",
        (sys.executable, "-m", "flask", "--app", "run_wsgi", "--debug", "run", "--port", "{port}"),
        (),
        1,
        FLASK,
    ),
    Case("runserver", (sys.executable, "run_django.py", "runserver", "127.0.0.1:{port}"), ("django",), 1, FLASK),
]


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def requests(scrape: Scrape, route: str) -> float:
    return sum(scrape.of("route_requests_total", route=route).values())


def ask(server: Server) -> None:
    for number in range(ITEMS):
        assert f'"{number}"' in server.get(f"/items/{number}")


@pytest.mark.server
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_application_is_watched_in_each_worker(case: Case, tmp_path: Path) -> None:
    """All workers are on one scrape, each request counts once under its template, and the end comes as asked for."""
    for module in case.needs:
        if not is_there(module):
            pytest.skip(f"{module} is not installed")
    with started(["run", *case.command], tmp_path / "log", program=MEMPROF, apps=APPS, settings=QUICK) as server:
        server.inside(case.workers)
        server.wait_for(lambda: len(server.scrape().start_times) == case.workers, 60, "all workers on one scrape")
        ask(server)
        server.wait_for(lambda: requests(server.scrape(), case.route) >= ITEMS, 60, f"{ITEMS} of {case.route}")
        assert requests(server.scrape(), case.route) == ITEMS
        assert "memprof run:" not in server.log
        _, left = server.stop()
        assert left == []


@pytest.mark.server
@pytest.mark.parametrize(
    "command", [(*UVICORN, "--workers", "2"), (*GUNICORN, "run_wsgi:app")], ids=["uvicorn", "gunicorn"]
)
def test_metrics_on_a_port_of_their_own(command: tuple[str, ...], tmp_path: Path) -> None:
    """Whichever worker answers there shows both; nothing of ours is on the application's port; a kill loses nothing."""
    with reserved_ports(1) as (port,):
        options = ["run", "--metrics-port", str(port), "--metrics-host", "127.0.0.1", *command]
        with started(options, tmp_path / "log", program=MEMPROF, apps=APPS, settings=QUICK) as server:
            first = server.inside(2)

            def workers() -> set[str]:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    return set(Scrape(answer.read().decode()).start_times)

            server.wait_for(lambda: workers() == {"0", "1"}, 60, "both workers on the port")
            with pytest.raises(urllib.error.HTTPError, match="404"):
                server.get("/metrics")
            psutil.Process(next(iter(first))).send_signal(signal.SIGKILL)
            server.inside(2, besides=[next(iter(first))])
            server.wait_for(lambda: workers() == {"0", "1"}, 60, "both workers on the port again")


@pytest.mark.server
def test_a_port_of_another_command_is_told_once(tmp_path: Path) -> None:
    """The second command serves its application without metrics, and one line says why."""
    with reserved_ports(1) as (port,):
        options = ["run", "--metrics-port", str(port), "--metrics-host", "127.0.0.1"]
        with started([*options, *UVICORN], tmp_path / "a", program=MEMPROF, apps=APPS, settings=QUICK) as first:
            first.inside(1)
            with started(
                [*options, *GUNICORN, "run_wsgi:app"], tmp_path / "b", program=MEMPROF, apps=APPS, settings=QUICK
            ) as second:
                second.inside(2)
                ask(second)
                said = [line for line in second.log.splitlines() if line.startswith("memprof run:")]
                assert 1 <= len(said) <= 2, second.log  # workers begin at once, and each may be the first
                assert f"no metrics: port {port} on 127.0.0.1 belongs to the exporter of another application" in said[0]


@pytest.mark.server
def test_an_application_that_has_the_middleware_is_left_alone(tmp_path: Path) -> None:
    """It is counted once, by its own; its metrics go to the port as well."""
    with reserved_ports(1) as (port,):
        options = ["run", "--metrics-port", str(port), "--metrics-host", "127.0.0.1", *GUNICORN, "run_wsgi:app"]
        with started(options, tmp_path / "log", program=MEMPROF, apps=APPS, settings=QUICK | {"OWN": "1"}) as server:
            server.inside(2)
            ask(server)

            def counted() -> float:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    return requests(Scrape(answer.read().decode()), FLASK)

            server.wait_for(lambda: counted() >= ITEMS, 90, "the requests")
            assert counted() == ITEMS
            assert "more than once" not in server.log


@pytest.mark.server
def test_a_metrics_route_of_the_application_stays(tmp_path: Path) -> None:
    """What the application answered at /metrics it answers still."""
    command = ["run", sys.executable, "run_wsgi.py", "{port}"]
    with started(
        command, tmp_path / "log", program=MEMPROF, apps=APPS, settings=QUICK | {"OWN_METRICS": "1"}
    ) as server:
        assert [server.get("/metrics") for _ in range(3)] == ["the application's own 1\n"] * 3
