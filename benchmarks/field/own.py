"""Other shapes than those of the field, to judge a judge by what it was not made with: ``--shapes own``.

Larger bounds, longer lifetimes, more routes, traffic that varies more; five more kinds of healthy populations and five
more of leaks. Whoever changes the judge looks at these only to check.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.field import field

MB, HOUR = 1_048_576, 3600.0


def _made(maker: Any, what: str, number: int, **more: Any) -> Callable[..., Any]:
    name = f"app.{what.title().replace(' ', '')}{number}"
    path = f"app.own{number}" if maker.rng.random() < maker.shapes["seen"] else ""
    more = {"type": name, "path": path, "blocks": maker.rng.uniform(2, 12), "native": 0.3} | more
    return functools.partial(field.Series, what, holder=path + "[*]" if path else "", **more)


def _budget(maker: Any, headroom_mb: float) -> float:
    return field.log_uniform(maker.rng, *maker.shapes["share"]) * headroom_mb * MB


def catalogue(maker: Any, _number: int, headroom_mb: float) -> Any:
    """Something large that is loaded anew each few hours, a little larger or smaller; nobody sees what is in it."""
    rng, size, period = maker.rng, 1000.0, maker.rng.uniform(0.5, 6) * HOUR
    values, loads = [], 0
    for t in maker.times:
        if int(t / period) > loads:
            loads, size = int(t / period), size * rng.uniform(0.97, 1.04)
        values.append(int(size))
    return field.Series("catalogue", values, native=1.0, blocks=0.0, weight=_budget(maker, headroom_mb) / 1000)


def sliding(maker: Any, number: int, headroom_mb: float) -> Any:
    """Sessions that live for a time after they were used last: who comes often stays, and nobody knows the order."""
    rng, lifetime = maker.rng, field.log_uniform(maker.rng, 600, 8 * HOUR)
    feed, users = maker.feed(None, rng.choice((1.0, 0.2))), rng.choice((300, 3000, 30_000))
    recent = [feed[row] - maker._at(feed, t - lifetime) for row, t in enumerate(maker.times)]
    values = [int(field.distinct(draws, users, "zipf8")) for draws in recent]
    return _made(maker, "sliding", number, weight=max(60.0, _budget(maker, headroom_mb) / max(1, *values)))(values)


def halved(maker: Any, number: int, headroom_mb: float) -> Any:
    """A cache of ever new keys that drops its older half when it is full."""
    bound, feed = maker.rng.choice(maker.shapes["bounds"]), maker.feed(maker.route(), maker.rng.choice((1.0, 0.2)))
    gone, values, left = 0, [], []
    for number_so_far in feed:
        while number_so_far - gone > bound:
            gone += bound // 2
        values.append(number_so_far - gone)
        left.append(gone)
    make = _made(maker, "halved", number, weight=max(60.0, _budget(maker, headroom_mb) / bound))
    return make(values, oldest=left, gone=left)


def buffers(maker: Any, _number: int, headroom_mb: float) -> Any:
    """Connections with large buffers of C code, as many as there were requests at once."""
    top, values = 0, []
    for flight in maker.in_flight:
        top = max(top, min(flight, 100))
        values.append(top)
    return field.Series("buffers", values, native=1.0, blocks=0.0, weight=_budget(maker, headroom_mb) / 100)


def by_day(maker: Any, number: int, headroom_mb: float) -> Any:
    """What is kept until the end of a shift or a day, and dropped all at once."""
    rng, period = maker.rng, maker.rng.choice((6, 8, 12, 24)) * HOUR
    phase, feed = rng.uniform(0, period), maker.feed(maker.route(), rng.choice((0.5, 0.05)))
    values, left = [], []
    for row, t in enumerate(maker.times):
        began = t - (t + phase) % period
        left.append(maker._at(feed, began))
        values.append(feed[row] - left[-1])
    weight = min(50_000.0, max(60.0, _budget(maker, headroom_mb) / max(1, *values)))
    return _made(maker, "by day", number, weight=weight)(values, oldest=left, gone=left)


def _leak(maker: Any, what: str, values: list[int], amount: float, **more: Any) -> Any:
    """A leak of so many bytes in all, if none of them is more than 8 MB."""
    zeros = [0] * len(values)
    weight = min(8.0 * MB, amount / max(1, values[-1]))
    more = {"oldest": zeros, "gone": zeros, "truth": what, "weight": weight} | more
    return _made(maker, f"leaked {what}", 99, **more)(values)


def _amount(maker: Any, headroom_mb: float, hours: float) -> float:
    return headroom_mb * MB * maker.times[-1] / (hours * HOUR)


def job(maker: Any, headroom_mb: float, hours: float) -> Any:
    """A job that leaks for an hour or two and rests for some."""
    runs, rest = maker.rng.uniform(1, 2) * HOUR, maker.rng.uniform(3, 11) * HOUR
    phase, each = maker.rng.uniform(0, runs + rest), maker.rng.choice((1, 20))
    values, done = [], 0.0
    for t in maker.times:
        done += each * ((t + phase) % (runs + rest) < runs)
        values.append(int(done))
    return _leak(maker, "job", values, _amount(maker, headroom_mb, hours))


def cleaned(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Something cleans up, now and then, and leaves more than half."""
    feed, period, part = maker.feed(None, 1.0), maker.rng.uniform(0.5, 3) * HOUR, maker.rng.uniform(0.1, 0.4)
    values, freed, since = [], 0, 0
    for row, t in enumerate(maker.times):
        if int(t / period) > since:
            since, freed = int(t / period), freed + int(part * (feed[row] - maker._at(feed, t - period)))
        values.append(max(0, feed[row] - freed))
    nobody = {"oldest": None, "gone": None}
    return _leak(maker, "cleaned", values, _amount(maker, headroom_mb, hours), **nobody)


