"""The ten states of the page, as servers that could be in them: made up, seeded, and built like any other."""

from __future__ import annotations

import dataclasses
import math
import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.leaks.room import room_of
from memprof_middleware.leaks.verdicts import timed
from memprof_middleware.model import (
    Estimate,
    Forecast,
    Leak,
    MemoryMetrics,
    MemorySnapshot,
    Outlook,
    Resolved,
    RouteGrowth,
)
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.ignored import Acknowledged, Ignored
from memprof_middleware.model.urgency import fill_urgency
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.state.build import build_state
from memprof_middleware.workers.timeline import COLUMNS, Timeline

NOW = 1_795_452_667.0  # 2026-11-23 16:51:07 UTC
TOKEN = "open-sesame-42"
ACTIONS = ["bundle", "flame", "save", "acknowledge", "ignore", "watch"]
MB = 2**20
BUNDLE = {
    "id": "memprof-20261123T155200Z-4242",
    "why": "Leak confirmed: shop.cart.SESSIONS",
    "pid": 4242,
    "time": NOW - 3547,
    "bytes": 11_400,
}


@dataclasses.dataclass(kw_only=True)
class Worker:
    """One process.

    Attributes:
        pid: the process.
        start_mb: memory in use at first.
        per_hour: growth of memory in use, in MB an hour.
        native: growth of the C library's part of it.
        hours: how long it was watched.
        types: live objects at first, and growth an hour, by type.
        silent: seconds since its last word.
        forecast: the time to its limit, in seconds: early and late end.
        limit_mb: of it alone.
        noise: of memory in use, in MB.
        every: seconds between two snapshots.
    """

    pid: int
    start_mb: float
    per_hour: float = 0.0
    native: float = 0.0
    hours: float = 6.17
    types: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    silent: float = 0.0
    forecast: tuple[float, float] | None = None
    limit_mb: float = 512.0
    noise: float = 1.2
    every: float = 60.0


