"""Load on a server while its workers retire: every request that is lost is counted, and how."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT = 30.0


@dataclasses.dataclass
class Tally:
    """What the clients saw.

    Attributes:
        answered: full answers with a status below 500.
        dropped: begun by the application, and no full answer, or a status from 500 on; what was seen instead.
        cut: answered by the application, and the server closed the connection without the answer.
        refused: connections that nobody accepted.
        stale: kept connections that were closed between two requests, which clients and proxies try again.
        unread: new connections that were closed before the application saw their request, as above.
        pids: who answered.
        gap_seconds: the longest time in which nobody got an answer.
    """

    answered: int = 0
    dropped: list[str] = dataclasses.field(default_factory=list)
    cut: list[str] = dataclasses.field(default_factory=list)
    refused: int = 0
    stale: int = 0
    unread: int = 0
    pids: set[int] = dataclasses.field(default_factory=set)
    gap_seconds: float = 0.0


class Load:
    """Clients that ask without end: half of them keep their connections, half open a new one each time."""

    def __init__(self, port: int, seen: Path, clients: int = 8) -> None:
        self._port, self._seen = port, seen
        self._numbers = itertools.count(1)
        self._failed: dict[int, str] = {}
        self.tally = Tally()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._leaking = threading.Event()
        self._last = time.monotonic()
        keeping = [number % 2 == 0 for number in range(clients)]
        self._threads = [threading.Thread(target=self._client, args=(keeps, "/work")) for keeps in keeping]
        self._threads.append(threading.Thread(target=self._client, args=(False, "/leak")))

    def __enter__(self) -> Self:
        self._last = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        seen = set(self._seen.read_text().splitlines())
        for number, what in self._failed.items():
            if f"answered {number}" in seen:
                self.tally.cut.append(what)
            elif f"begun {number}" in seen:
                self.tally.dropped.append(what)
            else:
                self.tally.unread += 1

    @contextlib.contextmanager
    def leaking(self) -> Iterator[None]:
        """One client more, whose requests leak."""
        self._leaking.set()
        try:
            yield
        finally:
            self._leaking.clear()

    def _client(self, keeps: bool, path: str) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            if path == "/leak" and not self._leaking.wait(0.05):
                continue
            reused = connection is not None
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
            if not self._ask(connection, path, reused, keeps) or not keeps:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, reused: bool, keeps: bool) -> bool:
        """One request; whether its connection can be used again."""
        stage, number = "connect", next(self._numbers)
        try:
            if not reused:
                connection.connect()
            stage = "wait"
            connection.request("GET", f"{path}?{number}", headers={} if keeps else {"Connection": "close"})
            response = connection.getresponse()
            stage = "read"
            body = response.read()
        except ConnectionRefusedError:
            self._count("refused")
            time.sleep(0.02)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            if reused and stage == "wait":
                self._count("stale")
            else:
                self._failed[number] = f"{path} {stage}: {type(error).__name__}"
        except (OSError, http.client.HTTPException) as error:
            self._count(f"{path} {stage}: {type(error).__name__}")
        else:
            self._count("answered" if response.status < 500 else f"{path}: {response.status}", body)
            return not response.will_close
        return False

    def _count(self, what: str, body: bytes = b"") -> None:
        with self._lock:
            tally = self.tally
            if what == "answered":
                now = time.monotonic()
                tally.gap_seconds = max(tally.gap_seconds, now - self._last)
                self._last = now
                tally.answered += 1
                tally.pids.add(int(body))
            elif what == "refused":
                tally.refused += 1
            elif what == "stale":
                tally.stale += 1
            else:
                tally.dropped.append(what)
