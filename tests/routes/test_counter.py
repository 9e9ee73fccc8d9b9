"""Counting requests by route."""

from __future__ import annotations

import random
import threading
from collections import Counter

from memprof_middleware.routes.counter import OTHER, UNMATCHED, Traffic, ended_between


def test_counts_are_exact_across_threads() -> None:
    """With the GIL no increment is lost, however many threads count the same route."""
    traffic = Traffic()

    def work() -> None:
        for _ in range(20_000):
            traffic.started += 1
            traffic.end("GET /")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic.read() == ({"GET /": 160_000}, 0)


def test_names_are_capped() -> None:
    """Whatever comes after the cap is counted together; the unmatched bucket always has its own place."""
    traffic = Traffic(3)
    for number in range(10):
        traffic.end(f"GET /{number}")
    traffic.end(UNMATCHED)
    counts, _ = traffic.read()
    assert counts == {"GET /0": 1, "GET /1": 1, "GET /2": 1, OTHER: 7, UNMATCHED: 1}


def ask(traffic: Traffic, route: str, times: int = 1) -> None:
    for _ in range(times):
        traffic.started += 1
        traffic.end(route)


def test_names_go_to_the_routes_asked_for_most() -> None:
    """A scanner that comes first keeps no name from what the application really serves, and no request is lost."""
    traffic = Traffic(100)
    for number in range(300):
        ask(traffic, f"GET /junk{number}")
    for _ in range(3):
        ask(traffic, "GET /cart", 10)
        traffic.review()
    counts, in_flight = traffic.read()
    assert counts["GET /cart"] == 20  # from the first review on
    assert len(counts) <= 102
    assert (traffic.total, in_flight) == (330, 0)


def test_a_scanner_takes_no_name_from_a_busy_route() -> None:
    """However many paths are tried, routes that are asked for more often than each of them keep their names."""
    traffic = Traffic(10)
    for number in range(50):
        for route in range(10):
            ask(traffic, f"GET /page{route}", 5)
        for path in range(100):
            ask(traffic, f"GET /junk{number}-{path}")
        traffic.review()
    assert {f"GET /page{route}": 250 for route in range(10)} | {OTHER: 5000} == traffic.read()[0]


def test_a_route_of_yesterday_gives_its_name_up() -> None:
    """What was asked for most once and no more makes room for what is asked for now; its past is no burst of others."""
    traffic = Traffic(1)
    ask(traffic, "GET /old", 10_000)
    traffic.review()
    for _ in range(240):
        ask(traffic, "GET /new", 10)
        traffic.review()
    counts, _ = traffic.read()
    assert counts.keys() == {"GET /new", OTHER}
    assert counts[OTHER] < 2_400
    assert traffic.total == 12_400


def test_names_do_not_go_to_and_fro() -> None:
    """Of two routes that are asked for alike, one keeps the only name."""
    traffic = Traffic(1)
    for number in range(100):
        ask(traffic, "GET /a", 5 + number % 3)
        ask(traffic, "GET /b", 7 - number % 3)
        traffic.review()
    assert traffic.knows("GET /a")


def test_counts_never_fall_and_differences_are_right() -> None:
    """Through names given up and taken again no count falls, totals are exact, and so are windows between readings."""
    traffic, rng = Traffic(5), random.Random(7)
    asked: Counter[str] = Counter()
    before, totals = traffic.read()[0], 0
    for window in range(300):
        mine: Counter[str] = Counter()
        for _ in range(100):
            # The busy routes change with time, and come back.
            route = f"GET /{int(rng.gauss(window // 30 % 4 * 10, 3))}"
            ask(traffic, route)
            mine[route] += 1
        asked += mine
        after, _ = traffic.read()
        new = ended_between(before, after)
        assert sum(new.values()) == 100
        assert all(0 < number <= mine[route] for route, number in new.items() if route != OTHER)
        assert all(after[route] >= before[route] for route in before.keys() & after.keys())
        totals += 100
        assert sum(after.values()) <= traffic.total == totals
        traffic.review()
        before = after
    assert traffic.total == sum(asked.values())


def test_an_error_needs_some_visits() -> None:
    """A path whose answers do not show that it is a route has a name from its fifth request on."""
    traffic = Traffic()
    for number in range(300):
        traffic.end_unsure(f"GET /admin{number}")
    for _ in range(6):
        traffic.end_unsure("GET /login")
    counts, _ = traffic.read()
    assert counts == {UNMATCHED: 304, "GET /login": 2}


def test_a_job_keeps_its_count_when_names_are_reviewed() -> None:
    """Its name is no path, of which parts would be folded: from snapshot to snapshot it goes on."""
    traffic = Traffic()
    for _ in range(3):
        traffic.end("TASK import")
        traffic.end("TASK import/{id}")
        traffic.review()
    assert traffic.read()[0] == {"TASK import": 3, "TASK import/{id}": 3}


def test_reviews_beside_other_threads() -> None:
    """Names change hands under load, and still each request counts exactly once."""
    traffic, over = Traffic(3), threading.Event()

    def work(number: int) -> None:
        for turn in range(20_000):
            ask(traffic, f"GET /{(turn // 500 + number) % 20}")

    def review() -> None:
        while not over.is_set():
            traffic.review()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    reviewer = threading.Thread(target=review)
    for thread in (reviewer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    reviewer.join()
    counts, in_flight = traffic.read()
    assert (traffic.total, in_flight) == (80_000, 0)
    assert len(counts) <= 3 + 2 + len(threads)


def test_the_tables_have_a_size() -> None:
    """However many paths come, what is kept of them is a hundred names and as many that wait for one."""
    traffic = Traffic(100)
    for number in range(20_000):
        traffic.end(f"GET /{number}")
        traffic.end_unsure(f"GET /not/{number}")
    traffic.review()
    assert sum(len(table) for table in vars(traffic).values() if isinstance(table, dict)) < 310
