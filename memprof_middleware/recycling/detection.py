"""Detection of the server that runs this worker, and of whether it replaces one that retires."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from memprof_middleware.model.value import valueclass

Mechanism = Literal["SIGTERM", "SIGHUP", "hypercorn"]
_TRUE = frozenset({"1", "true", "yes", "on"})
# A second exit within 5.5 s makes granian end all of itself ("Worker crash loop detected").
GRANIAN_COOLDOWN = 7.0
_UVICORN_RESPAWNS = (0, 30)


@valueclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Traces of the server in this process: loaded modules, parent, stack.

    Attributes:
        frames: the modules on the main thread's stack.
        term_owner: the modules of the classes of the object whose method handles SIGTERM; empty if there is none.
        usr1_owner: the same of SIGUSR1.
        term_handled: whether Python code handles SIGTERM; if not, the signal would kill in the middle of a request.
        foreign_master: whether the server's own worker object names another parent: this is a child of a worker.
        multiprocessing: this process's name in ``multiprocessing``, if its parent there is its parent.
        uwsgi: number of the worker and pid of the master, as uWSGI tells them; ``None`` elsewhere.
        uvicorn: uvicorn's version, major and minor; ``None`` if it is not loaded.
        granian_respawns: whether granian was told to replace workers that end.
    """

    frames: frozenset[str] = frozenset()
    term_owner: frozenset[str] = frozenset()
    usr1_owner: frozenset[str] = frozenset()
    term_handled: bool = False
    foreign_master: bool = False
    multiprocessing: str | None = None
    uwsgi: tuple[int, int] | None = None
    uvicorn: tuple[int, int] | None = None
    granian_respawns: bool = False

    def runs(self, package: str) -> bool:
        """Return whether a module of this package is on the main thread's stack."""
        return any(name == package or name.startswith(f"{package}.") for name in self.frames)


@valueclass(frozen=True, slots=True)
class Plan:
    """The way in which this worker can retire, or the reason why it cannot.

    Attributes:
        server: the server's name, for people.
        mechanism: what makes it finish its requests and end; ``None``: it must not.
        why: who replaces it, or why it must not, with what the user can do instead.
        cooldown: the least number of seconds between two retirements that this server needs.
        exit_status: what to end with if the drain deadline passes.
    """

    server: str
    mechanism: Mechanism | None
    why: str
    cooldown: float = 0.0
    exit_status: int = 0


def plan(seen: Surroundings, *, supervised: bool = False) -> Plan:
    """The one mechanism of this server that was measured to drop no request, or a refusal.

    Args:
        seen: what :func:`surroundings` found.
        supervised: the user says that something starts a single-process server again.
    """
    found = _plan(seen, supervised)
    if found.mechanism == "SIGTERM" and not seen.term_handled:
        # Where nobody handles it, SIGTERM kills in the middle of a request, and hypercorn then ends all of itself.
        return Plan(found.server, None, "nothing in this process handles SIGTERM, which would kill it: not recycled")
    return found


def is_replaced(seen: Surroundings, *, supervised: bool = False) -> bool | None:
    """Whether something starts this process again if somebody ends it with SIGTERM; ``None``: not known.

    hypercorn replaces a worker that retires by itself: one that is ended by a signal ends the whole server.

    Args:
        seen: what :func:`surroundings` found.
        supervised: the user says that something starts a single-process server again.
    """
    found = _plan(seen, supervised)
    if found.mechanism in {"SIGTERM", "SIGHUP"}:
        return True
    return None if found.server in {"gunicorn", "unknown server"} else False


def _plan(seen: Surroundings, supervised: bool) -> Plan:
    if seen.uwsgi is not None:
        return _uwsgi(*seen.uwsgi)
    if "gunicorn.workers.base" in seen.term_owner | seen.usr1_owner or seen.runs("gunicorn.workers"):
        if seen.foreign_master:
            return Plan("gunicorn", None, "this is a child of a worker, which gunicorn does not know")
        return Plan("gunicorn", "SIGTERM", "the arbiter replaces it")
    if "uvicorn.server" in seen.term_owner:
        return _uvicorn(seen, supervised)
    if seen.multiprocessing == "granian-worker":
        return _granian(seen)
    if seen.runs("hypercorn"):
        return _hypercorn(seen)
    for name, package in (("waitress", "waitress"), ("daphne", "daphne.server")):
        if seen.runs(package):
            why = (
                "it is one process that drops the requests in flight when it is told to end, and nobody replaces it: "
                "restart it from outside, behind a second instance"
            )
            return Plan(name, None, why)
    why = (
        "this server is none of those whose workers memprof can recycle (gunicorn, uvicorn --workers, hypercorn, "
        "granian, uWSGI): use the server's own limit on requests or memory"
    )
    return Plan("unknown server", None, why)


