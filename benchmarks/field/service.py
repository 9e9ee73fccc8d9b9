"""Shapes that a service really has, beyond the field's and ``own``'s: ``--shapes service``.

Made after incidents and applications, not after the judge: leaks of rare routes, of flags that are set after days, of
timers, batches and reloads, leaks that are cleaned up in part; healthy processes that grow for hours and end, or come
and go. Limits from 256 MB to 8 GB. Whoever changes the judge looks at these only to check.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.field import field, own

MB, HOUR, DAY = field.MB, 3600.0, field.DAY


# -- traffic -----------------------------------------------------------------------------------------------------------


def _week(times: Sequence[float], rng: random.Random) -> list[float]:
    """Office days and a weekend, with a lunch; a third of the traffic is people, who have no night."""
    base, began = field.log_uniform(rng, 0.2, 40), rng.uniform(0, 7 * DAY)
    found = []
    for t in times:
        hour, day = ((t + began) % DAY) / HOUR, int((t + began) // DAY) % 7
        office = max(0.0, 1 - abs(hour - 13) / 6) * (0.6 if 12 <= hour < 13 else 1.0) * (0.15 if day >= 5 else 1.0)
        found.append(base * (0.33 + 2 * office))
    return found


def _rising(times: Sequence[float], rng: random.Random) -> list[float]:
    """A campaign: traffic that rises for days, beside its day."""
    base, more, phase = field.log_uniform(rng, 0.2, 20), rng.uniform(0.5, 4), rng.uniform(0, DAY)
    return [base * (1 + more * t / DAY) * (1 + 0.5 * math.sin(2 * math.pi * (t + phase) / DAY)) for t in times]


def _scrapers(times: Sequence[float], rng: random.Random) -> list[float]:
    """Little traffic, and crawlers that come for minutes, at any time."""
    base, calm = field.log_uniform(rng, 0.05, 5), rng.uniform(1200, 7200)
    found, busy, rest, factor = [], 0.0, rng.expovariate(1 / calm), 1.0
    for before, t in itertools.pairwise([0.0, *times]):
        rest, busy = rest - (t - before), busy - (t - before)
        if rest <= 0:
            busy, factor = rng.uniform(60, 1800), rng.uniform(3, 60)
            rest = busy + rng.expovariate(1 / calm)
        found.append(base * (factor if busy > 0 else 1.0))
    return found


def _hardly_any(times: Sequence[float], _rng: random.Random) -> list[float]:
    return [0.02] * len(times)


def _recycled(times: Sequence[float], rng: random.Random) -> list[float]:
    """Even traffic; the worker is replaced after so many requests."""
    return [field.log_uniform(rng, 0.5, 100)] * len(times)


RATES = {
    "week": _week,
    "rising": _rising,
    "scrapers": _scrapers,
    "hardly any": _hardly_any,
    "recycled": _recycled,
}


# -- healthy -----------------------------------------------------------------------------------------------------------


def _hidden(what: str, values: list[int], weight: float, **more: Any) -> Any:
    return field.Series(what, values, weight=weight, **({"native": 1.0, "blocks": 0.0} | more))


def in_turn(maker: Any, number: int, headroom_mb: float) -> Any:
    """Caches of one library that fill one after the other, as features are used first."""
    rng, parts = maker.rng, maker.rng.randint(3, 5)
    values = [0] * len(maker.times)
    for part in range(parts):
        feed, keys = maker.feed(maker.route(), rng.choice((1.0, 0.2))), rng.choice((300, 3000, 20_000))
        begin = maker._at(feed, part / parts * rng.uniform(0.2, 1) * maker.times[-1])
        kind = rng.choice(("uniform", "zipf", "zipf8"))
        for row, curve in enumerate(maker.noisy([field.distinct(max(0, n - begin), keys, kind) for n in feed])):
            values[row] += min(keys, curve)
    weight = max(60.0, own._budget(maker, headroom_mb) / max(1, values[-1]))
    still = [0] * len(values)
    return own._made(maker, "in turn", number, weight=weight)(values, oldest=still, gone=still)


def long_tail(maker: Any, number: int, headroom_mb: float) -> Any:
    """A cache without a maximum and with keys of Zipf's popularity: hardly ever is its working set complete."""
    rng, keys = maker.rng, maker.rng.choice((100_000, 1_000_000))
    feed, kind = maker.feed(maker.route(), rng.choice((1.0, 0.3))), rng.choice(("zipf", "zipf12", "zipf14"))
    values = maker.noisy([field.distinct(n, keys, kind) for n in feed])
    weight = max(60.0, own._budget(maker, headroom_mb) / max(1, values[-1]))
    still = [0] * len(values)
    if rng.random() < 0.4:
        return _hidden("long tail", values, weight)
    return own._made(maker, "long tail", number, weight=weight)(values, oldest=still, gone=still)


