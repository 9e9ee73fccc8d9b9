"""Whether a worker that ends is about to be replaced: what its successor needs must then stay."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from memprof_middleware.probes.listening import Listener, keeper


def will_be_replaced(found: Listener, proc: Path = Path("/proc")) -> bool:
    """Whether the server goes on without this worker and puts another one in its place.

    No server tells its workers. But gunicorn's master closes its sockets before it ends its workers, and uvicorn's ends
    them by a signal; a worker of either that has served its share of requests ends by itself, with the master's sockets
    open. Of other servers it is not known: ``False``.

    Args:
        found: the server's socket, as it was while this worker served.
        proc: where procfs is mounted.
    """
    if found.server is None or keeper(proc / str(os.getppid()), found.sockets) != found.server:
        return False
    return "gunicorn.arbiter" in sys.modules or ("uvicorn.server" in sys.modules and not _told_to_end())


def _told_to_end() -> bool:
    """Whether uvicorn has had a signal; true where that is not known."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "_captured_signals", True))
