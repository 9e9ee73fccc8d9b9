"""Growth shared out among routes: the truth is generated, so every promise can be compared with it."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest

from memprof_middleware.routes.attribution import attribution, attribution_of_workers
from memprof_middleware.routes.fit import NEEDED, RouteFit, Window
from memprof_middleware.routes.work import finished

ROUTES = ("GET /a", "GET /b", "GET /c", "GET /d", "GET /e", "GET /f")
BIG, SMALL = "GET /a", "GET /b"
TRUTH = {BIG: 20_000.0, SMALL: 2_000.0}


def attribute(rows):
    """The result for one worker, without a pause."""
    return finished(attribution(rows))


def attribute_workers(rows):
    """The result for all workers, without a pause."""
    return finished(attribution_of_workers(rows))


def windows(seed, number=30, *, mix="changing", noise=5e3, background=0.0, truth=TRUTH, workers=("0",)):
    """Windows of some workers in which each route keeps what the truth says."""
    rng = random.Random(seed)
    before = dict.fromkeys(workers, 0.0)
    made = []
    for _ in range(number):
        for worker in workers:
            counts = {}
            for route in ROUTES:
                mean = 60 * (0.3 + 1.4 * rng.random() if mix == "changing" else 1.0)
                counts[route] = max(0, round(rng.gauss(mean, mean**0.5)))
            if mix == "together":
                counts["GET /c"] = counts[BIG]
            now = rng.gauss(0, noise)
            growth = sum(truth.get(route, 0) * n for route, n in counts.items()) + background
            made.append(Window(worker, 1.0, counts, 0, growth + now - before[worker]))
            before[worker] = now
    return made


def shifted(rows, changes):
    """The windows with something added to the growth of some of them."""
    return [dataclasses.replace(row, growth=row.growth + changes.get(i, 0)) for i, row in enumerate(rows)]


def found(rows):
    growths = attribute(rows)
    assert growths is not None
    return {growth.route: growth for growth in growths}


def check(growths, tolerance=0.1):
    """Both leaks are found within the tolerance, and nobody else is blamed."""
    assert set(growths) == {BIG, SMALL}
    for route, truth in TRUTH.items():
        assert growths[route].identified
        assert growths[route].per_request.value == pytest.approx(truth, rel=tolerance)


def test_exact_without_noise():
    """Without noise the answer is the truth."""
    check(found(windows(1, noise=0.0)), tolerance=1e-6)


@pytest.mark.parametrize("mix", ["changing", "steady"])
def test_intervals_hold_the_truth(mix):
    """Over 40 runs, at least 90 % of the intervals hold the truth, and hardly an innocent route is blamed."""
    inside, blamed = [], 0
    for seed in range(40):
        for route, growth in found(windows(seed, mix=mix)).items():
            if route not in TRUTH:
                blamed += growth.identified
            elif growth.identified:
                inside.append(growth.per_request.low <= TRUTH[route] <= growth.per_request.high)
    assert len(inside) >= 60
    assert sum(inside) >= 0.9 * len(inside)
    assert blamed <= 2


def test_estimates_are_close():
    """After 30 windows of a changing mix the estimates lie within 10 % of the truth."""
    for seed in range(10):
        check(found(windows(seed)))


def test_background_is_no_routes_fault():
    """Growth by time has a term of its own."""
    for seed in range(5):
        check(found(windows(seed, background=500_000.0)))


def test_memory_that_falls_by_itself():
    """A background that shrinks hides no leak."""
    check(found(windows(3, background=-500_000.0)))


def test_burst_blames_nobody():
    """One load of 50 MB that stays, as of a model or a report, is nobody's leak."""
    for seed in range(5):
        check(found(shifted(windows(seed), {13: 50e6})))


def test_windows_of_a_real_server():
    """Under a steady mix, with a cache that fills in the first three of 30 windows, as gunicorn's threads had it."""
    recorded = json.loads(Path(__file__).with_name("recorded_windows.json").read_text())
    rows = [
        Window("0", seconds, dict(zip(recorded["routes"], requests, strict=True)), in_flight, growth, collected)
        for seconds, in_flight, growth, _, collected, *requests in recorded["rows"]
    ]
    growths = found(rows)
    assert set(growths) == {"POST /cart", "POST /wish"}
    for route, truth in (("POST /cart", 20_057), ("POST /wish", 2_057)):
        kept = growths[route].per_request
        assert kept.low <= truth <= kept.high
        assert kept.value == pytest.approx(truth, rel=0.05)