def connections(maker: Any, number: int, headroom_mb: float) -> Any:
    """Connections and sessions that last as long as their people stay: some for a minute, some for hours."""
    rng, mean = maker.rng, field.log_uniform(maker.rng, 600, 8 * HOUR)
    feed = maker.feed(maker.route(), rng.choice((0.3, 0.05)))
    level, values, churn, before, then = 0, [], [], 0, 0.0
    for t, come in zip(maker.times, feed, strict=True):
        part = -math.expm1(-(t - then) / mean)
        level = max(0, level + come - before - min(level, field.poisson(rng, level * part)))
        before, then = come, t
        values.append(level)
        churn.append(t / mean)
    weight = min(200_000.0, max(60.0, own._budget(maker, headroom_mb) / max(1, *values)))
    oldest = [int(turn) for turn in churn]
    return own._made(maker, "connections", number, weight=weight)(values, oldest=oldest, churn=churn)


def swept(maker: Any, number: int, headroom_mb: float) -> Any:
    """A store that is cleared of what is old each few hours only."""
    rng, lifetime = maker.rng, field.log_uniform(maker.rng, 600, 4 * HOUR)
    period, feed = maker.rng.uniform(1, 6) * HOUR, maker.feed(maker.route(), maker.rng.choice((1.0, 0.1)))
    phase, values, left = rng.uniform(0, period), [], []
    for row, t in enumerate(maker.times):
        gone = maker._at(feed, t - (t + phase) % period - lifetime)
        left.append(gone)
        values.append(feed[row] - gone)
    weight = min(100_000.0, max(60.0, own._budget(maker, headroom_mb) / max(1, *values)))
    return own._made(maker, "swept", number, weight=weight)(values, oldest=left, gone=left)


def peaks(maker: Any, _number: int, headroom_mb: float) -> Any:
    """Free memory that Python's allocator keeps after peaks, each a little higher than the one before."""
    rng, period, height = maker.rng, maker.rng.choice((1, 4, 12, 24)) * HOUR, 1000.0
    phase, at, values = rng.uniform(0, period), 0, []
    for t in maker.times:
        if int((t + phase) / period) > at:
            at, height = int((t + phase) / period), height * rng.uniform(1.0, 1.25)
        values.append(int(height))
    weight = own._budget(maker, headroom_mb) / max(values)
    return _hidden("peaks", values, weight, native=0.0, mapped=1.0, kept=True)


def table(maker: Any, _number: int, headroom_mb: float) -> Any:
    """The table of an extension, which doubles as its keys become more: words, users, symbols."""
    rng, keys = maker.rng, maker.rng.choice((20_000, 200_000, 2_000_000))
    feed, kind = maker.feed(maker.route(), rng.choice((1.0, 3.0, 0.3))), rng.choice(("zipf", "zipf12", "uniform"))
    values = [2 ** math.ceil(math.log2(max(64.0, field.distinct(n, keys, kind)))) for n in feed]
    return _hidden("table", values, own._budget(maker, headroom_mb) / max(values))


def slow_start(maker: Any, number: int, headroom_mb: float) -> Any:
    """Modules that are loaded at first use, for hours: functions, code, types and what they cache."""
    rng, tau = maker.rng, field.log_uniform(maker.rng, 0.3, 6) * HOUR
    size = rng.choice((20_000, 100_000))
    means = [size * -math.expm1(-t / tau) for t in maker.times]
    values, still = maker.noisy(means), [0] * len(maker.times)
    weight = max(60.0, min(0.1 * headroom_mb * MB, own._budget(maker, headroom_mb)) / size)
    name = rng.choice(("builtins.function", f"lib{number}.Node"))
    return field.Series("slow start", values, type=name, weight=weight, blocks=4.0, gone=still)


