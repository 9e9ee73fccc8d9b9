"""The metric behind the critical-leak alert: which types leak now, and how badly."""

from prometheus_client import CollectorRegistry, generate_latest

from memprof_middleware import Config, MemoryCollector, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes


def exposed(profiler: MemoryProfiler) -> list[str]:
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
    assert exposed(profiler) == [
        'fogcompute_memory_leaking_objects{object_type="shop.Order",severity="critical",worker="0"} 6900.0'
    ]
    probes.counts["shop.Order"] = 100
    for _ in range(10):
        profiler.step()
        clock.advance(60)
    assert exposed(profiler) == []


def test_a_program_that_leaks_everywhere_does_not_flood_the_scrape():
    """At most twenty types are told, the worst first."""
    clock, probes = FakeClock(), FakeProbes()
    profiler = MemoryProfiler(Config(background=False), clock=clock, probes=probes)
    for step in range(12):
        probes.counts = {f"shop.Type{number:02}": 1000 + (2000 if number < 5 else 100) * step for number in range(30)}
        profiler.step()
        clock.advance(60)
    lines = exposed(profiler)
    assert len(lines) == 20
    assert sum('severity="critical"' in line for line in lines) == 5
