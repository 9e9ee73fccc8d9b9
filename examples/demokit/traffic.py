"""Visitors: each looks around, most put something into the cart, some pay. Real HTTP from several threads."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import shop

RATE = 110.0  # requests per second, all threads together: a quiet shop, gentle on a laptop
THREADS = 6
_TIMEOUT = 10.0
_TRIES = 2  # a server may close a connection just when it is used again

Step = tuple[str, str]


def visit(chance: random.Random) -> Iterator[Step]:
    """The requests of one visitor: method and path."""
    yield "GET", "/"
    if chance.random() < 0.6:
        yield "GET", f"/search?q={chance.choice((*shop.COLOURS, *shop.MATERIALS, *shop.THINGS))}"
    product = chance.randint(1, shop.CATALOGUE_SIZE)
    yield "GET", f"/products/{product}"
    if chance.random() < 0.9:
        yield "POST", f"/cart?product={product}"
        if chance.random() < 0.3:
            yield "POST", f"/cart?product={chance.randint(1, shop.CATALOGUE_SIZE)}"
        if chance.random() < 0.5:
            yield "POST", "/checkout"


class Traffic:
    """Visitors at a steady rate, from entering to leaving the ``with`` block.

    Attributes:
        answered: requests by route, such as ``POST /cart``.
        failed: requests without an answer, or with an error.
    """

    def __init__(self, port: int, *, rate: float = RATE, threads: int = THREADS) -> None:
        self._port, self._pause = port, threads / rate
        self._leave = threading.Event()
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.failed = 0
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(_TIMEOUT)

    def counts(self) -> tuple[Counter[str], int]:
        """Requests answered by route, and failed, so far."""
        with self._lock:
            return Counter(self.answered), self.failed

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)) as connection:
            due = time.monotonic() + chance.random() * self._pause
            while True:
                cookie = ""
                for method, path in visit(chance):
                    if self._leave.wait(max(0.0, due - time.monotonic())):
                        return
                    # Never sooner than planned, and no burst after a slow answer.
                    due = max(due + self._pause * chance.uniform(0.5, 1.5), time.monotonic())
                    cookie = self._ask(connection, method, path, cookie) or cookie

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, cookie: str) -> str:
        """Send one request; returns the cookie that the answer sets."""
        route = f"{method} /{path.strip('/').split('/')[0].split('?')[0]}"
        for left in reversed(range(_TRIES)):
            try:
                connection.request(method, path, headers={"Cookie": cookie} if cookie else {})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                if left:
                    continue
                break
            if answer.status >= 400:
                break
            with self._lock:
                self.answered[route] += 1
            return (answer.headers["Set-Cookie"] or "").partition(";")[0]
        with self._lock:
            self.failed += 1
        return ""
