"""Real child processes for the tests of what workers share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class Child:
    """A forked process that has done some work and stays until it is told to end.

    Attributes:
        pid: its pid.
        result: what the work returned, through JSON.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reading)
            _run(work, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            line = pipe.readline()
        assert line, "the child failed; its traceback is above"
        self.result = json.loads(line)

    def kill(self) -> None:
        """End it as the kernel does when memory is out: it runs no code any more. May be called again."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _run(work: Callable[[], Any], writing: int) -> NoReturn:
    try:
        result = work()
        os.write(writing, json.dumps(result).encode() + b"\n")
        while True:
            signal.pause()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # no clean-up of pytest's


@contextlib.contextmanager
def children() -> Iterator[Callable[[Callable[[], Any]], Child]]:
    """Makes children and kills those that are left at the end."""
    made: list[Child] = []

    def make(work: Callable[[], Any]) -> Child:
        made.append(Child(work))
        return made[-1]

    try:
        yield make
    finally:
        for child in made:
            child.kill()
