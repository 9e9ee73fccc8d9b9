"""What the applications of the server tests share: a leak, a look inside the process, the profiler's settings."""

import json
import os
import threading
import time

from memprof_middleware import get_memory_profiler

# Without the profiler, to compare with: threads, warnings and the time that a shutdown takes.
BARE = os.environ.get("BARE") == "1"
# Two seconds stand for the hours after which a leak is confirmed.
SETTINGS = {"interval": 1.0, "warmup_snapshots": 1, "leak_min_snapshots": 4, "leak_confirm_hours": 0.0005}
sessions = []
leaking = []


class Session:
    """What leaks."""


def leak_for_ever() -> None:
    """A portion for each time that the objects were counted: the same growth on a fast and on a busy machine."""
    profiler, seen = get_memory_profiler(), None
    while True:
        snapshot = profiler.metrics().snapshot
        if snapshot is not None and snapshot.census_timestamp != seen:
            seen = snapshot.census_timestamp
            sessions.extend(Session() for _ in range(300))
        time.sleep(0.05)


def begin_to_leak() -> None:
    """Leak from now on, in this worker."""
    if not leaking:
        leaking.append(True)
        threading.Thread(target=leak_for_ever, name="leak", daemon=True).start()


def keep_busy() -> None:
    """Keep this worker from the next request, which goes to its sibling; a sleep would let gevent serve it too."""
    until = time.monotonic() + 0.02
    while time.monotonic() < until:
        pass


def answer(path: str) -> bytes | None:
    """The application: the body for a path."""
    if path == "/leak":
        begin_to_leak()
        keep_busy()
        return json.dumps({"pid": os.getpid()}).encode()
    if path == "/inside":
        keep_busy()
        names = [thread.name for thread in threading.enumerate()]
        worker = None if BARE else get_memory_profiler().worker
        return json.dumps({"pid": os.getpid(), "threads": names, "worker": worker}).encode()
    return None
