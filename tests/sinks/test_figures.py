"""The catalogue in base units, under dotted names, for one worker."""

from __future__ import annotations

import dataclasses

from memprof_middleware.metrics.catalogue import CATALOGUE
from memprof_middleware.model import MB, Estimate, RouteGrowth, SinkHealth
from memprof_middleware.sinks.figures import KINDS, ActiveAlerts
from memprof_middleware.sinks.figures import figures as told
from tests.sinks.conftest import LEAK, alert, figures


def values(metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for figure in told(metrics):
        found.setdefault(figure.kind.spelled, {})[figure.labels] = figure.value
    return found


def test_megabytes_become_bytes() -> None:
    """Sizes are in bytes, times in seconds, shares in percent, and names say so where a system knows no units."""
    found = values(figures(leaks=(LEAK,)))
    assert found["memprof.heap_used_bytes"] == {(): 250 * MB}
    assert found["memprof.heap_percent"] == {(): 25.0}
    assert found["memprof.worker_start_time_seconds"] == {(): 1_700_000_000.0}
    assert found["memprof.object_count"][("object_type", "shop.Cart"),] == 300
    assert found["memprof.leaking_objects"] == {
        (("object_type", "shop.Cart"), ("severity", "high"), ("state", "confirmed")): 300
    }
    assert found["memprof.gc_collections"] == {(("generation", str(g)),): n for g, n in enumerate((100, 10, 1))}


def test_names_are_the_catalogues() -> None:
    """Each gauge and counter of the catalogue has one name of its own, but for what is there twice."""
    names = [kind.spelled for kind in KINDS]
    assert len(set(names)) == len(names)
    assert len({kind.name for kind in KINDS}) == len(names)
    left_out = {spec.name for spec in CATALOGUE} - {kind.spec.name for kind in KINDS}
    infos = {"memory_profiler_info", "memory_census_info", "memory_leak_info"}
    assert left_out == {*(f"memory_gc_collections_gen{g}" for g in range(3)), *infos}


def test_what_is_about_all_workers_is_left_out() -> None:
    """One worker's figures do not tell the sum over all; what one of them found out about routes it tells."""
    growth = RouteGrowth(
        route="GET /cart", unit="bytes", requests=9, windows=3, kept=1.0, share=1.0, per_hour=1.0,
        per_request=Estimate(2048.0, 2000.0, 2100.0),
    )  # fmt: skip
    differs = dataclasses.replace(growth, worker="5", per_request=Estimate(9000.0, 8000.0, 10000.0))
    metrics = figures(route_growth=(growth, differs))
    assert len({(figure.kind, figure.labels) for figure in told(metrics)}) == len(list(told(metrics)))
    found = values(metrics)
    assert not {name for name in found if "shared" in name or name == "memprof.workers"}
    assert found["memprof.route_growth_bytes_per_request"] == {(("route", "GET /cart"),): 2048.0}


def test_what_was_not_measured_is_left_out() -> None:
    """Before the first snapshot there is no heap, and never a 0 in its place."""
    found = values(figures(snapshot=None))
    assert "memprof.heap_used_bytes" not in found
    assert found["memprof.requests"] == {(): 10}


def test_the_sinks_own_health_is_told() -> None:
    """Delivered, dropped, failed and the last delivery, by sink; none of the last before there was one."""
    sinks = (SinkHealth(name="a", delivered=3, dropped=2, failed=1, last_delivery=9.0), SinkHealth(name="b"))
    metrics = figures(sinks=sinks)
    found = values(metrics)
    assert found["memprof.sink_delivered"] == {(("sink", "a"),): 3, (("sink", "b"),): 0}
    assert found["memprof.sink_dropped"][("sink", "a"),] == 2
    assert found["memprof.sink_failed"][("sink", "a"),] == 1
    assert found["memprof.sink_last_delivery_timestamp_seconds"] == {(("sink", "a"),): 9.0}
    assert type(metrics).from_dict(metrics.to_dict()) == metrics


def test_conditions_are_counted_by_their_subjects() -> None:
    """A condition that holds for two types counts two; told twice it counts once; over, it is 0."""
    active = ActiveAlerts()
    for told_alert in (alert(), alert(), alert(subject="shop.Item"), alert(name="heap_warning", subject="")):
        active.add(told_alert)
    assert active.counts() == {"leak": 2, "heap_warning": 1}
    active.add(dataclasses.replace(alert(), active=False))
    active.add(alert(subject="shop.Item", active=False))
    assert active.counts() == {"leak": 0, "heap_warning": 1}


def test_what_holds_is_counted_with_a_bound() -> None:
    """Ten thousand beginnings whose ends never came count as a hundred, and those that end are not counted any more."""
    active = ActiveAlerts()
    for number in range(10_000):
        active.add(alert(subject=f"GET /{number}"))
    assert active.counts() == {"leak": 100}
    for number in range(90):
        active.add(alert(subject=f"GET /{number}", active=False))
    assert active.counts() == {"leak": 10}
