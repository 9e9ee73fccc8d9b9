"""A worker whose memory is a function of the minute, as the judge sees it."""

from __future__ import annotations

import random
from collections.abc import Callable

from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.judge import look
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.present import present
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.leaks.room import Room
from memprof_middleware.model import MB

ROOM = Room(400 * MB, 100 * MB, "what was left of 500 MB")
Store = Callable[[int], float]


class Process:
    """A worker with 60 requests a minute; what it keeps is a function of the minute."""

    def __init__(self, interval: float = 60.0) -> None:
        self.past, self.minute = Past(interval), 0
        self.clock: Store = lambda minute: 60.0 * minute
        self.requests = {"GET /a": 0, "GET /b": 0}
        self.stores: dict[str, tuple[Store, float, Seen]] = {}
        self.types: dict[str, Store] = {}
        self.native: Store = lambda _: 0.0
        self.mapped: Store = lambda _: 0.0
        self.blocks: Store = lambda _: 200_000
        self.collections = 1
        self.traffic: Callable[[int], int] | None = None  # requests of a minute; else some 60 by chance
        self.failed: Store = lambda _: 0
        self._chance = random.Random(3)

    def keeps(self, path: str, length: Store, weight: float, **seen: object) -> None:
        self.stores[path] = length, weight, Seen(0, **seen)  # type: ignore[arg-type]

    def run(self, minutes: int) -> list[Finding]:
        for _ in range(minutes):
            self.minute += 1
            for route in self.requests:
                even = None if self.traffic is None else self.traffic(self.minute) // 2
                self.requests[route] += self._chance.randrange(20, 40) if even is None else even
            self.past.add(self._reading(self.minute))
        return look(self.past, ROOM, told=True)

    def _reading(self, minute: int) -> Reading:
        lengths = {path: int(length(minute)) for path, (length, _, _) in self.stores.items()}
        kept = sum(lengths[path] * weight for path, (_, weight, _) in self.stores.items())
        native = 10 * MB + kept + self.native(minute)
        containers = {
            path: Seen(
                lengths[path], seen.bound, weight, seen.oldest, seen.holds, seen.lifetime, aged_bytes=seen.aged_bytes
            )
            for path, (_, weight, seen) in self.stores.items()
        }
        counts = {name: int(count(minute)) for name, count in self.types.items()}
        heap = 100 * MB + native + self.mapped(minute)
        return Reading(
            time=self.clock(minute),
            requests=dict(self.requests),
            failed=int(self.failed(minute)),
            collections=self.collections,
            heap=heap,
            native=native,
            retained=MB,
            blocks=int(self.blocks(minute)),
            counts={"builtins.dict": 1000} | counts,
            containers=containers,
        )


def passing(found: list[Finding]) -> list[str]:
    """The names of what passes the tests and matters."""
    return [finding.population.name for finding in found if finding.suspected]


def lives_of(process: Process, lives: dict[str, Life], minutes: int) -> dict[str, Life]:
    """The lives after so many minutes more; it is looked at in each of the last ten, as a verdict has to hold."""
    last = min(10, minutes)
    for looked_after in (minutes - last + 1, *[1] * (last - 1)):
        found = process.run(looked_after)
        lives = live(lives, found, lambda finding: present(process.past, finding))
    return lives
