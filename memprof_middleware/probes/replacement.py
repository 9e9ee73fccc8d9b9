"""Detection of a worker's replacement at its end: files that its successor needs must then stay."""

from __future__ import annotations

import sys
from pathlib import Path

from memprof_middleware.probes.listening import Listener, keeper


def will_be_replaced(found: Listener, proc: Path = Path("/proc")) -> bool:
    """Return whether the server goes on without this worker and starts another in its place.

    No server tells its workers. But gunicorn's master closes its sockets before it ends its workers, and uvicorn's ends
    them by a signal; a worker of either that has served its share of requests ends by itself, with the master's sockets
    open. Of other servers it is not known: ``False``.

    Args:
        found: the server's socket, as it was while this worker served.
        proc: where procfs is mounted.
    """
    if found.server is None or keeper(found.sockets, proc) != found.server:
        return False
    return "gunicorn.arbiter" in sys.modules or ("uvicorn.server" in sys.modules and not _stop_requested())


def _stop_requested() -> bool:
    """Return whether uvicorn has received a signal; true if that is not known."""
    import signal  # which uvicorn has loaded

    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "_captured_signals", True))
