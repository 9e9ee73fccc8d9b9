"""Cases in which verdicts were once wrong, as series of figures: ``python -m benchmarks.field.cases`` prints a table.

Each case is a process of the field that was met for real or simulated (a cache that fills, a store with a lifetime, a
leak in C), with its rates and sizes. The whole product is driven over hours, a snapshot each minute, by a clock of its
own; the table says what an operator is told, and when.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Iterator

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.heap.containers import Container, Containers
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.testing import FakeClock, FakeProbes

MB = 1_048_576
BASE_MB, LIMIT_MB = 120.0, 520.0


@dataclasses.dataclass
class State:
    """A process at one minute."""

    requests: int
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    kept: list[Container] = dataclasses.field(default_factory=list)
    native_mb: float = 0.0  # given out by the C library beside what the containers hold
    mapped_mb: float = 0.0
    blocks: int = 0
    collections: int = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """A case, with its truth."""

    what: str
    leaks: bool
    hours: float
    at: Callable[[int], State]


def _container(path: str, length: float, weight: float, type_: str = "builtins.str", **more: object) -> Container:
    return Container(path, "dict", int(length), None, False, (type_,), entry_bytes=weight, **more)  # type: ignore[arg-type]


def _cache(per_second: float, minutes: int, curve: bool) -> Callable[[int], State]:
    """2,500 settings of tenants, 40 kB each, that come within so many minutes: a line, or equally likely keys."""

    def at(minute: int) -> State:
        part = min(1.0, minute / minutes) if not curve else -math.expm1(-3 * minute / minutes)
        entries = int(2500 * part)
        kept = [_container("app.tenants", entries, 40_000, "app.Tenant", oldest=7)]
        return State(int(60 * per_second * minute), {"app.Tenant": entries}, kept, collections=minute // 20)

    return at


def _baskets(minute: int) -> State:
    """Baskets live 30 minutes; 20 requests a minute become 400 and 20 again in 16 hours; the profiler sees a list."""

    def rate(now: float) -> float:
        return 20 + 380 * math.sin(math.pi * min(now, 960) / 960) ** 2 if now > 0 else 0.0

    served = _sums(rate)
    alive = int(0.5 * (served[minute] - served[max(0, minute - 30)]))
    gone = int(0.5 * served[max(0, minute - 30)])
    kept = [_container("app.queue", alive, 20_000, "app.Basket", oldest=gone)]
    return State(int(served[minute]), {"app.Basket": alive}, kept, collections=minute // 30)


_SUMS: dict[str, list[float]] = {}


def _sums(rate: Callable[[float], float]) -> list[float]:
    return _SUMS.setdefault(rate.__qualname__, [0.0, *itertools.accumulate(rate(minute) for minute in range(1, 3000))])


def _garbage(minute: int) -> State:
    """Cycles of a TLS server that wait for a full collection, 30 requests a second."""
    waits = random.Random(minute).randrange(700)
    return State(1800 * minute, {"ssl.SSLObject": waits, "builtins.dict": 4 * waits}, collections=minute // 7)


def _native(minute: int) -> State:
    """A leak in C, 1.6 kB a request, beside a dict of partners: 251 short texts; no full collection ever happens."""
    partners = [_container("app.PARTNERS", minute * 251 / 600, 100, oldest=7)]
    return State(300 * minute, {}, partners, native_mb=300 * minute * 1600 / MB)


def _native_cache(minute: int) -> State:
    """A cache of 10,000 pieces in C, fed by two of three requests: 13 to 91 MB in 15,000 requests, then level."""
    requests = 60 * minute
    return State(requests, native_mb=78 * min(1.0, requests / 15_000), collections=minute // 30)


def _pools(minute: int) -> State:
    """A dictionary of names in a C library, in pools of which each is as large as all before; it never stops."""
    size = 2 ** math.floor(math.log2(max(1, minute)))
    return State(60 * minute, native_mb=size * 0.5)


def _mapped(minute: int) -> State:
    """Stacks that a C extension maps for itself and never gives back."""
    return State(200 * minute, mapped_mb=0.9 * minute)


def _logs(minute: int) -> State:
    """Query logs: one deque of 9,000 for each of eight threads, each query 600 bytes, 50 a minute and thread."""
    entries = 8 * min(9000, 50 * minute)
    kept = Container("django.db.connection.queries_log[*]", "deque", entries, 72_000, False, ("builtins.dict",),
                     entry_bytes=600.0, oldest=max(0, entries - 71_000))  # fmt: skip
    return State(60 * minute, {"builtins.dict": 2000 + entries}, [kept], collections=minute // 30)


def _warm_up(minute: int) -> State:
    """47 to 50.6 MB in the first 12 minutes, then level."""
    return State(240 * minute, native_mb=3.6 * min(1.0, minute / 12) + 0.01 * minute)


def _quiet_site(minute: int) -> State:
    """A site with two requests a minute and an lru_cache(500): 9 objects for each new page."""
    pages = int(500 * -math.expm1(-2 * minute / 500))
    kept = Container("site.page", "lru_cache", pages, 500, False, ("site.Page",), entry_bytes=9000.0)
    return State(2 * minute, {"site.Page": pages}, [kept], blocks=9 * pages, collections=minute // 60)


def _late_types(minute: int) -> State:
    """Sessions leak from the start; the census starves, and sees them from minute 120 on."""
    sessions = 100 * minute
    kept = [_container("app.SESSIONS", sessions, 14_000, "app.Session", oldest=7)] if minute > 120 else []
    hidden = 0.0 if kept else sessions * 14_000 / MB
    return State(100 * minute, {"app.Session": sessions if kept else 0}, kept, native_mb=hidden, collections=minute // 20)


def _timers(minute: int) -> State:
    """One handle of a timer for each request of one kind, kept by a lock of a cache (aiocache's RedLock)."""
    kept = [_container("app.prices._handlers", 60 * minute, 9_000, "asyncio.events.TimerHandle", oldest=7)]
    return State(180 * minute, {"asyncio.events.TimerHandle": 60 * minute}, kept, collections=minute // 30)


CASES = (
    *(Case(f"cache fills in 40 min, a line, {rate} requests/s", False, 6, _cache(rate, 40, False)) for rate in (1.7, 10, 30, 300)),
    Case("cache fills in 100 min, equally likely keys, 30 requests/s", False, 6, _cache(30, 100, True)),
    Case("baskets that live 30 min, traffic rises twentyfold in a morning", False, 18, _baskets),
    Case("garbage of a TLS server between full collections", False, 8, _garbage),
    Case("bounded cache in C (10,000 pieces)", False, 8, _native_cache),
    Case("one bounded query log for each thread", False, 8, _logs),
    Case("warm-up of 3.6 MB, then level", False, 3, _warm_up),
    Case("quiet site with an lru_cache(500)", False, 6, _quiet_site),
    Case("leak in C beside a dict that grows slowly, no full collection", True, 8, _native),
    Case("leak in C in pools that double", True, 14, _pools),
    Case("leak of mapped memory", True, 6, _mapped),
    Case("leak of sessions that are not seen for two hours", True, 4, _late_types),
    Case("leak of timer handles", True, 8, _timers),
)  # fmt: skip


def told(case: Case) -> Iterator[str]:
    """What is told in a case, and when."""
    logging.getLogger("memprof").setLevel(logging.CRITICAL + 1)
    clock, probes = FakeClock(), FakeProbes(limit_mb=LIMIT_MB)
    profiler = MemoryProfiler(Config(background=False, cpu_budget=100, evidence=False), clock=clock, probes=probes)
    minute, heard = 0, []
    profiler.register_leak_callback(lambda leak: heard.append(f"suspected {leak.name} after {_time(minute)}"))
    profiler.register_alert_callback(
        lambda alert: heard.append(f"{alert.name} {alert.subject} {'begins' if alert.active else 'ends'} at {_time(minute)}")
    )  # fmt: skip
    before = 0
    for minute in range(1, int(60 * case.hours)):
        state = case.at(minute)
        deque(map(profiler.traffic.end, itertools.repeat("GET /", state.requests - before)), maxlen=0)
        profiler.traffic.started = before = state.requests
        kept = sum(one.length * (one.entry_bytes or 0.0) for one in state.kept) / MB
        native = 12 + kept + state.native_mb
        probes.counts = {"builtins.function": 4000} | state.counts
        probes.kept = Containers(tuple(one for one in state.kept if one.length >= 8), 10_000)
        probes.collections = (0, 0, state.collections)
        probes.heap_mb = BASE_MB + kept + state.native_mb + state.mapped_mb
        probes.allocated = AllocatorStats(int(native * MB), 2 * MB, 250_000 + state.blocks, "fake")
        profiler.take_snapshot()
        profiler.detect_leaks()
        profiler.check_thresholds()
        if minute % 5 == 0:
            profiler.judge_routes()
        clock.advance(60)
    profiler.stop()
    return iter(heard)


def _time(minute: int) -> str:
    return f"{minute // 60}:{minute % 60:02d}"


def table() -> str:
    """All cases in Markdown."""
    lines = ["| case | leak | hours | told |", "|---|---|---|---|"]
    for case in CASES:
        heard = [text.replace("  ", " ") for text in told(case)]
        lines.append(f"| {case.what} | {'yes' if case.leaks else 'no'} | {case.hours:g} | {'; '.join(heard) or 'nothing'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