def faster(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Each request keeps more than the one before: some 40 % more at the end than at the beginning of a day."""
    feed, end = maker.feed(None, 1.0), maker.times[-1]
    values, done, before = [], 0.0, 0
    for row, number in enumerate(feed):
        done += (number - before) * (1 + 0.4 * maker.times[row] / end)
        before = number
        values.append(int(done))
    return _leak(maker, "faster", values, _amount(maker, headroom_mb, hours))


def large(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Single things of megabytes: images, tables, models."""
    amount = _amount(maker, headroom_mb, hours)
    each = amount / (maker.rng.uniform(2, 8) * MB) / maker.total[-1]
    values = [int(each * total) for total in maker.total]
    return _leak(maker, "large", values, amount, blocks=2.0)


def two_routes(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Two routes that fill one container."""
    routes = maker.rng.sample(range(len(maker.by_route)), 2)
    values = [a + b for a, b in zip(*(maker.feed(route, 0.3) for route in routes), strict=True)]
    return _leak(maker, "two routes", values, _amount(maker, headroom_mb, hours))


_HEALTHY = {"catalogue": catalogue, "sliding": sliding, "halved": halved, "buffers": buffers, "by day": by_day}
_LEAKS = {"job": job, "cleaned": cleaned, "faster": faster, "large": large, "two routes": two_routes}
SHAPES = field.SHAPES | {
    "bounds": (150, 700, 3000, 8000, 30_000, 75_000, 200_000),
    "ttl": (60, 36 * 3600),
    "gc_period": (10, 10_800),
    "routes": (4, 25),
    "named": 0.3,
    "seen": 0.7,
    "drift": 0.5,
    "peaks": (1.5, 10.0),
    "healthy": (*field.HEALTHY, *_HEALTHY),
    "leaks": (*field.LEAKS, *_LEAKS),
    "extra": {**_HEALTHY, **_LEAKS},
}
