"""Visitors: some look around, some search, some choose, some pay. Real HTTP from several threads."""

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

RATE = 70.0  # requests per second at the busiest, all threads together: a quiet shop, gentle on a laptop
THREADS = 6
# When the demo is over and the shop goes on: its page stays alive, and its leak takes hours to fill the limit.
SLOW_RATE = 10.0
MOODS = ("look", "search", "choose", "pay")
MOOD_SECONDS = 2.0
_BUSY = (0.6, 1.0)
_TIMEOUT = 10.0
_TRIES = 2  # a server may close a connection just when it is used again

Step = tuple[str, str]


def mood_at(seconds: float) -> tuple[str, float]:
    """What visitors want at this moment, and how busy the shop is: a part of the full rate.

    Both change every few seconds, as in a real shop. With one mix that never changes nobody could say which route
    causes the growth.
    """
    number = int(seconds / MOOD_SECONDS)
    order = random.Random(number // len(MOODS)).sample(MOODS, len(MOODS))  # each mood comes in each round
    return order[number % len(MOODS)], random.Random(number).uniform(*_BUSY)


def visit(chance: random.Random, mood: str) -> Iterator[Step]:
    """The requests of one visitor in a mood: method and path."""
    often, rarely = 0.9, 0.1
    yield "GET", "/"
    for _ in range(4):
        if chance.random() < (often if mood == "search" else rarely):
            yield "GET", f"/search?q={chance.choice((*shop.COLOURS, *shop.MATERIALS, *shop.THINGS))}"
    for _ in range(3):
        if chance.random() < (often if mood == "look" else rarely):
            yield "GET", f"/products/{chance.randint(1, shop.CATALOGUE_SIZE)}"
    if chance.random() < (often if mood in {"choose", "pay"} else rarely):
        yield "POST", f"/cart?product={chance.randint(1, shop.CATALOGUE_SIZE)}"
        if chance.random() < (often if mood == "pay" else rarely):
            yield "POST", "/checkout"


class Traffic:
    """Visitors, from entering to leaving the ``with`` block.

    Args:
        port: of the shop.
        rate: requests a second at the busiest.
        threads: visitors at the same time.

    Attributes:
        answered: requests by route, such as ``POST /cart``.
        failed: requests without an answer, or with an error.
    """

    def __init__(self, port: int, *, rate: float = RATE, threads: int = THREADS) -> None:
        self._port, self._pause, self._began = port, threads / rate, time.monotonic()
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
        self.stop()

    def stop(self) -> None:
        """Let no more visitors come. May be called again."""
        self._leave.set()
        for thread in self._threads:
            thread.join(_TIMEOUT)

    def slow_down(self, rate: float = SLOW_RATE) -> None:
        """Go on with fewer requests a second."""
        self._pause = len(self._threads) / rate

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
                mood, busy = mood_at(time.monotonic() - self._began)
                for method, path in visit(chance, mood):
                    if self._leave.wait(max(0.0, due - time.monotonic())):
                        return
                    # Never sooner than planned, and no burst after a slow answer.
                    due = max(due + self._pause / busy * chance.uniform(0.5, 1.5), time.monotonic())
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
