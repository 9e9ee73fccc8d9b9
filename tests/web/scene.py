"""A server of four workers over six hours: one leak, one cache that fills, one leak that is over. Made up, seeded."""

from __future__ import annotations

import dataclasses
import math
import random
from array import array
from typing import Any

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.leaks.room import room_of
from memprof_middleware.leaks.verdicts import timed
from memprof_middleware.model import MB, Estimate, Forecast, Leak, MemoryMetrics, MemorySnapshot
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.urgency import fill_urgency
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.workers.timeline import COLUMNS, Timeline

NOW = 1_795_472_720.0  # 2026-11-23 22:25:20 UTC
MINUTES = 360
LEAK_AT = 130
LIMIT_MB = 512.0
TOKEN = "open-sesame-42"
LEAKING = "shop.models.Session"
# pid, memory at first in MB, growth in MB a minute, minute of its first snapshot
WORKERS = ((4242, 236, 0.80, 0), (4243, 231, 0.74, 0), (4244, 240, 0.77, 0), (4251, 148, 0.70, 250))
TYPES = {
    LEAKING: (1800, 32.0),
    "builtins.dict": (214_000, 66.0),
    "builtins.function": (88_000, 0.02),
    "builtins.tuple": (131_000, 4.0),
    "shop.pricing.Quote": (9_800, 0.0),
    "_asyncio.Task": (44, 0.0),
    "builtins.cell": (39_000, 0.4),
}


def minute(number: int) -> float:
    return NOW - 60 * (MINUTES - 1 - number)


def leak(**more: Any) -> Leak:
    told: dict[str, Any] = {
        "name": LEAKING,
        "state": "confirmed",
        "severity": "critical",
        "confidence": 0.97,
        "path": "shop.cart.SESSIONS[*].user",
        "holder": "shop.cart.SESSIONS[*].user",
        "share": 0.98,
        "file": "shop/cart.py",
        "line": 14,
        "filled_in": ("add_to_cart, line 31",),
        "route": "POST /cart/add",
        "route_share": 0.97,
        "route_per_request": Estimate(1.0, 0.97, 1.03),
        "first": 1800,
        "last": 9160,
        "growth_percent": 409.0,
        "growth_per_hour": 1920.0,
        "growth_per_request": 1.0,
        "since": minute(LEAK_AT),
        "detected_at": minute(LEAK_AT + 10),
        "snapshots": 230,
        "also": ("builtins.dict", "builtins.str"),
        "evidence": ("it rose in 228 of 229 snapshots", "it outgrew every type that was there at the start"),
    }
    return Leak(**(told | more))


CACHE = leak(
    name="shop.pricing._quotes (lru_cache)",
    kind="container",
    state="suspected",
    severity="medium",
    confidence=0.41,
    holder="",
    path="",
    share=None,
    route="GET /product/{id}",
    route_per_request=None,
    first=900,
    last=9830,
    growth_per_hour=120.0,
    growth_per_request=0.004,
    since=minute(40),
    also=(),
    evidence=(),
)
OVER = leak(
    name="aiohttp.ClientResponse",
    state="resolved",
    severity="high",
    confidence=0.93,
    holder="",
    path="",
    route="",
    first=3,
    last=4,
    growth_per_hour=0.0,
    growth_per_request=None,
    also=(),
    evidence=(),
)


