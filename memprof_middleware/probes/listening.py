"""The server's listening socket, by which the workers of one server are recognized."""

from __future__ import annotations

import _socket  # the plain one: gevent and eventlet replace socket.socket
import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from memprof_middleware.model.value import valueclass

# Tells a socket object that its descriptor is non-blocking; not on macOS.
_IS_SO = getattr(_socket, "SOCK_NONBLOCK", 0)


@valueclass(frozen=True, slots=True)
class Listener:
    """The server's socket.

    Attributes:
        address: where the server listens, such as ``127.0.0.1:8000``.
        server: names this run of the server, by the process that stays while workers come and go; ``None`` if there
            is none or it cannot be seen.
        sockets: the inodes of the sockets that are bound there.
    """

    address: str
    server: str | None = None
    sockets: tuple[int, ...] = ()


def listener(proc: Path = Path("/proc")) -> Listener | None:
    """Return the oldest listening socket; ``None`` while there is none.

    All workers of a server hold its listening socket, by inheritance or by ``SO_REUSEPORT``, and no two servers of
    one machine hold the same: measured on gunicorn, uvicorn, hypercorn, granian, waitress, daphne, uWSGI and mod_wsgi.
    A server binds before anything in the application does, so the lowest descriptor is the server's.

    Args:
        proc: where procfs is mounted.
    """
    folder = proc / "self" / "fd" if sys.platform == "linux" else Path("/dev/fd")
    try:
        numbers = sorted(int(name) for name in os.listdir(folder))  # noqa: PTH208 - names, not paths, are wanted
    except OSError:
        return None
    # The server's master may keep, and its workers inherit, a socket that is bound there and does not listen itself.
    bound: dict[str, list[int]] = {}
    for fd in numbers:
        with contextlib.suppress(OSError):  # a descriptor may be closed while we look
            found = os.fstat(fd)
            if stat.S_ISSOCK(found.st_mode):
                address, listens = _read_socket(fd)
                bound.setdefault(address, []).append(found.st_ino)
                if listens:
                    sockets = tuple(bound[address])
                    return Listener(address, keeper(sockets, proc), sockets)
    return None


def _read_socket(fd: int) -> tuple[str, bool]:
    """Return the address to which a socket is bound, and whether it listens.

    The host may be about to set the socket's mode, so it is not written here, not even back to what it was: an event
    loop whose socket blocks stands still. A socket object over a descriptor takes on the process's default timeout and
    makes it non-blocking, unless it is said to be so already.
    """
    if not _IS_SO and _socket.getdefaulttimeout() is not None:
        raise OSError("a socket object would change the blocking mode")
    copy = os.dup(fd)
    try:
        socket = _socket.socket(type=_socket.SOCK_STREAM | _IS_SO, fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with contextlib.closing(socket):
        listens = bool(socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN))
        name = socket.getsockname()
    if isinstance(name, tuple):
        return f"{name[0]}:{name[1]}", listens
    # A Unix socket: a path, or bytes for an abstract name.
    return os.fsdecode(name) if isinstance(name, bytes) else os.path.realpath(name), listens


def keeper(sockets: Iterable[int], proc: Path = Path("/proc")) -> str | None:
    """Identify the process that starts workers at this place, by pid and start time.

    That is the parent, if it holds one of their sockets. A worker that multiprocessing has started, other than by a
    fork, may have a fork server as its parent (from 3.14 on), and inherits no socket of its master: there it is who
    asked for it. So with granian on 3.14, whose master keeps a socket that its workers do not have.

    Args:
        sockets: inodes.
        proc: where procfs is mounted.

    Returns:
        ``None`` if there is none, or it cannot be seen.
    """
    links = {f"socket:[{inode}]" for inode in sockets}
    parent = proc / str(os.getppid())
    with contextlib.suppress(OSError):
        if any(_link(fd) in links for fd in (parent / "fd").iterdir()):
            return _named(parent)
    multiprocessing = sys.modules.get("multiprocessing.process")
    asked = None if multiprocessing is None else multiprocessing.parent_process()
    with contextlib.suppress(OSError):
        return None if asked is None else _named(proc / str(asked.pid))
    return None


def _named(process: Path) -> str:
    # Its name, which may hold spaces and brackets, is the second field; the start time is the 22nd.
    return f"{process.name} {(process / 'stat').read_text(errors='replace').rpartition(')')[2].split()[19]}"


def _link(path: Path) -> str:
    with contextlib.suppress(OSError):  # closed while we look
        return os.readlink(path)  # noqa: PTH115 - not a path to anything
    return ""
