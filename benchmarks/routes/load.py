"""Concurrent clients that keep their connections and send requests of a mix that can change."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

Request = tuple[str, str]


class Load:
    """Clients in threads until the block ends; to be run in a process of its own, since it needs its processor.

    Args:
        port: of the server on this machine.
        draw: the next requests of one client.
        clients: how many at once.
        pause: mean seconds between a client's turns.
        headers: sent with each request.
    """

    def __init__(
        self,
        port: int,
        draw: Callable[[random.Random], Sequence[Request]],
        clients: int,
        pause: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._headers = dict(headers or {})
        self._port, self._draw, self._pause = port, draw, pause
        self._ends = threading.Event()
        self.sent = self.failed = 0
        self._threads = [threading.Thread(target=self._client, args=(seed,)) for seed in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _client(self, seed: int) -> None:
        rng = random.Random(seed + time.time_ns())
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._ends.wait(rng.expovariate(1 / self._pause)):
            for method, path in self._draw(rng):
                try:
                    connection.request(method, path, headers=self._headers)
                    answer = connection.getresponse()
                    answer.read()
                    self.failed += answer.status >= 400
                except (OSError, http.client.HTTPException):
                    self.failed += 1
                    connection.close()
                self.sent += 1
        connection.close()


def ask(port: int, method: str, path: str) -> bytes:
    """One request of the benchmark's own.

    Raises:
        OSError: nobody listens.
        RuntimeError: the answer is an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {body[:200]!r}")
        return body
    finally:
        connection.close()


def wait_for(port: int, path: str, seconds: float = 30) -> None:
    """Until the server answers.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask(port, "GET", path)
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer on port {port} after {seconds} s") from None
            time.sleep(0.1)
        else:
            return
