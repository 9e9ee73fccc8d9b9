"""The catalogue: the names of the contract, served from the last snapshot."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from memprof_middleware import Config, MemoryCollector, MemoryProfiler
from memprof_middleware.metrics.catalogue import CATALOGUE
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.text.version import package_version

# Copied from the contract by hand: this list is what others have built dashboards on.
CONTRACT = {
    "fogcompute_memory_heap_size_mb": (),
    "fogcompute_memory_heap_used_mb": (),
    "fogcompute_memory_heap_percent": (),
    "fogcompute_memory_total_objects": (),
    "fogcompute_memory_gc_collections_gen0": (),
    "fogcompute_memory_gc_collections_gen1": (),
    "fogcompute_memory_gc_collections_gen2": (),
    "fogcompute_memory_gc_collections_total": ("generation",),
    "fogcompute_memory_baseline_drift_mb": (),
    "fogcompute_memory_tracemalloc_current_mb": (),
    "fogcompute_memory_tracemalloc_peak_mb": (),
    "fogcompute_memory_rss_mb": (),
    "fogcompute_memory_vms_mb": (),
    "fogcompute_memory_active_leaks": (),
    "fogcompute_memory_leak_detections_total": ("severity",),
    "fogcompute_memory_baseline_drift_percent": (),
    "fogcompute_memory_object_count": ("object_type",),
}


@pytest.fixture
def profiler() -> Iterator[MemoryProfiler]:
    """Twelve snapshots, a leak, a baseline and a trace: every metric has a sample."""
    clock, probes = FakeClock(), FakeProbes(heap_mb=250, limit_mb=1000)
    laboratory = Config(background=False, leak_confirm_hours=6)
    profiler = MemoryProfiler(laboratory, clock=clock, probes=probes)
    probes.traced = (3 << 20, 4 << 20)
    for number in range(12):
        probes.collections = (100 + number, 10, number)
        probes.heap_mb = 250 + number
        probes.counts = {"shop.Cart": 100 + 100 * number, "builtins.dict": 10_000}
        profiler.step()
        clock.advance(60)
    probes.broken = {"limit"}
    yield profiler
    profiler.stop()


def samples(profiler: MemoryProfiler) -> dict[str, list[Sample]]:
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    found: dict[str, list[Sample]] = {}
    for family in parse_text(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_all_names_of_the_contract_are_there(profiler: MemoryProfiler) -> None:
    """The 17 names and the info metric have samples, with exactly the labels of the contract and ``worker``."""
    found = samples(profiler)
    assert len(CONTRACT) == 17
    for name, labels in CONTRACT.items():
        assert found[name], name
        assert all(set(sample.labels) == {"worker", *labels} for sample in found[name])
    [info] = found["fogcompute_memory_profiler_info"]
    assert info.value == 1
    assert info.labels["version"] == package_version()


def test_who_counts_the_objects(profiler: MemoryProfiler) -> None:
    """An info metric says which census runs: ``pure`` or ``compiled``."""
    [info] = samples(profiler)["fogcompute_memory_census_info"]
    assert (info.value, info.labels["kind"]) == (1, "pure")


def test_the_figures_are_those_of_the_last_snapshot(profiler: MemoryProfiler) -> None:
    """Values in MB of 2^20 bytes, percentages, counts and drift, as measured."""
    found = {
        name.removeprefix("fogcompute_memory_"): [s.value for s in group] for name, group in samples(profiler).items()
    }
    assert (found["heap_size_mb"], found["heap_used_mb"], found["heap_percent"]) == ([1000], [261], [26.1])
    assert (found["rss_mb"], found["vms_mb"], found["total_objects"]) == ([522], [783], [11_200])
    assert (found["gc_collections_gen0"], found["gc_collections_gen2"]) == ([111], [11])
    assert found["gc_collections_total"] == [111, 10, 11]
    assert (found["tracemalloc_current_mb"], found["tracemalloc_peak_mb"]) == ([3], [4])
    assert found["active_leaks"] == [1]
    assert found["baseline_drift_mb"] == [8]
    assert found["baseline_drift_percent"] == [pytest.approx(100 * 8 / 253)]
    assert found["snapshots_total"] == [12]


def test_labels(profiler: MemoryProfiler) -> None:
    """Generations 0 to 2, all four severities from the start, and types as ``module.QualName``."""
    found = samples(profiler)
    assert [s.labels["generation"] for s in found["fogcompute_memory_gc_collections_total"]] == ["0", "1", "2"]
    assert [s.labels["severity"] for s in found["fogcompute_memory_leak_detections_total"]] == [
        "low",
        "medium",
        "high",
        "critical",
    ]
    assert {s.labels["object_type"]: s.value for s in found["fogcompute_memory_object_count"]} == {
        "builtins.dict": 10_000,
        "shop.Cart": 1200,
    }


def test_every_sample_names_its_worker(profiler: MemoryProfiler) -> None:
    """The label ``worker`` is on every sample of every family; where a figure is about all workers it says so."""
    (own,) = profiler.workers()
    profiler.workers = lambda: [dataclasses.replace(own, worker="7")]
    for group in samples(profiler).values():
        assert {sample.labels["worker"] for sample in group} <= {"7", "all"}


def test_both_formats_parse(profiler: MemoryProfiler) -> None:
    """prometheus_client's own parsers read both formats, each family once, and find the same values."""
    registry = CollectorRegistry()
    registry.register(MemoryCollector(profiler))
    text = list(parse_text(generate_latest(registry).decode()))
    strict = list(parse_openmetrics(generate_openmetrics(registry).decode()))
    for families in (text, strict):
        names = [family.name for family in families]
        assert len(names) == len(set(names)) == len(CATALOGUE)
    plain = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in text for s in family.samples}
    typed = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in strict for s in family.samples}
    assert plain == typed


