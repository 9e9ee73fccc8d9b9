"""Single keys from a terminal, without waiting for the end of a line."""

from __future__ import annotations

import contextlib
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

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, termios.error):
        yield keys
        return
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([descriptor], [], [], _LOOK_SECONDS)[0]:
                key = sys.stdin.read(1)
                if not key:
                    return
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