def _uwsgi(worker: int, master: int) -> Plan:
    if worker > 0 and master > 0:
        return Plan("uWSGI", "SIGHUP", "the master replaces it")
    return Plan("uWSGI", None, "it runs without a master, so nobody replaces this process: start it with --master")


def _uvicorn(seen: Surroundings, supervised: bool) -> Plan:
    if seen.runs("uvicorn.supervisors.multiprocess") and seen.multiprocessing is not None:
        if seen.uvicorn is None or seen.uvicorn < _UVICORN_RESPAWNS:
            return Plan("uvicorn --workers", None, "uvicorn replaces workers since 0.30: upgrade it")
        return Plan("uvicorn --workers", "SIGTERM", "the supervisor replaces it")
    if seen.runs("uvicorn._subprocess"):
        return Plan("uvicorn --reload", None, "the reloader starts a new process only when a file changes")
    if supervised:
        return Plan("uvicorn", "SIGTERM", "recycle_supervised: a supervisor starts it again", exit_status=1)
    why = (
        "it is one process, and nobody replaces it: start it with --workers, or set recycle_supervised if a supervisor "
        "(systemd, Docker, Kubernetes) starts it again; requests are refused until it has"
    )
    return Plan("uvicorn", None, why)


def _granian(seen: Surroundings) -> Plan:
    if seen.granian_respawns:
        return Plan("granian", "SIGTERM", "granian replaces it (--respawn-failed-workers)", GRANIAN_COOLDOWN)
    why = (
        "it ends all of itself when one worker ends: use its own --workers-max-rss, which starts the new worker before "
        "it stops the old one, or start it with --respawn-failed-workers"
    )
    return Plan("granian", None, why)


def _hypercorn(seen: Surroundings) -> Plan:
    if seen.multiprocessing is None:
        return Plan("hypercorn", None, "it runs without worker processes: start it with -w 1 or more")
    if not seen.runs("hypercorn.asyncio"):
        return Plan("hypercorn", None, "its trio workers cannot end by themselves: use its own --max-requests")
    return Plan("hypercorn", "hypercorn", "the master replaces it")


def surroundings() -> Surroundings:
    """The server as seen from this process, in about 0.1 ms and without side effects."""
    term, usr1 = _owner(signal.SIGTERM), _owner(getattr(signal, "SIGUSR1", None))
    parents = {getattr(owner, "ppid", None) for owner in (term, usr1) if "gunicorn.workers.base" in _modules(owner)}
    name = _multiprocessing()
    return Surroundings(
        frames=frozenset(str(frame.f_globals.get("__name__", "")) for frame in main_frames()),
        term_owner=_modules(term),
        usr1_owner=_modules(usr1),
        term_handled=callable(signal.getsignal(signal.SIGTERM)),
        foreign_master=bool(parents) and os.getppid() not in parents,
        multiprocessing=name,
        uwsgi=_uwsgi_numbers(),
        uvicorn=_version(sys.modules.get("uvicorn")),
        granian_respawns=name == "granian-worker" and _granian_respawns(),
    )


def main_frames() -> Iterator[FrameType]:
    """The main thread's stack, innermost first; empty under gevent, where that thread goes by another number."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _owner(number: signal.Signals | None) -> Any:
    return None if number is None else getattr(signal.getsignal(number), "__self__", None)


def _modules(owner: Any) -> frozenset[str]:
    return frozenset() if owner is None else frozenset(kind.__module__ for kind in type(owner).__mro__)


def _multiprocessing() -> str | None:
    module: Any = sys.modules.get("multiprocessing")
    parent = module and module.parent_process()
    # A pool's worker forked by a worker also has such a parent, but its pid is that of the worker.
    return str(module.current_process().name) if parent is not None and parent.pid == os.getppid() else None


def _uwsgi_numbers() -> tuple[int, int] | None:
    module: Any = sys.modules.get("uwsgi")
    return (module.worker_id(), module.masterpid()) if hasattr(module, "worker_id") else None


def _version(module: Any) -> tuple[int, int] | None:
    try:
        major, minor = module.__version__.split(".")[:2]
        return int(major), int(minor)
    except (AttributeError, ValueError):
        return None


def _granian_respawns() -> bool:
    if os.environ.get("GRANIAN_RESPAWN_FAILED_WORKERS", "").lower() in _TRUE:
        return True
    try:
        return b"--respawn-failed-workers" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
