"""Several profilers of one process count its objects once."""

from __future__ import annotations

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes import Census
from memprof_middleware.probes.native_census import CensusTaker
from memprof_middleware.runtime import shared_census as shared


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The strides of the counts that were taken; none was taken before the test."""
    taken: list[int] = []
    take = CensusTaker.take

    def noted(self: CensusTaker, stride: int = 1) -> Census:
        taken.append(stride)
        return take(self, stride)

    monkeypatch.setattr(CensusTaker, "take", noted)
    monkeypatch.setattr(shared, "_latest", None)
    return taken


def test_two_profilers_count_once(counts: list[int]) -> None:
    """What one has just counted serves the other, with its true time and at no cost; by hand each counts anew."""
    outer, mounted = MemoryProfiler(Config(background=False)), MemoryProfiler(Config(background=False))
    outer.step()
    mounted.step()
    assert counts == [1]
    seen = [profiler.metrics().snapshot for profiler in (outer, mounted)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0].object_counts == seen[1].object_counts
    assert seen[1].census_age_seconds is not None
    assert 0 < seen[1].census_age_seconds < 30
    mounted.take_snapshot()
    assert counts == [1, 1]
    for profiler in (outer, mounted):
        profiler.stop()


def test_one_profiler_counts_at_each_step(counts: list[int]) -> None:
    """Its own count of before is never taken for one of now."""
    take = CensusTaker().take
    shared.shared_census(take, 1, 1, 30.0)
    shared.shared_census(take, 1, 1, 30.0)
    assert counts == [1, 1]


def test_an_old_count_serves_nobody(counts: list[int]) -> None:
    """Nor does one of another stride."""
    take = CensusTaker().take
    shared.shared_census(take, 1, 1, 30.0)
    shared.shared_census(take, 2, 7, 30.0)
    shared.shared_census(take, 3, 7, 0.0)
    assert counts == [1, 7, 7]
