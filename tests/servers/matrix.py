"""The servers that people use, each with the way it is started, killed and reloaded."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.servers.harness import Server, gunicorn_options, version_of

# `.ci/install-servers` puts it where the user that Apache serves as can read it.
_MOD_WSGI = Path(os.environ.get("MEMPROF_MOD_WSGI", "/opt/memprof-mod_wsgi/bin/mod_wsgi-express"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to run one server.

    Attributes:
        name: as the documentation shows it.
        package: whose version is shown.
        command: the arguments of the program; ``{port}``, ``{apps}`` and ``{tmp}`` stand for what they say.
        program: the program.
        starts: the event that starts the profiler in a worker.
        workers: how many processes serve.
        respawns: whether the server replaces a worker that was killed.
        reload: asks a running server for a graceful reload; ``None`` if it has none.
        leaves: why workers may leave their files behind at a graceful end; empty: they leave none.
        needs: further packages.
        apart: runs in an environment of its own, as another user: gets a copy of our packages beside the application.
    """

    name: str
    package: str
    command: tuple[str, ...]
    program: str = sys.executable
    starts: str = "first request"
    workers: int = 2
    respawns: bool = True
    reload: Callable[[Server, Path], object] | None = None
    leaves: str = ""
    needs: tuple[str, ...] = ()
    apart: bool = False

    @property
    def version(self) -> str | None:
        """The installed version; ``None``: not installed."""
        return _mod_wsgi_version() if self.package == "mod_wsgi" else version_of(self.package, *self.needs)


def _hang_up(server: Server, _apps: Path) -> None:
    server.process.send_signal(signal.SIGHUP)


def _touch(name: str) -> Callable[[Server, Path], None]:
    def touch(_server: Server, apps: Path) -> None:
        with (apps / name).open("a") as file:
            file.write("\n# Saved again.\n")

    return touch


def _usr1_to_apache(server: Server, _apps: Path) -> None:
    # The parent of all the others; mod_wsgi-express itself may have started it as a child.
    apache = [p for p in server.tree() if p.name() in {"apache2", "httpd"}]
    next(p for p in apache if p.ppid() not in {q.pid for q in apache}).send_signal(signal.SIGUSR1)


def _mod_wsgi_version() -> str | None:
    if not _MOD_WSGI.exists() or shutil.which("apache2") is None:
        return None
    script = "import importlib.metadata as m; print(m.version('mod_wsgi'))"
    python = _MOD_WSGI.with_name("python")
    return subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def _gunicorn(kind: str, *options: str, needs: tuple[str, ...] = (), starts: str = "first request") -> list[Case]:
    app = "asgi_app" if "uvicorn" in kind else "wsgi_app"
    common = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *gunicorn_options(), *options)
    return [
        Case(
            name=f"gunicorn {kind}{' --preload' if preload else ''}",
            package="gunicorn",
            command=(*common, *(("--preload",) if preload else ()), f"{app}:application"),
            starts=starts,
            reload=_hang_up,
            needs=needs,
        )
        for preload in (False, True)
    ]


def _uwsgi(name: str, *options: str) -> Case:
    return Case(
        name=f"uWSGI {name}",
        package="uwsgi",
        program=str(Path(sys.executable).with_name("uwsgi")),
        command=(
            *("--http-socket", "127.0.0.1:{port}", "--master", "--processes", "2", "--die-on-term", "--need-app"),
            *("--virtualenv", sys.prefix, "--wsgi-file", "wsgi_app.py", *options),
        ),
        reload=_hang_up,
        leaves="a worker that is still busy when it must end skips atexit",
    )


_UVICORN = ("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}")
_GRANIAN = ("-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "2", "--respawn-failed-workers")
_GRANIAN_RESPAWN = ("--respawn-interval", "0.1")
_NO_EXIT_HOOK = "workers end without lifespan.shutdown and atexit"
CASES: tuple[Case, ...] = (
    *_gunicorn("sync"),
    *_gunicorn("gthread", "--worker-class", "gthread", "--threads", "4"),
    *_gunicorn("gevent", "--worker-class", "gevent", needs=("gevent",)),
    *_gunicorn(
        "uvicorn-worker",
        "--worker-class",
        "uvicorn_worker.UvicornWorker",
        needs=("uvicorn-worker",),
        starts="lifespan",
    ),
    Case(
        name="uvicorn --workers 2",
        package="uvicorn",
        command=(*_UVICORN, "--workers", "2", "asgi_app:application"),
        starts="lifespan",
        reload=_hang_up,
    ),
    Case(
        name="uvicorn --reload",
        package="uvicorn",
        command=(*_UVICORN, "--reload", "asgi_app:application"),
        starts="lifespan",
        workers=1,
        respawns=False,
        reload=_touch("asgi_app.py"),
    ),
    Case(
        name="hypercorn -w 2",
        package="hypercorn",
        command=("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "-w", "2", "asgi_app:application"),
        starts="lifespan",
        respawns=False,
        reload=_hang_up,
        leaves="when its first worker has ended it kills the others",
    ),
    Case(
        name="granian ASGI",
        package="granian",
        command=(*_GRANIAN, *_GRANIAN_RESPAWN, "--interface", "asgi", "asgi_app:application"),
        starts="lifespan",
        reload=_hang_up,
    ),
    Case(
        name="granian WSGI",
        package="granian",
        command=(*_GRANIAN, *_GRANIAN_RESPAWN, "--interface", "wsgi", "wsgi_app:application"),
        reload=_hang_up,
        leaves=_NO_EXIT_HOOK,
    ),
    Case(
        name="waitress",
        package="waitress",
        command=("-m", "waitress", "--listen", "127.0.0.1:{port}", "wsgi_app:application"),
        workers=1,
        respawns=False,
        leaves=_NO_EXIT_HOOK,
    ),
    _uwsgi("--processes 2"),
    _uwsgi("--threads 2", "--threads", "2"),
    _uwsgi("--lazy-apps", "--lazy-apps"),
    Case(
        name="daphne",
        package="daphne",
        command=("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "asgi_app:application"),
        workers=1,
        respawns=False,
    ),
    Case(
        name="mod_wsgi-express --processes 2",
        package="mod_wsgi",
        program=str(_MOD_WSGI),
        command=(
            *("start-server", "{apps}/wsgi_app.py", "--callable-object", "application", "--host", "127.0.0.1"),
            *("--port", "{port}", "--processes", "2", "--user", "www-data", "--group", "www-data"),
            *("--server-root", "{tmp}/apache", "--locale", "C.UTF-8", "--python-path", "{apps}", "--log-to-terminal"),
        ),
        reload=_usr1_to_apache,
        apart=True,
    ),
    Case(
        name="django runserver",
        package="django",
        command=("django_app.py", "runserver", "127.0.0.1:{port}"),
        workers=1,
        respawns=False,
        reload=_touch("django_app.py"),
        leaves="its child ends without atexit",
    ),
)
