"""Numbers of asyncio tasks by coroutine, threads by function, open files and sockets."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from memprof_middleware.heap import roots, tasks

# A process with more open files than this is counted only so far: 2 us each.
_MOST_FILES = 20_000
_MOST_NAMES = 200


def count_populations(proc: Path = Path("/proc")) -> dict[str, int]:
    """Count what is alive: ``task app.watchdog``, ``thread app.poll``, ``open files``, ``sockets``.

    Tasks are those of all event loops that are not done, by the coroutine that they run; threads by the function or
    class that they run, since their names are often made of data; our own left out. Files and sockets are left out
    where there is no ``/proc``.

    Args:
        proc: where procfs is mounted.
    """
    running = (name for name in map(tasks.task_name, tasks.pending()) if not roots.is_ours(name.partition(" ")[2]))
    # No Counter: it asks abc what is a mapping, which writes into 40 pages that a forked worker shares.
    counts: dict[str, int] = {}
    for name in itertools.chain(running, map(roots.thread_name, roots.threads())):
        counts[name] = counts.get(name, 0) + 1
    most = sorted(counts, key=counts.__getitem__, reverse=True)[:_MOST_NAMES]
    return {name: counts[name] for name in most} | _files(proc)


def _files(proc: Path) -> dict[str, int]:
    counts = {"open files": 0, "sockets": 0}
    try:
        with os.scandir(proc / "self" / "fd") as listing:
            for entry in itertools.islice(listing, _MOST_FILES):
                target = _target(entry.path)
                if target.startswith("socket:"):
                    counts["sockets"] += 1
                elif target.startswith("/"):
                    counts["open files"] += 1
    except OSError:
        return {}
    return counts


def _target(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - 20,000 of them
    except OSError:
        return ""  # closed meanwhile
