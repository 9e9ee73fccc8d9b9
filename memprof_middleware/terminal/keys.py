"""Single keys from a terminal, without waiting for the end of a line."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator

_LOOK_SECONDS = 0.2


@contextlib.contextmanager
def pressed() -> Iterator[queue.SimpleQueue[str]]:
    """The keys that are pressed while the block runs; none where the terminal cannot be read so (Windows, a pipe)."""
    keys: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        import termios
        import tty
    except ImportError:
        yield keys
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield keys
        return
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([descriptor], [], [], _LOOK_SECONDS)[0]:
                # Not through sys.stdin, whose buffer select does not see.
                found = os.read(descriptor, 32)
                if not found:
                    return
                for key in found.decode("ascii", "ignore"):
                    keys.put(key)

    thread = threading.Thread(target=read, name="memprof-keys", daemon=True)
    try:
        tty.setcbreak(descriptor)
        thread.start()
        yield keys
    finally:
        over.set()
        thread.join(2 * _LOOK_SECONDS)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