def backlog(maker: Any, number: int, headroom_mb: float) -> Any:
    """A queue to a service that is down now and then: it fills and is worked off, or dropped."""
    rng, feed = maker.rng, maker.feed(maker.route(), maker.rng.choice((1.0, 0.2)))
    outages = [(at, at + rng.uniform(600, 2 * HOUR)) for at in (rng.uniform(0, maker.times[-1]) for _ in range(2))]
    level, before, values, left = 0, 0, [], []
    for t, come in zip(maker.times, feed, strict=True):
        down = any(begin <= t < end for begin, end in outages)
        level = level + come - before if down else int(level * 0.7)
        before = come
        values.append(level)
        left.append(come - level)
    weight = min(50_000.0, max(60.0, own._budget(maker, headroom_mb) / max(1, *values)))
    return own._made(maker, "backlog", number, weight=weight)(values, oldest=left, gone=left)


def tenants(maker: Any, number: int, headroom_mb: float) -> Any:
    """Models, schemas or translations of a tenant, loaded when it comes first; each is large."""
    rng, count = maker.rng, maker.rng.choice((8, 40, 200))
    feed = maker.feed(maker.route(), rng.choice((1.0, 0.01)))
    values = maker.noisy([field.distinct(n, count, "zipf12") for n in feed])
    each = rng.choice((1, 100))
    values = [min(count, n) * each for n in values]
    still = [0] * len(values)
    weight = max(60.0, own._budget(maker, headroom_mb) / (count * each))
    return own._made(maker, "tenants", number, weight=weight)(values, oldest=still, gone=still)


def uploads(maker: Any, _number: int, headroom_mb: float) -> Any:
    """Buffers of requests that are served: most small, some very large, held for minutes."""
    rng, tail, level, values = maker.rng, maker.rng.uniform(0.5, 0.9), 0.0, []
    for flight in maker.in_flight:
        level *= tail
        level += sum(min(2000.0, 5 * rng.paretovariate(1.1)) for _ in range(min(20, flight)))
        values.append(int(level))
    return _hidden("uploads", values, own._budget(maker, headroom_mb) / max(1, *values))


def statements(maker: Any, number: int, headroom_mb: float) -> Any:
    """Prepared statements of each connection of a pool: connections come at peaks, statements by and by."""
    rng, top, bound, level, values = maker.rng, 1, maker.rng.choice((50, 256, 1000)), 0.0, []
    before = 0
    for flight, total in zip(maker.in_flight, maker.total, strict=True):
        top = max(top, min(flight, 100))
        level += (total - before) * rng.uniform(0.5, 1) * 0.05 * max(0.0, 1 - level / (top * bound))
        level, before = min(level, top * bound), total
        values.append(int(level))
    weight = max(60.0, min(5000.0, own._budget(maker, headroom_mb) / max(1, values[-1])))
    still = [0] * len(values)
    return own._made(maker, "statements", number, weight=weight)(values, oldest=still, gone=still)


# -- leaks -------------------------------------------------------------------------------------------------------------


def _leak(maker: Any, what: str, values: list[int], headroom_mb: float, hours: float, **more: Any) -> Any:
    """A leak that takes the headroom in so many hours from when it begins; none of its things is more than 8 MB."""
    begin = more.get("begin", 0.0)
    amount = headroom_mb * MB * (maker.times[-1] - begin) / (hours * HOUR)
    return own._leak(maker, what, values, amount, **more)


def _unseen(maker: Any, what: str, values: list[int], headroom_mb: float, hours: float) -> Any:
    made = _leak(maker, what, values, headroom_mb, hours, type="", native=1.0, blocks=0.0, oldest=None)
    made.path = made.holder = ""
    return made


def rare_route(maker: Any, headroom_mb: float, hours: float) -> Any:
    """On a route that a few requests in a thousand take: an export, a report."""
    seldom = min(range(len(maker.sums)), key=lambda route: maker.sums[route][-1])
    share = min(1.0, 0.004 * maker.total[-1] / max(1, maker.sums[seldom][-1]))
    feed = maker.feed(seldom, share)
    return _leak(maker, "rare route", feed if feed[-1] >= 40 else maker.feed(None, 1.0), headroom_mb, hours)


