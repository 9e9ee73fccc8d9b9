"""The metric behind the critical-leak alert: which types leak now, and how badly."""

from prometheus_client import CollectorRegistry, generate_latest

from memprof_middleware import Config, Leak, MemoryCollector, MemoryMetrics, MemoryProfiler
from memprof_middleware.metrics.collector import MetricsSource
from memprof_middleware.testing import FakeClock, FakeProbes


def exposed(profiler: MetricsSource) -> list[str]:
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    return [
        line
        for line in generate_latest(registry).decode().splitlines()
        if line.startswith("fogcompute_memory_leaking_objects{")
    ]


def test_a_leak_is_told_by_type_and_by_what_it_is_now():
    """A leak that was called while it was small carries its present severity, and goes when it ends."""
    clock, probes = FakeClock(), FakeProbes()
    profiler = MemoryProfiler(Config(background=False), clock=clock, probes=probes)
    seen = []
    for step in range(60):
        probes.counts["shop.Order"] = 1000 + 100 * step
        profiler.step()
        clock.advance(60)
        seen += [line for line in exposed(profiler) if line not in seen]
    severities = [line.split('severity="')[1].split('"')[0] for line in seen]
    assert severities == sorted(severities, key=["low", "medium", "high", "critical"].index)
    assert {"low", "critical"} <= set(severities)
    [line] = exposed(profiler)
    assert line.endswith('{object_type="shop.Order",severity="critical",state="suspected",worker="0"} 6900.0')
    probes.counts["shop.Order"] = 100
    for _ in range(10):
        profiler.step()
        clock.advance(60)
    assert exposed(profiler) == []


class Leaking:
    """A worker with thirty leaks, five of them critical."""

    namespace = "fogcompute"

    def settle(self) -> None:
        """It is seen."""

    def workers(self) -> list[MemoryMetrics]:
        leaks = tuple(
            Leak(
                name=f"shop.Type{number:02}",
                severity="critical" if number < 5 else "low",
                first=1,
                last=9,
                growth_percent=800,
                growth_per_hour=1,
                since=0,
                detected_at=0,
                snapshots=9,
            )
            for number in range(30)
        )
        return [MemoryMetrics(worker="0", pid=1, start_time=0, leaks=leaks)]


def test_a_program_that_leaks_everywhere_does_not_flood_the_scrape():
    """At most twenty leaks are told, the worst first."""
    lines = exposed(Leaking())
    assert len(lines) == 20
    assert sum('severity="critical"' in line for line in lines) == 5