def test_transient_blames_nobody():
    """80 MB that come in one window and go three later leave no trace."""
    for seed in range(5):
        check(found(shifted(windows(seed), {9: 80e6, 12: -80e6})))


def test_cache_that_was_filled_is_no_leak():
    """A route that filled its cache in the first windows keeps nothing now."""
    for seed in range(5):
        rows = windows(seed, 40)
        check(found(shifted(rows, {i: 10_000 * rows[i].requests["GET /d"] for i in range(9)})))


def test_garbage_that_is_collected_is_no_leak():
    """What waits for a collection and goes with it is not kept, although it rises with the requests."""
    for seed in range(10):
        waiting, changes = 0.0, {}
        rows = windows(seed, 60)
        for i, row in enumerate(rows):
            waiting += 5_000 * row.requests["GET /e"]
            changes[i] = 5_000.0 * row.requests["GET /e"]
            if i % 7 == 6:
                changes[i], waiting = changes[i] - waiting, 0.0
        growths = attribute(shifted(rows, changes)) or []
        assert [growth for growth in growths if growth.route == "GET /e" and growth.identified] == []


def test_garbage_whose_collections_are_known():
    """Where full collections are told, what waits for them is explained and the leaks are found to the byte."""
    rows, waiting, made = windows(3, 40, noise=1e3), 0.0, []
    for i, row in enumerate(rows):
        number = sum(row.requests.values())
        waiting += number
        gone, waiting = (waiting, 0.0) if i % 5 == 4 else (0.0, waiting)
        made.append(dataclasses.replace(row, growth=row.growth + 5_000 * (number - gone), collected=gone))
    check(found(made), tolerance=0.02)


def test_garbage_with_one_collection_so_far():
    """With one fall that took all that a route seemed to keep, it is not blamed."""
    rows = windows(1, 20, truth={})
    changes = {i: 5_000.0 * row.requests["GET /e"] for i, row in enumerate(rows)}
    changes[15] -= sum(changes[i] for i in range(16))
    assert not attribute(shifted(rows, changes))


def test_release_widens_the_interval():
    """What was given back once may have been any route's: the interval reaches down by it, and the leak stays found."""
    rows = windows(1, 30, truth={BIG: 20_000.0})
    kept = 20_000 * sum(row.requests[BIG] for row in rows)
    growth = found(shifted(rows, {17: -0.2 * kept}))[BIG]
    assert growth.identified
    assert growth.per_request.low < 0.9 * TRUTH[BIG] <= TRUTH[BIG] <= growth.per_request.high * 1.02


def test_what_may_be_next_to_nothing_is_not_told():
    """When nearly all that a route took was given back once, its interval begins near nothing: no figure is told."""
    rows = windows(3)
    assert BIG in found(shifted(rows, {20: -15e6}))
    assert BIG not in found(shifted(rows, {20: -20e6}))


def test_noisy_beginning():
    """A start in which many things grew, such as caches of all kinds, does not spoil the calm windows after it."""
    rng = random.Random(5)
    for seed in range(5):
        check(found(shifted(windows(seed, noise=1e3), {i: rng.uniform(300e3, 800e3) for i in range(8)})))


def test_routes_that_come_together_are_named_together():
    """Where the mix cannot tell two routes apart, no figure is given for either: never a wrong one."""
    for seed in range(10):
        growths = found(windows(seed, mix="together", noise=1e3))
        pair = [growth for growth in growths.values() if {BIG, "GET /c"} & {growth.route, *growth.together_with}]
        assert len(pair) == 1
        assert {pair[0].route, *pair[0].together_with} == {BIG, "GET /c"}
        assert pair[0].per_request.low <= TRUTH[BIG] / 2 <= pair[0].per_request.high  # over the requests of both
        assert "it is not known which" in str(pair[0])


def test_steady_load_is_not_blamed_on_a_route():
    """With the same counts in every window, a leak is a background as much as any route's: nobody is named."""
    rows = [Window("0", 1.0, dict.fromkeys(ROUTES, 50), 0, 1e6) for _ in range(30)]
    assert [growth for growth in attribute(rows) or [] if growth.identified] == []


