"""Censuses beside threads that allocate, collect, freeze and end: ``python tests/native/stress.py SECONDS``.

Prints one line of figures as JSON. It ends with an error where a thread has seen one, where a count is off, or where
nothing happened that it is about. Run it for minutes by hand, also under ``-X dev`` and with the sanitizers.
"""

from __future__ import annotations

import collections
import gc
import itertools
import json
import random
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import memprof_native

KEPT = 30_000
_YIELDS = 200  # one finalizer in so many lets another thread run: if each did, one collection would stay open


class Kept:
    """A population that does not change."""


class Cycle:
    """Garbage for the collector, with a finalizer that may yield."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self.me = self
        self.watch = weakref.ref(self, lambda _: None)

    def __del__(self) -> None:
        if next(Cycle.numbers) % _YIELDS == 0:
            time.sleep(0.0002)


def slowly(number: int) -> Iterator[int]:
    for index in range(number):
        if index % 17 == 3:
            time.sleep(0)
        yield index


def allocate(made: list[int]) -> None:
    """A moment's work of a thread: tuples in the making, cycles, classes, closures, containers."""
    for number in (5, 11, 30):
        made[0] += len(tuple(slowly(number)))
    for _ in range(50):
        Cycle()
    kind = type("Passing", (), {"method": lambda self: kind})
    made[0] += len([kind() for _ in range(20)])
    nested = [{"a": [index], "b": {index: ()}} for index in range(300)]
    queue = collections.deque(nested, maxlen=200)
    data = bytearray(1000)
    data.extend(b"x" * random.randrange(1000))
    made[0] += len(queue) + len(set(map(id, nested))) + len(data)


def look(found: collections.Counter[str], longest: list[float]) -> None:
    """One census of each sort, in slices."""
    how: dict[str, Any] = random.choice(
        [{}, {"minimum": 50}, {"minimum": 50, "deep": True}, {"targets": [id(Kept)]}, {"minimum": 1, "most": 100}]
    )
    walk = memprof_native.Walk(**how)
    for _ in range(random.choice([3, 10**9])):  # some are given up half way
        began = time.thread_time()
        done = walk.step(random.choice([500, 20_000]), 0.001)
        longest[0] = max(longest[0], time.thread_time() - began)
        found["slices"] += 1
        if done:
            break
        time.sleep(0.0002)
    else:
        found["given up"] += 1
        return
    counts = {name: live + frozen for _, name, live, frozen in walk.classes()}
    if counts["__main__.Kept"] != KEPT:
        raise AssertionError(f"{counts['__main__.Kept']} of {KEPT} were counted, after {walk.restarts} restarts")
    found["censuses"] += 1
    found["in one go"] += walk.restarts > 1
    found["newest"] += len(memprof_native.newest(id(Cycle), 5, 5000))
    walk.containers(), walk.referrers()


class Stress:
    """Threads that work until the time is over or one of them fails."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.kept = [Kept() for _ in range(KEPT)]
        self.failures: list[BaseException] = []
        self.found: collections.Counter[str] = collections.Counter()
        self.made, self.longest = [0], [0.0]

    def beside(self, work: Any, pause: float) -> threading.Thread:
        def run() -> None:
            while time.monotonic() < self.ends and not self.failures:
                try:
                    work()
                except BaseException as error:
                    self.failures.append(error)
                time.sleep(pause)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def freeze(self) -> None:
        gc.freeze()
        time.sleep(random.random() * 0.01)
        gc.unfreeze()
        self.found["freezes"] += 1

    def short_lived(self) -> None:
        thread = threading.Thread(target=allocate, args=(self.made,))
        thread.start()
        thread.join()
        self.found["threads"] += 1

    def holders(self) -> None:
        self.kept[:] = list(self.kept)
        gc.collect()

    def run(self) -> None:
        threads = [self.beside(lambda: allocate(self.made), 0) for _ in range(3)]
        threads += [
            self.beside(self.freeze, 0.03),
            self.beside(self.short_lived, 0.01),
            self.beside(self.holders, 0.4),
            self.beside(lambda: look(self.found, self.longest), 0.001),
        ]
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def main(seconds: float) -> None:
    """Run it and print the figures."""
    stress = Stress(seconds)
    gc.set_threshold(700, 5, 5)
    sys.setswitchinterval(0.0001)
    gc.callbacks.append(lambda phase, _: time.sleep(0) if random.random() < 0.01 else None)
    if problem := memprof_native.check(100_000):
        raise AssertionError(problem)
    before = gc.get_stats()[2]["collections"]
    stress.run()
    gc.callbacks.clear()
    full = gc.get_stats()[2]["collections"] - before
    figures = {**stress.found, "full collections": full, "made": stress.made[0]}
    if not all(figures.get(name) for name in ("censuses", "freezes", "full collections", "made")):
        raise AssertionError(f"nothing was tested: {figures}")
    print(json.dumps({**figures, "longest ms": round(1000 * stress.longest[0], 2)}))


if __name__ == "__main__":
    main(float(sys.argv[1]))