@dataclasses.dataclass(kw_only=True)
class Server:
    """Some workers, what leaks in them, and what is known beside.

    Attributes:
        workers: the processes.
        leaks: what grows, and in which workers; an empty tuple: in all.
        config: the settings.
        routes: what requests keep, by route.
        about: as :func:`build_state` takes it.
        container: used and limit, in MB.
        counted_ago: how old the counts are.
        snapshots: how many were taken; ``None``: one a minute.
        requests: in each worker.
        acknowledged: incidents that somebody knows of.
        ignored: what is not judged.
        resolved: what is over.
    """

    workers: Sequence[Worker]
    leaks: Sequence[tuple[Leak, tuple[int, ...]]] = ()
    config: Config = dataclasses.field(default_factory=lambda: Config(release="2.4.1"))
    routes: tuple[RouteGrowth, ...] = ()
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    container: tuple[float, float] | None = None
    counted_ago: float = 4.0
    snapshots: int | None = None
    requests: int = 21_630
    acknowledged: tuple[Acknowledged, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    resolved: tuple[Resolved, ...] = ()

    def state(self) -> dict[str, Any]:
        """The state that its page shows."""
        timelines = {str(slot): self._timeline(slot, worker) for slot, worker in enumerate(self.workers)}
        about = {"host": "shop-web-7f9c", "python": "3.12.7", "version": "0.2.0", "page_ms": 9.0}
        about |= {"page_cpu_percent": 0.01, "actions": ACTIONS} | dict(self.about)
        metrics = [self._metrics(slot, worker) for slot, worker in enumerate(self.workers)]
        return build_state(metrics, timelines, timelines.get, self.config, now=NOW, about=about)

    def profiler(self, **settings: Any) -> MemoryProfiler:
        """A profiler that has these figures, for a page that is really served."""
        told = {"release": self.config.release, "leak_confirm_requests": self.config.leak_confirm_requests}
        config = Config(background=False, **{"token": TOKEN, "evidence_dir": "/nowhere", **told, **settings})
        profiler = MemoryProfiler(config, clock=FakeClock(NOW), probes=FakeProbes())
        timelines = {str(slot): self._timeline(slot, worker) for slot, worker in enumerate(self.workers)}
        metrics = [self._metrics(slot, worker) for slot, worker in enumerate(self.workers)]
        profiler.workers = lambda: list(metrics)  # type: ignore[method-assign]
        profiler.pasts.read = lambda own, columns: (timelines, timelines.get)  # type: ignore[method-assign]
        return profiler

    def _timeline(self, slot: int, worker: Worker) -> Timeline:
        rnd = random.Random(worker.pid)
        rows = int(worker.hours * 3600 / worker.every) + 1
        last = NOW - 4 - worker.silent
        times = array("d", [last - worker.every * (rows - 1 - i) for i in range(rows)])
        hours = [i * worker.every / 3600 for i in range(rows)]
        used = [worker.start_mb + worker.per_hour * h + rnd.gauss(0, worker.noise) for h in hours]
        native = [0.18 * worker.start_mb + worker.native * h for h in hours]
        figures = {name: array("f", [math.nan]) * rows for name in COLUMNS}
        figures["pid"] = array("f", [worker.pid]) * rows
        figures["heap_used_mb"] = array("f", used)
        figures["rss_mb"] = array("f", [mb + 27 for mb in used])
        figures["native_in_use_mb"] = array("f", native)
        figures["native_retained_mb"] = array("f", [0.05 * worker.start_mb + 0.4 * h for h in hours])
        figures["file_mb"] = array("f", [18.0]) * rows
        figures["shared_mb"] = array("f", [0.0]) * rows
        if self.container:
            figures["container_used_mb"] = array("f", [self.container[0] + rnd.gauss(0, 6) for _ in hours])
        types = {
            name: array("f", [round(first + each * h + rnd.gauss(0, 0.01 * each)) for h in hours])
            for name, (first, each) in ({"builtins.function": (11_400.0, 0.3)} | dict(worker.types)).items()
        }
        return Timeline(worker=str(slot), times=times, figures=figures, types=types)

    def _metrics(self, slot: int, worker: Worker) -> MemoryMetrics:
        used = worker.start_mb + worker.per_hour * worker.hours
        snapshots = int(60 * worker.hours) if self.snapshots is None else self.snapshots
        snapshot = MemorySnapshot(
            timestamp=NOW - 4 - worker.silent,
            pid=worker.pid,
            heap_size_mb=worker.limit_mb,
            heap_size_source="cgroup v2" if self.container else "RLIMIT_AS",
            heap_used_mb=used,
            rss_mb=used + 27,
            container_used_mb=self.container and self.container[0],
            container_size_mb=self.container and self.container[1],
            total_objects=148_400,
            gc_collections=(9000, 800, 41),
            gc_per_hour=2.0,
            gc_pause_seconds=4.9,
            gc_pause_max_seconds=0.011,
            census_timestamp=NOW - self.counted_ago - worker.silent,
            census_cpu_seconds=0.021,
            census_stall_seconds=0.031 if self.counted_ago > 120 else 0.0064,
            duration_seconds=0.03,
        )
        outlook = None
        if worker.forecast is not None:
            low, high = worker.forecast
            outlook = Outlook(
                used_mb=used,
                limit_mb=worker.limit_mb,
                low_seconds=low,
                high_seconds=high,
                mb_per_hour=worker.per_hour,
                seen_hours=worker.hours,
            )
        leaks = [leak for leak, pids in self.leaks if not pids or worker.pid in pids]
        room = room_of(snapshot, workers=len(self.workers))
        assert room is not None
        ahead = Ahead(room.left, room.shared, None if room.shared else outlook)
        told = self.config
        fill = fill_urgency(snapshot.heap_percent, told.heap_warning_percent, told.heap_critical_percent)
        return MemoryMetrics(
            worker=str(slot),
            pid=worker.pid,
            start_time=NOW - 3600 * worker.hours - (4 if snapshots == 0 else 120),
            snapshot=snapshot if snapshots else None,
            leaks=tuple(timed(leaks, fill, ahead)),
            snapshots_taken=snapshots,
            censuses_taken=snapshots,
            census_skipped={"stall": 40} if self.counted_ago > 120 else {},
            requests=self.requests - 31 * slot,
            cpu_seconds=0.0004 * 3600 * worker.hours,
            history_bytes=80_900,
            route_growth=self.routes if not slot else (),
            answering=not slot,
            forecast=Forecast(worker=outlook),
            acknowledged=self.acknowledged,
            ignored=self.ignored,
            resolved=self.resolved,
        )


def leak(**more: Any) -> Leak:
    """A confirmed leak of sessions, changed as a test likes."""
    told: dict[str, Any] = {
        "name": "shop.models.Session",
        "state": "confirmed",
        "severity": "critical",
        "confidence": 0.99,
        "path": "shop.cart.SESSIONS[*]",
        "holder": "shop.cart.SESSIONS[*]",
        "share": 1.0,
        "file": "shop/cart.py",
        "line": 14,
        "filled_in": ("add_to_cart, line 31",),
        "pattern": "module_mapping",
        "route": "POST /cart",
        "route_share": 0.97,
        "route_per_request": Estimate(1.0, 0.98, 1.02),
        "first": 312,
        "last": 12_152,
        "growth_percent": 3795.0,
        "growth_per_hour": 1920.0,
        "growth_per_request": 0.35,
        "bytes_per_hour": 49.0 * MB,
        "since": NOW - 6.16 * 3600,
        "detected_at": NOW - 5.9 * 3600,
        "snapshots": 370,
        "also": ("builtins.dict", "builtins.list"),
        "evidence": (
            "it has taken 302 MB, 74 % of what was left of 512 MB, in 6.2 h",
            "it grows in a straight line with POST /cart: of late at 98 % of its first pace",
            "it has survived 41 full collections",
        ),
    }
    return Leak(**(told | more))


def route(name: str, unit: str, value: float, low: float, high: float, share: float) -> RouteGrowth:
    """What the requests of one route keep."""
    return RouteGrowth(
        route=name,
        unit=unit,
        requests=11_840,
        windows=300,
        kept=value * 11_840,
        share=share,
        per_hour=value * 1920,
        per_request=Estimate(value, low, high),
    )


WATCHED = leak(
    name="urllib.parse.SplitResult",
    state="suspected",
    severity="low",
    confidence=0.3,
    notable=False,
    path="urllib.parse.urlsplit[*]",
    holder="urllib.parse.urlsplit[*]",
    pattern="",
    first=20,
    last=82,
    growth_per_hour=10.0,
    bytes_per_hour=0.0,
)
_SESSIONS = {
    "shop.models.Session": (312.0, 1920.0),
    "builtins.dict": (6_700.0, 1933.0),
    "builtins.list": (7_700.0, 3842.0),
}


def leak_urgent() -> Server:
    """One confirmed leak, the limit in 1 h 50 min, four workers."""
    first = (4242, 121, 49.0, (5_700.0, 7_800.0))
    grows = (first, (4243, 108, 47.0, None), (4244, 100, 45.0, None), (4245, 81, 44.0, None))
    workers = [
        Worker(pid=pid, start_mb=mb, per_hour=each, types=_SESSIONS, forecast=span) for pid, mb, each, span in grows
    ]
    routes = (route("POST /cart", "bytes", 26_600.0, 25_000.0, 28_000.0, 0.97),)
    return Server(workers=workers, leaks=((leak(), ()), (WATCHED, ())), routes=routes, about={"bundles": [BUNDLE]})


def leak_ticket() -> Server:
    """Confirmed, the limit 17 days away, counts four minutes old."""
    price = leak(
        name="shop.pricing.PriceList",
        confidence=0.96,
        path="shop.pricing.PriceList.quote[*][*]",
        holder="shop.pricing.PriceList.quote[*][*]",
        file="shop/pricing.py",
        line=57,
        filled_in=(),
        pattern="lru_method",
        route="GET /quote/{customer}",
        route_share=0.91,
        route_per_request=Estimate(0.2, 0.19, 0.21),
        first=40,
        last=3160,
        growth_per_hour=60.0,
        bytes_per_hour=4.0 * MB,
        since=NOW - 52 * 3600,
        also=("builtins.dict", "builtins.tuple"),
    )
    types = {"shop.pricing.PriceList": (2_800.0, 60.0), "builtins.dict": (18_000.0, 61.0)}
    workers = [Worker(pid=811 + n, start_mb=366 - 6 * n, per_hour=4.0, types=types, limit_mb=2048.0) for n in (0, 1)]
    known = Acknowledged(incident="shop.pricing.PriceList.quote", urgency="plan", since=NOW - 5467)
    leaks = ((price, ()), (WATCHED, ()))
    return Server(workers=workers, leaks=leaks, counted_ago=240.0, about={"bundles": [BUNDLE]}, acknowledged=(known,))


def native() -> Server:
    """A leak in C code, 11 hours to go, its route known."""
    one = leak(
        name="native memory",
        kind="native",
        confidence=0.93,
        path="",
        holder="held in native memory",
        share=None,
        file="",
        line=0,
        filled_in=(),
        pattern="native",
        route="POST /preview",
        route_share=0.99,
        route_per_request=Estimate(223_000.0, 215_000.0, 231_000.0),
        first=62 * MB,
        last=379 * MB,
        growth_per_hour=34.0 * MB,
        bytes_per_hour=34.0 * MB,
        since=NOW - 5.9 * 3600,
        also=(),
    )
    workers = [
        Worker(pid=31, start_mb=430, per_hour=34.0, native=34.0, limit_mb=1024.0, forecast=(37_700.0, 43_700.0)),
        Worker(pid=32, start_mb=413, per_hour=31.0, native=31.0, limit_mb=1024.0),
    ]
    return Server(workers=workers, leaks=((one, ()),), about={"bundles": [BUNDLE]})


def workers16() -> Server:
    """One of sixteen workers leaks, another was not heard of for 95 s."""
    tasks = leak(
        name="task feed.stream",
        kind="container",
        confidence=0.98,
        path="feed.HUB.subscribers[*]",
        holder="",
        file="feed.py",
        line=88,
        filled_in=(),
        pattern="task_unfinished",
        route="WS /feed",
        route_share=1.0,
        route_per_request=Estimate(1.0, 0.95, 1.05),
        first=2,
        last=1412,
        growth_per_hour=240.0,
        bytes_per_hour=36.0 * MB,
        since=NOW - 5.88 * 3600,
        also=("_asyncio.Task", "asyncio.queues.Queue"),
    )
    types = {"_asyncio.Task": (12.0, 240.0), "asyncio.queues.Queue": (3.0, 240.0)}
    workers = [Worker(pid=20_061, start_mb=182, per_hour=36.0, types=types, forecast=(9_540.0, 11_940.0))]
    workers += [Worker(pid=20_037, start_mb=208, per_hour=0.3, silent=181.0)]
    workers += [Worker(pid=20_040 + 2 * n, start_mb=190 + 2 * n, per_hour=0.1) for n in range(14)]
    return Server(workers=workers, leaks=((tasks, (20_061,)), (WATCHED, ())), about={"bundles": [BUNDLE]})


def two_incidents() -> Server:
    """A second, less urgent leak, and one that was resolved."""
    first = leak_urgent()
    handlers = leak(
        name="shop.audit.LOG.handlers",
        kind="container",
        confidence=0.91,
        path="",
        holder="",
        pattern="log_handler",
        route="GET /export",
        route_share=0.9,
        route_per_request=Estimate(1.0, 0.97, 1.03),
        first=3,
        last=1_900,
        growth_per_hour=310.0,
        bytes_per_hour=0.1 * MB,
        also=(),
    )
    over = leak(name="shop.mail.OUTBOX", kind="container", path="", holder="", state="resolved", confidence=0.9)
    ended = Resolved(leak=over, at=NOW - 1860, why="was freed")
    return dataclasses.replace(first, leaks=(*first.leaks, (handlers, ())), resolved=(ended,))


def nearly_full() -> Server:
    """The container is 86 % full, level, and nothing leaks."""
    workers = [Worker(pid=4242 + n, start_mb=221 - n, limit_mb=1024.0, noise=1.0) for n in range(4)]
    return Server(workers=workers, leaks=((WATCHED, ()),), container=(884.0, 1024.0))


def suspected() -> Server:
    """Above the limits of growth, not confirmed."""
    hit = leak(
        name="shop.search.Hit",
        state="suspected",
        confidence=0.62,
        path="shop.search.CACHE[*]",
        holder="shop.search.CACHE[*]",
        file="shop/search.py",
        line=9,
        filled_in=(),
        share=None,
        route="GET /search",
        route_share=0.88,
        first=210,
        last=1380,
        growth_per_hour=5400.0,
        growth_per_request=1.0,
        decided_requests=8_830.0,
        decided_seconds=5_760.0,
        bytes_per_hour=87.0 * MB,
        since=NOW - 780,
        also=("builtins.dict",),
    )
    types = {"shop.search.Hit": (210.0, 5400.0), "builtins.dict": (4100.0, 5450.0)}
    workers = [Worker(pid=4242 + n, start_mb=163 + n, per_hour=80.0, hours=0.4, types=types) for n in range(4)]
    config = Config(release="2.4.1", leak_confirm_requests=10_000)
    return Server(workers=workers, leaks=((hit, ()), (WATCHED, ())), config=config)


def healthy() -> Server:
    """Nothing to do."""
    workers = [Worker(pid=4242 + n, start_mb=181 - 4 * n, per_hour=0.1 * (n % 2)) for n in range(4)]
    cities = leak(name="shop.geo.CITIES", kind="container", first=9_120, last=9_340, path="", holder="")
    ignored = (
        Ignored(item="shop.geo.CITIES", reason="a table of cities, loaded on demand", leaks=(cities,)),
        Ignored(item="route:GET /report", by="page", since=NOW - 900),
    )
    return Server(workers=workers, leaks=((WATCHED, ()),), requests=327_500, ignored=ignored)


def learning() -> Server:
    """Three of eight minutes."""
    one = Worker(pid=4242, start_mb=38, per_hour=200.0, hours=0.07, noise=0.2)
    return Server(workers=[one], snapshots=4, requests=214)


def started() -> Server:
    """Four seconds old."""
    return Server(workers=[Worker(pid=4242, start_mb=38, hours=0.0)], snapshots=0, requests=0)


TEN: dict[str, Callable[[], Server]] = {
    "leak-urgent": leak_urgent,
    "leak-ticket": leak_ticket,
    "native": native,
    "workers16": workers16,
    "two-incidents": two_incidents,
    "nearly-full": nearly_full,
    "suspected": suspected,
    "healthy": healthy,
    "learning": learning,
    "started": started,
}