def test_names_keep_the_conventions() -> None:
    """Counters end in ``_total`` and nothing else does; every metric has a sentence of help; no name comes twice."""
    for spec in CATALOGUE:
        assert spec.name.endswith("_total") is (spec.kind == "counter")
        assert spec.name.endswith("_info") is (spec.kind == "info")
        assert spec.help.endswith(".")
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE)


def test_the_namespace_is_a_setting() -> None:
    """``namespace`` is the first part of every name."""
    profiler = MemoryProfiler(Config(background=False, namespace="shop"), probes=FakeProbes())
    profiler.take_snapshot()
    assert all(name.startswith("shop_memory_") for name in samples(profiler))
    profiler.stop()


def test_before_the_first_snapshot() -> None:
    """Without a snapshot there are no zeros that were never measured."""
    found = samples(MemoryProfiler(Config(background=False)))
    assert "fogcompute_memory_heap_used_mb" not in found
    assert "fogcompute_memory_gc_collections_total" not in found
    assert [s.value for s in found["fogcompute_memory_active_leaks"]] == [0]
    assert found["fogcompute_memory_profiler_info"]


def test_what_was_not_measured_is_left_out() -> None:
    """A figure that is unknown has no sample; its failure is counted in a metric."""
    probes = FakeProbes()
    probes.broken = {"process"}
    profiler = MemoryProfiler(Config(background=False), probes=probes)
    profiler.take_snapshot()
    found = samples(profiler)
    assert "fogcompute_memory_rss_mb" not in found
    assert "fogcompute_memory_total_objects" in found
    [failure] = found["fogcompute_memory_profiler_failures_total"]
    assert (failure.labels["kind"], failure.value) == ("probe_process", 1)
    profiler.stop()


def test_it_lives_in_the_applications_registry(profiler: MemoryProfiler) -> None:
    """Registered beside the application's own metrics, one exposition holds both, each family once."""
    registry = CollectorRegistry()
    orders = Counter("orders", "Orders.", registry=registry)
    registry.register(MemoryCollector(profiler))
    orders.inc(3)
    names = [family.name for family in parse_text(generate_latest(registry).decode())]
    assert len(names) == len(set(names))
    assert registry.get_sample_value("orders_total") == 3
    assert registry.get_sample_value("fogcompute_memory_heap_used_mb", {"worker": "0"}) == 261
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(MemoryCollector(profiler))


class Untouched:
    """A source that must not be asked."""

    namespace = "fogcompute"

    def metrics(self):  # type: ignore[no-untyped-def]
        raise AssertionError("asked")


def test_registering_does_not_measure() -> None:
    """``describe()`` tells the families without asking the profiler."""
    registry = CollectorRegistry()
    registry.register(MemoryCollector(Untouched()))
    described = list(MemoryCollector(Untouched()).describe())
    assert len(described) == len(CATALOGUE)
    assert all(not family.samples for family in described)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_does_not_serve_its_parents_figures(profiler: MemoryProfiler) -> None:
    """In the application's registry nothing starts the profiler: a forked child has no figures yet, not old ones."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if "fogcompute_memory_heap_used_mb" not in samples(profiler) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_scrapes_leave_nothing_for_the_collector() -> None:
    """A scrape makes no reference cycles: those would pile up between collections and look like a leak of ours."""
    program = (
        "import gc\n"
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from memprof_middleware import Config, MemoryCollector, MemoryProfiler\n"
        "from memprof_middleware.testing import FakeProbes\n"
        "profiler = MemoryProfiler(Config(background=False), probes=FakeProbes())\n"
        "profiler.take_snapshot()\n"
        "registry = CollectorRegistry()\n"
        "registry.register(MemoryCollector(profiler))\n"
        "generate_latest(registry)\n"
        "gc.collect()\n"
        "gc.disable()\n"
        "for _ in range(50): generate_latest(registry)\n"
        "print(gc.collect())\n"
    )  # a process of its own: threads that other tests have left make cycles too
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 50