def errors(maker: Any, headroom_mb: float, hours: float) -> Any:
    """On errors, of which most come in incidents of minutes to hours."""
    rng, end = maker.rng, maker.times[-1]
    bad = [(at, at + rng.uniform(600, HOUR)) for at in (rng.uniform(0, end) for _ in range(max(3, int(end / 7200))))]
    done, before, values = 0, 0, []
    for t, total in zip(maker.times, maker.total, strict=True):
        share = 0.2 if any(begin <= t < stop for begin, stop in bad) else 0.005
        done, before = done + field.poisson(rng, (total - before) * share), total
        values.append(done)
    return _leak(maker, "errors", values, headroom_mb, max(hours, 5.0))


def flag(maker: Any, headroom_mb: float, hours: float) -> Any:
    """A feature that is turned on when the process has run for long."""
    begin, feed = maker.rng.uniform(0.4, 0.6) * maker.times[-1], maker.feed(maker.route(), 1.0)
    offset = maker._at(feed, begin)
    values = [max(0, n - offset) for n in feed]
    return _leak(maker, "flag", values, headroom_mb, min(hours, 8.0), begin=begin)


def cron(maker: Any, headroom_mb: float, hours: float) -> Any:
    """A job each ten minutes, or each hour, that leaves some of its objects behind."""
    period, each = maker.rng.choice((300, 600, 3600)), maker.rng.choice((1, 40, 3000))
    period = min(period, hours * HOUR / 12)  # six times until half of the headroom is gone: less is no series
    values = [each * int(t / period) for t in maker.times]
    return _leak(maker, "cron", values, headroom_mb, hours)