def test_nothing_leaks():
    """Noise alone names no route."""
    assert [attribute(windows(seed, truth={})) for seed in range(20)].count([]) >= 19


def test_workers_are_pooled():
    """Two workers with ten windows each give as good an answer as one with twenty."""
    check(found(windows(2, 10, workers=("0", "1"), noise=1e3)))


def test_leak_in_one_worker_only():
    """A leak that only one of four workers has is found, and told with that worker."""
    for seed in range(5):
        healthy = windows(100 + seed, 30, truth={}, workers=("1", "2", "3"))
        rows = [row for pair in zip(windows(seed, 30), *[iter(healthy)] * 3, strict=True) for row in pair]
        growths = {growth.route: growth for growth in attribute_workers(rows) or []}
        check(growths)
        assert {growth.worker for growth in growths.values()} == {"0"}


def test_leak_in_all_workers_is_told_once():
    """What all workers show is one finding about all of them."""
    growths = attribute_workers(windows(1, 30, workers=("0", "1", "2")))
    assert sorted((growth.route, growth.worker) for growth in growths or []) == [(BIG, ""), (SMALL, "")]


def test_too_few_windows():
    """Nothing is said on nine windows."""
    assert attribute(windows(1, 9)) is None


def test_more_routes_than_windows():
    """With hardly more windows than routes anything can be explained, so nothing is said."""
    rng = random.Random(1)
    rows = [
        Window("0", 1.0, {f"GET /{n}": rng.randrange(5, 50) for n in range(14)}, 0, rng.gauss(0, 1e5))
        for _ in range(15)
    ]
    assert attribute(rows) is None


def test_rare_route_is_not_judged():
    """A route that came in three windows cannot be told from a burst, and is not named."""
    rows = windows(1, truth={})
    rare = {5: 3, 14: 2, 22: 4}
    rows = [
        dataclasses.replace(row, requests={**row.requests, "GET /rare": rare.get(i, 0)}) for i, row in enumerate(rows)
    ]
    assert "GET /rare" not in found(shifted(rows, {i: 1e6 * n for i, n in rare.items()}))


def test_requests_in_flight_are_explained():
    """What requests in flight hold at the edges of windows is no noise where their number is known."""
    rng = random.Random(1)
    rows, before = [], 0
    for row in windows(1, noise=0.0):
        now = rng.randrange(20)
        rows.append(dataclasses.replace(row, in_flight=now - before, growth=row.growth + 500_000 * (now - before)))
        before = now
    check(found(rows), tolerance=1e-6)


def test_share_and_rate():
    """The share is of all that grew, and the rate is per hour."""
    growths = found(windows(1, noise=0.0, truth={BIG: 1_000.0}))
    assert growths[BIG].share == pytest.approx(1.0)
    kept = growths[BIG].kept
    assert growths[BIG].per_hour == pytest.approx(kept * 3600 / 30)
    assert kept == pytest.approx(1_000.0 * growths[BIG].requests)


def test_figures_for_people():
    """Bytes are written in their unit with the interval; several routes are named as such."""
    text = str(dataclasses.replace(found(windows(1, noise=0.0))[BIG], unit="bytes"))
    assert text == "GET /a keeps 20.0 kB (20.0-20.0) per request"


@pytest.mark.parametrize("seed", range(6))
def test_no_route_that_slows_down_is_passed_over(seed):
    """The bound by which routes are left out of a closer look is never below what the closer look finds."""
    rows = windows(seed, 40, noise=2e4)
    fit = finished(RouteFit.of(shifted(rows, {i: 3_000 * rows[i].requests["GET /d"] for i in range(12)})))
    pulls = [left * weight for left, weight in zip(fit.left, fit.weights, strict=True)]
    found = []
    for start in (6, 12, 20):
        for j in range(fit.free, len(fit.columns)):
            early = [n if row < start else 0.0 for row, n in enumerate(fit.columns[j])]
            normal = fit.normal.bordered(fit.columns, early, fit.y, fit.weights)
            gain = fit.error - normal.error(finished(fit.best(normal)))
            found.append((gain, fit._most_gain(j, start, pulls, fit.normal.factor())))
    assert all(gain <= bound + 1e-9 * fit.error for gain, bound in found)
    gain, bound = max(found)
    assert NEEDED * fit.noise() < gain <= bound < 2 * gain  # and it is near where a route does slow down