def timeline(worker: int, *, leaks: bool = True) -> Timeline:
    """The past of one of the workers."""
    pid, base, slope, born = WORKERS[worker % len(WORKERS)]
    rnd = random.Random(worker)
    rows = range(born, MINUTES)
    grown = [slope * max(0, i - max(LEAK_AT, born)) * leaks for i in rows]
    figures = {name: array("f", [math.nan]) * len(rows) for name in COLUMNS}
    figures["pid"] = array("f", [pid + 100 * (worker // len(WORKERS))]) * len(rows)
    warm = [base * (1 - 0.25 * math.exp(-(i - born) / 18)) + 6 * math.sin(i / 9 + worker) for i in rows]
    used = [w + g + rnd.gauss(0, 1.6) for w, g in zip(warm, grown, strict=True)]
    figures["heap_used_mb"] = array("f", used)
    figures["rss_mb"] = array("f", [mb + 47 for mb in used])
    figures["native_in_use_mb"] = array("f", [41 + 0.3 * math.sin(i / 20) for i in rows])
    figures["native_retained_mb"] = array("f", [22 + 0.1 * g for g in grown])
    figures["file_mb"] = array("f", [38.0]) * len(rows)
    figures["shared_mb"] = array("f", [9.0]) * len(rows)
    types = {
        name: array(
            "f",
            [
                first + each * g / slope + first * 0.02 * math.sin(i / 11 + len(name)) * (name != LEAKING)
                for i, g in zip(rows, grown, strict=True)
            ],
        )
        for name, (first, each) in TYPES.items()
    }
    return Timeline(worker=str(worker), times=array("d", [minute(i) for i in rows]), figures=figures, types=types)


def metrics(worker: int, past: Timeline, leaks: tuple[Leak, ...], *, answering: bool = False) -> MemoryMetrics:
    """What that worker tells."""
    used = past.figures["heap_used_mb"][-1]
    snapshot = MemorySnapshot(
        timestamp=past.times[-1],
        pid=int(past.figures["pid"][-1]),
        heap_size_mb=LIMIT_MB,
        heap_size_source="RLIMIT_AS",
        heap_used_mb=used,
        rss_mb=used + 47,
        total_objects=1_310_000 + 40_000 * worker,
        object_counts={name: int(counts[-1]) for name, counts in past.types.items()},
        gc_collections=(80_123, 7_283, 41),
        gc_per_hour=6.8,
        gc_pause_seconds=19.7,
        gc_pause_max_seconds=0.212,
        census_cpu_seconds=0.071,
        census_stall_seconds=0.018,
        duration_seconds=0.09,
    )
    return MemoryMetrics(
        worker=str(worker),
        pid=snapshot.pid,
        start_time=past.times[0] - 2,
        snapshot=snapshot,
        leaks=leaks,
        snapshots_taken=len(past.times),
        censuses_taken=len(past.times),
        requests=81_233 - 700 * worker,
        cpu_seconds=27.0,
        history_bytes=400_000,
        route_growth=(),
        answering=answering,
    )


def _told(one: MemoryMetrics, workers: int) -> MemoryMetrics:
    if one.snapshot is None:
        return one
    config, snapshot = Config(), one.snapshot
    taken = 60 * MB * WORKERS[int(one.worker) % len(WORKERS)][2]
    leaks = [
        dataclasses.replace(leak, bytes_per_hour=taken) if leak.state == "confirmed" else leak for leak in one.leaks
    ]
    room, forecast = room_of(snapshot, workers=workers), one.forecast or Forecast()
    outlook = forecast.shared if room is not None and room.shared else forecast.worker
    ahead = Ahead() if room is None else Ahead(room.left, room.shared, outlook)
    fill = fill_urgency(snapshot.heap_percent, config.heap_warning_percent, config.heap_critical_percent)
    return dataclasses.replace(one, leaks=tuple(timed(leaks, fill, ahead)))


class Scene:
    """What a profiler would tell of such a server; a test changes what it likes.

    Attributes:
        metrics: the figures of the live workers.
        timelines: their timelines.
        clock: the time.
    """

    def __init__(self, leaks: tuple[Leak, ...] = (leak(), CACHE, OVER), workers: int = 4) -> None:
        self.clock = FakeClock(NOW)
        grows = any(one.state == "confirmed" for one in leaks)
        self.timelines = {str(number): timeline(number, leaks=grows) for number in range(workers)}
        self.metrics = [
            metrics(number, self.timelines[str(number)], leaks, answering=number == 1 % workers)
            for number in range(workers)
        ]

    def told(self) -> list[MemoryMetrics]:
        """The figures with the time to the limit of each leak, as each worker tells it."""
        return [_told(one, len(self.metrics)) for one in self.metrics]

    def profiler(self, **settings: Any) -> MemoryProfiler:
        """A profiler that tells this."""
        # What other programs of this user have written as evidence is no part of the scene.
        config = Config(background=False, **{"token": TOKEN, "evidence_dir": "/nowhere", **settings})
        profiler = MemoryProfiler(config, clock=self.clock, probes=FakeProbes())
        profiler.workers = self.told  # type: ignore[method-assign]
        profiler.pasts.read = lambda own, columns: (self.timelines, self.timelines.get)  # type: ignore[method-assign]
        return profiler
