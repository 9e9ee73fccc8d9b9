"""The shop on a real server: a process of its own, its log, its end."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

EXAMPLES = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
# Ctrl-C, a polite kill, a terminal that was closed.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Where the demo's shop is, so that its address can be kept; any free port if another program has it.
PORT = 8899
_STOP_SECONDS = 5.0
_LOG_LINES = 2000
# gunicorn passes over names in a configuration file that it does not know; an unknown option would stop it.
_GUNICORN_CONFIG = "control_socket_disable = True\n"


@dataclasses.dataclass(frozen=True)
class Host:
    """One way to serve the shop.

    Attributes:
        title: framework and server, for people.
        packages: what must be installed.
        command: what ``python -m`` runs; the port follows.
        file: the example that shows how the profiler is added.
    """

    title: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    file: str

    def arguments(self, port: int) -> list[str]:
        """The server's command line."""
        place = (
            ["--host", "127.0.0.1", "--port", str(port)]
            if self.command[0] == "uvicorn"
            else ["--bind", f"127.0.0.1:{port}"]
        )
        return [sys.executable, "-m", *self.command, *place]


_GUNICORN = ("gunicorn", "--worker-class", "gthread", "--threads", "4")
HOSTS = {
    "asgi": Host(
        "Starlette on uvicorn",
        ("starlette", "uvicorn"),
        ("uvicorn", "--no-access-log", "asgi_app:app"),
        "asgi_app.py",
    ),
    "wsgi": Host("plain WSGI on gunicorn", ("gunicorn",), (*_GUNICORN, "wsgi_app:application"), "wsgi_app.py"),
    "flask": Host("Flask on gunicorn", ("flask", "gunicorn"), (*_GUNICORN, "flask_app:app"), "flask_app.py"),
    "django": Host(
        "Django on gunicorn", ("django", "gunicorn"), (*_GUNICORN, "django_app:application"), "django_app.py"
    ),
}


class ServerError(Exception):
    """The server did not start."""


class Server:
    """The shop's server, on the loopback interface.

    Args:
        host: what serves it.
        settings: more for its environment.
        port: where it listens; 0, or a port that another program has: any free one.

    Attributes:
        host: what serves it.
        port: where it listens.
        token: opens its page for people.
        log: what it has written so far: time (seconds since the epoch) and line.
    """

    def __init__(self, host: Host, settings: Mapping[str, str] | None = None, *, port: int = 0) -> None:
        self.host = host
        self._settings = settings or {}
        self.port = _free_port(port)
        self.token = secrets.token_urlsafe(9)
        self.log: deque[tuple[float, str]] = deque(maxlen=_LOG_LINES)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the shop is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerError: it ended, or it did not answer in time.
        """
        # Its working directory is a folder of its own: the examples may lie where nothing can be written.
        self._folder = tempfile.TemporaryDirectory(prefix="memprof-demo-")
        with _held_back():
            self._process = self._started(Path(self._folder.name))
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self._await_ready()

    @property
    def exit_status(self) -> int | None:
        """``None`` while it serves, and before."""
        return None if self._process is None else self._process.poll()

    def wait(self) -> None:
        """Wait until it ends by itself."""
        if self._process is not None:
            self._process.wait()

    def tail(self, lines: int = 15) -> list[str]:
        """The last lines of its log."""
        return [line for _, line in list(self.log)[-lines:]]

    def stop(self) -> None:
        """End it and its workers, by force if they do not go. May be called again, and before :meth:`start`."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
            # The whole group: a worker must not outlive a master that was killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._reader is not None and self._reader.is_alive():  # not where Ctrl-C came before it was started
            self._reader.join(_STOP_SECONDS)
        if self._folder is not None:
            self._folder.cleanup()

    def _started(self, folder: Path) -> subprocess.Popen[str]:
        (folder / "gunicorn.conf.py").write_text(_GUNICORN_CONFIG)
        # Settings meant for another application must not reach this one.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MEMPROF_") and name not in {"GUNICORN_CMD_ARGS", "DJANGO_SETTINGS_MODULE"}
        }
        paths = [str(EXAMPLES), environment.get("PYTHONPATH", "")]
        environment |= {
            "MEMPROF_INTERVAL": "1",
            "MEMPROF_TOKEN": self.token,
            "MEMPROF_CPU_BUDGET": "5",  # a snapshot each second needs more than the default, which is for one a minute
            "MEMPROF_HEAP_SIZE_MB": "96",  # as in a small container, so that there is a limit to reach
            "MEMPROF_LEAK_CONFIRM_REQUESTS": "800",  # in production a leak is confirmed by what it takes of the memory
            "MEMPROF_TOP_TYPES": "200",  # so that the timeline sees a type from its first objects on
            "SHOP_DATABASE": str(folder / "shop.sqlite3"),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONUNBUFFERED": "1",
            **self._settings,
        }
        return subprocess.Popen(
            self.host.arguments(self.port),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the server
        )

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.log.append((time.time(), line.rstrip()))

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.exit_status is not None:
                raise ServerError(f"the server ended with status {self.exit_status} before it served")
            if self._answers():
                return
            time.sleep(0.05)
        raise ServerError(f"the server does not answer after {START_SECONDS:.0f} s")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Let interrupts wait until the new process is known: nobody would end it otherwise."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in received:
            signal.raise_signal(late)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do: connections of an earlier run that are still closing take no port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise ServerError("there is no free port on 127.0.0.1")
