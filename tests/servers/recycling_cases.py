"""The servers whose workers retire in the tests, and those that must refuse."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from tests.servers.harness import gunicorn_options, version_of

UWSGI = str(Path(sys.executable).with_name("uwsgi"))
WSGI, ASGI = "recycling:wsgi_application", "recycling:asgi_application"

_SIGTERM = "SIGTERM to itself"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to run one server.

    Attributes:
        name: as the documentation shows it.
        package: whose version is shown.
        command: the arguments of the program.
        program: the program.
        mechanism: how a worker retires, for the documentation; empty where it must not.
        refusal: what the log says where it must not.
        workers: how many processes serve.
        cooldown: seconds between two retirements.
        needs: further packages.
        settings: further settings in the environment.
        cuts: how many answers it may lose by itself, in all.
        silent_close: it closes each connection without saying so, so nothing can be said of kept ones.
    """

    name: str
    package: str
    command: tuple[str, ...]
    program: str = sys.executable
    mechanism: str = ""
    refusal: str = ""
    workers: int = 2
    cooldown: float = 3.0
    needs: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    cuts: int = 0
    silent_close: bool = False

    @property
    def version(self) -> str | None:
        """The installed version; ``None``: not installed."""
        return version_of(self.package, *self.needs)


def _gunicorn(name: str, *options: str, app: str = WSGI, needs: tuple[str, ...] = ()) -> Case:
    command = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *gunicorn_options(), *options, app)
    return Case(name=f"gunicorn {name}", package="gunicorn", command=command, mechanism=_SIGTERM, needs=needs)


def _uwsgi(name: str, *options: str, **more: str) -> Case:
    serve = ("--http-socket", "127.0.0.1:{port}", "--need-app", "--virtualenv", sys.prefix, "--die-on-term")
    app = ("--enable-threads", "--module", WSGI)
    command = (*serve, *app, *options)
    return Case(name=f"uWSGI {name}", package="uwsgi", program=UWSGI, command=command, silent_close=True, **more)


def _uvicorn(name: str, *options: str, **more: object) -> Case:
    command = ("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", *options, ASGI)
    return Case(name=f"uvicorn {name}".rstrip(), package="uvicorn", command=command, **more)


def _granian(interface: str, *options: str, **more: object) -> Case:
    app = ASGI if interface == "asgi" else WSGI
    serve = ("--host", "127.0.0.1", "--port", "{port}", "--workers", "2", "--interface", interface)
    command = ("-m", "granian", *serve, *options, app)
    name = f"granian {interface.upper()}" + (" --respawn-failed-workers" if options else "")
    return Case(name=name, package="granian", command=command, **more)


_RESPAWN = {"mechanism": _SIGTERM, "cooldown": 7.0}
_MASTER = ("--master", "--processes", "2")
_HYPERCORN = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}")
RECYCLED: tuple[Case, ...] = (
    _gunicorn("sync"),
    _gunicorn("sync --preload", "--preload"),
    _gunicorn("gthread", "--worker-class", "gthread", "--threads", "4"),
    _gunicorn("gevent", "--worker-class", "gevent", needs=("gevent",)),
    _gunicorn("uvicorn-worker", "--worker-class", "uvicorn_worker.UvicornWorker", app=ASGI, needs=("uvicorn-worker",)),
    _gunicorn("asgi", "--worker-class", "asgi", app=ASGI),
    _uvicorn("--workers 2", "--workers", "2", mechanism=_SIGTERM),
    Case(
        name="hypercorn -w 2",
        package="hypercorn",
        command=(*_HYPERCORN, "-w", "2", ASGI),
        mechanism="its worker's terminate event, as `max_requests`",
        # Its idle connections wake with that event and close, also one whose next request was just handed to the
        # application. 0.18 loses requests so without us: 2 of 12,233 of a bare application with max_requests.
        cuts=3,
    ),
    _granian("asgi", "--respawn-failed-workers", "--respawn-interval", "0.1", **_RESPAWN),
    _granian("wsgi", "--respawn-failed-workers", "--respawn-interval", "0.1", **_RESPAWN),
    _uwsgi("--master", *_MASTER, mechanism="SIGHUP to itself"),
    _uwsgi("--threads 4", *_MASTER, "--threads", "4", mechanism="SIGHUP to itself"),
    _uwsgi("--lazy-apps", *_MASTER, "--lazy-apps", mechanism="SIGHUP to itself"),
    Case(
        name="uvicorn --fd, `recycle_supervised`",
        package="uvicorn",
        command=("supervise.py", "{port}"),
        mechanism="SIGTERM to itself; the supervisor keeps the socket",
        workers=1,
        settings=(("MEMPROF_RECYCLE_SUPERVISED", "1"),),
    ),
)
REFUSING: tuple[Case, ...] = (
    _granian("asgi", refusal="--workers-max-rss"),
    _uvicorn("", refusal="recycle_supervised", workers=1),
    Case(
        name="waitress",
        package="waitress",
        command=("-m", "waitress", "--listen", "127.0.0.1:{port}", WSGI),
        refusal="restart it from outside",
        workers=1,
    ),
    Case(
        name="daphne",
        package="daphne",
        command=("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", ASGI),
        refusal="restart it from outside",
        workers=1,
    ),
    Case(
        name="hypercorn -w 0",
        package="hypercorn",
        command=(*_HYPERCORN, "-w", "0", ASGI),
        refusal="start it with -w 1 or more",
        workers=1,
    ),
    _uwsgi("without a master", refusal="start it with --master", workers=1),
)
