"""What the workers of a server use together."""

from __future__ import annotations

import pytest

from memprof_middleware import Config
from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.limits.thresholds import measured
from memprof_middleware.model import MemorySnapshot


def worker(**figures) -> MemorySnapshot:
    return MemorySnapshot(**{"timestamp": 1.0, "pid": 1, "heap_size_mb": 1000.0, "heap_size_source": "ram"} | figures)


def judged(snapshots) -> dict[str, float]:
    history = History(10, 20)
    history.append(snapshots[0], {})
    return {one.name: one.value for one in measured(history, Config(), snapshots[1:]) if one.met}


def test_eight_times_twelve_percent():
    """Eight workers at 12 % of the machine each are 96 %: critical, although none is near the limit alone."""
    eight = [worker(heap_used_mb=120.0, proportional_mb=120.0) for _ in range(8)]
    assert judged(eight) == {"shared_warning": 96.0, "shared_critical": 96.0}
    assert judged(eight[:6]) == {}


def test_the_containers_working_set_counts_whoever_uses_it():
    """In a container its working set is judged, even by a single small worker: others live in it too."""
    alone = worker(heap_used_mb=10.0, container_used_mb=460.0, container_size_mb=500.0)
    assert judged([alone]) == {"shared_warning": 92.0, "shared_critical": 92.0}


def test_the_newest_look_at_the_container_counts():
    """Workers look at different times: the newest figure is the truth."""
    old = worker(timestamp=1.0, container_used_mb=100.0, container_size_mb=500.0)
    new = worker(timestamp=2.0, container_used_mb=300.0, container_size_mb=500.0)
    for snapshots in ([old, new], [new, old]):
        found = shared_memory(snapshots)
        assert (found.used_mb, found.size_mb, found.percent, found.contained) == (300.0, 500.0, 60.0, True)


def test_shared_pages_count_once():
    """The sum is over proportional shares: what a preloading master shared is in it once."""
    found = shared_memory([worker(heap_used_mb=300.0, proportional_mb=150.0) for _ in range(2)])
    assert found.used_mb == 300.0


def test_anonymous_memory_stands_in():
    """Where the platform tells no proportional share, anonymous memory is summed."""
    assert shared_memory([worker(heap_used_mb=30.0), worker(heap_used_mb=40.0)]).used_mb == 70.0


@pytest.mark.parametrize("source", ["RLIMIT_AS", "setting"])
def test_a_limit_of_each_process_is_not_shared(source):
    """Two workers at 60 % of what each of them may use are not at 120 % of anything."""
    two = [worker(heap_used_mb=600.0, heap_size_source=source) for _ in range(2)]
    assert judged(two) == {}
    found = shared_memory(two)
    assert (found.used_mb, found.size_mb, found.percent) == (1200.0, None, None)


def test_alone_the_heap_thresholds_say_it():
    """One worker without a container raises no second alert of the same."""
    assert set(judged([worker(heap_used_mb=950.0)])) == {"heap_warning", "heap_critical"}


def test_nothing_measured():
    """Where no worker could measure there is no sum, and no zero that looks like one."""
    assert shared_memory([]) is None
    assert shared_memory([worker()]) is None