def reloads(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Each reload of a table keeps the one before; nobody sees what is in it, or its rows are counted."""
    period = min(maker.rng.uniform(900, 5400), hours * HOUR / 12)
    values = [1000 * int(t / period) for t in maker.times]
    if maker.rng.random() < 0.5:
        return _unseen(maker, "reloads", values, headroom_mb, hours)
    return _leak(maker, "reloads", values, headroom_mb, hours)


def nightly(maker: Any, headroom_mb: float, hours: float) -> Any:
    """A batch that runs for a part of its period: once a night in weeks, or each hour or two in a day."""
    period, part = maker.times[-1] / maker.rng.uniform(16, 24), maker.rng.uniform(0.05, 0.3)
    phase, done, before, values = maker.rng.uniform(0, period), 0.0, 0.0, []
    for t in maker.times:
        done, before = done + (t - before) * ((t + phase) % period < part * period), t
        values.append(int(done))
    return _leak(maker, "nightly", values, headroom_mb, max(hours, 18.0))


def reclaimed(maker: Any, headroom_mb: float, hours: float) -> Any:
    """What is cleared each few hours, but for a part that something else refers to."""
    rng, feed = maker.rng, maker.feed(None, 1.0)
    period, part = rng.uniform(3, 8) * HOUR, rng.uniform(0.3, 0.7)
    values = []
    for row, t in enumerate(maker.times):
        since = maker._at(feed, t - t % period)
        values.append(int(part * since) + feed[row] - since)
    gone = [number - value for number, value in zip(feed, values, strict=True)]
    kept = [int(part * number) for number in feed]
    return _leak(maker, "reclaimed", values, headroom_mb, hours, oldest=None, gone=gone, permanent=kept)


def behind_lru(maker: Any, headroom_mb: float, hours: float) -> Any:
    """An LRU with a bound, and an index of it from which nothing is removed, in objects of one type."""
    rng, feed = maker.rng, maker.feed(maker.route(), 1.0)
    if feed[-1] < 400:
        feed = maker.feed(None, 1.0)
    bound = max(20, int(feed[-1] * rng.uniform(0.02, 0.15)))
    leak = maker.feed(None, min(1.0, rng.uniform(0.1, 0.5)))
    values = [min(n, bound) + more for n, more in zip(feed, leak, strict=True)]
    gone = [max(0, n - bound) for n in feed]
    made = _leak(maker, "behind lru", values, headroom_mb, hours, oldest=None, gone=gone, permanent=leak)
    made.path = made.holder = ""
    return made


def two_leaks(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Two at once, one of which takes three times as much as the other, on routes of their own."""
    found = []
    for name, share in (("small", 0.25), ("large", 0.75)):
        feed = maker.feed(maker.rng.randrange(len(maker.sums)), 1.0)
        feed = feed if feed[-1] >= 40 else maker.feed(None, 0.5)
        one = _leak(maker, "two leaks", feed, headroom_mb * share, hours, type=f"app.Leaked{name.title()}")
        one.path = f"app.{name}" if one.path else ""
        one.holder = f"{one.path}[*]" if one.path else ""
        found.append(one)
    return found


def uneven(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Buffers of C code of very different sizes: a few of them are most of it."""
    rng, feed, level, before, values = maker.rng, maker.feed(None, 1.0), 0.0, 0, []
    mean = math.exp(1.5**2 / 2)
    for n in feed:
        come, before = n - before, n
        few = min(come, 50)
        level += sum(rng.lognormvariate(0, 1.5) for _ in range(few)) + mean * (come - few)
        values.append(int(10 * level))
    return _unseen(maker, "uneven", values, headroom_mb, hours)


def users(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Something for each user who comes: of ten million, of whom some come often, so that new ones get fewer."""
    feed = maker.feed(None, maker.rng.choice((1.0, 0.3)))
    values = maker.noisy([field.distinct(n, 10_000_000, "zipf8") for n in feed])
    return _leak(maker, "users", values, headroom_mb, hours)


def growing(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Handlers that are registered again and again: each event runs all of them, and each keeps something."""
    feed = maker.feed(None, 1.0)
    power = maker.rng.uniform(1.3, 2.0)
    values = [int(2000 * (n / max(1, feed[-1])) ** power) for n in feed]
    return _leak(maker, "growing", values, headroom_mb, hours)


def threads(maker: Any, headroom_mb: float, hours: float) -> Any:
    """Threads that never end: the stack of each is mapped memory."""
    feed = maker.feed(None, 1.0)
    weight = maker.rng.uniform(60_000, 200_000)
    count = headroom_mb * MB * maker.times[-1] / (hours * HOUR) / weight
    values = [int(count * n / max(1, feed[-1])) for n in feed]
    still = [0] * len(values)
    name = "threading.Thread"
    made = functools.partial(
        field.Series, "leaked threads", truth="threads", type=name, mapped=1.0, native=0.0, blocks=0.0
    )
    return made(values, weight=weight, gone=still)


HEALTHY = {
    "in turn": in_turn,
    "long tail": long_tail,
    "connections": connections,
    "swept": swept,
    "peaks": peaks,
    "table": table,
    "slow start": slow_start,
    "backlog": backlog,
    "tenants": tenants,
    "uploads": uploads,
    "statements": statements,
}
LEAKS = {
    "rare route": rare_route,
    "errors": errors,
    "flag": flag,
    "cron": cron,
    "reloads": reloads,
    "nightly": nightly,
    "reclaimed": reclaimed,
    "behind lru": behind_lru,
    "two leaks": two_leaks,
    "uneven": uneven,
    "users": users,
    "growing": growing,
    "threads": threads,
}
SHAPES = own.SHAPES | {
    "healthy": (
        *HEALTHY,
        *HEALTHY,
        "cache new",
        "cache zipf",
        "ttl long",
        "batch",
        "native cache",
        "sliding",
        "catalogue",
    ),
    "leaks": tuple(LEAKS),
    "traffic": ("steady 2", "steady 30", "day", "day night pause", "morning ramp", *RATES),
    "rate": RATES,
    "limits": (256.0, 512.0, 1024.0, 2048.0, 8192.0),
    "base": (40, 400),
    "disturbed": 0.1,
    "extra": {**own.SHAPES["extra"], **HEALTHY, **LEAKS},
}
# The same where each healthy population is large: it shows which kinds are accused, and is no picture of a service.
LARGE = SHAPES | {"share": (0.1, 0.3), "limits": (512.0, 2048.0)}
