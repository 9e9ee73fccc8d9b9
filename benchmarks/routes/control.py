"""How the benchmark steers an application under test: begin a run, and read what it found."""

from __future__ import annotations

import json
import os

from benchmarks.routes import rss_delta, work
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.routes import watch as route_watch

profiler = MemoryProfiler(Config(interval=float(os.environ.get("BENCH_INTERVAL", "1")), warmup_snapshots=0))


def begin(grows: bool) -> str:
    """Forget the run before."""
    work.clear()
    rss_delta.blamed.clear()
    profiler._monitor.features.routes = route_watch.RouteWatch(
        profiler.traffic,
        profiler._monitor.probes,
        profiler.now,
        0,
        profiler.failures,
        CpuBudget(100.0),  # whatever it costs
    )
    if grows:
        work.grows_by_itself.set()
    return "{}"


def found() -> str:
    """What the profiler says now, and what the peer does."""
    growth = [item.to_dict() for item in profiler.judge_routes()]
    return json.dumps(
        {
            "growth": growth,
            "rss": dict(rss_delta.blamed),
            "windows": profiler._monitor.features.routes.published().to_dict(),
        }
    )


def windows() -> str:
    """How many windows have passed."""
    return str(len(profiler._monitor.features.routes._spans))
