"""Whether a series grows with the requests served, and by how much each of them adds.

A leak keeps a constant number of objects, entries, blocks or bytes for each request on its path. What grows with the
requests in flight is load, what grows ever more slowly is a cache, what falls back at a collection was garbage. So the
growth is looked at over requests and not over time, load is taken out, and only the floor counts: the level that is
never undercut again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from memprof_middleware.analysis.least_squares import median
from memprof_middleware.analysis.load import Load, Point, unloaded
from memprof_middleware.model.value import valueclass

# One part of four may not carry more of the growth than this: a step is not a slope; and the last part must carry so
# much of the mean: what has stopped does not leak.
_LARGEST_PART = 0.7
_STILL_RISING = 0.35
# Growth must stand out of the unevenness of the windows by this much; of a part of them that was picked, by more.
_ABOVE_NOISE, _PICKED_ABOVE_NOISE = 4.0, 8.0
# The last eighth of the points tells how far they dip.
_RECENT = 8
# Windows with requests in them that a line is drawn through at the least, and how straight it is if they are so few.
_FEWEST_WINDOWS = 3
_STRAIGHT = 0.8


@valueclass(frozen=True, slots=True)
class Retention:
    """How a series grows with the requests served.

    Attributes:
        begin: index of the snapshot from which on it does.
        first: the level then.
        last: the level now.
        per_request: what each request adds.
        steadiness: how even the growth is over the period: 1 is a straight line, 0 wild.
        pace: the growth of the last third as a share of that of the first: 1 goes on, 0 has stopped.
    """

    begin: int
    first: float
    last: float
    per_request: float
    steadiness: float
    pace: float


def find_retention(values: Sequence[float], load: Load, *, least: float, shortest: int) -> Retention | None:
    """The longest period up to now in which a series grows with the requests; ``None`` if there is none.

    The whole is judged first, then ever shorter ends of it, so that a young leak is not hidden by the flat hours
    before. Such an end must break new ground: what rises to where it has been before is a tide.

    Args:
        values: the series, a value for each snapshot of ``load``.
        load: the requests.
        least: growth below this is none.
        shortest: snapshots that a period has at the least; two fewer do where all there is is a straight line.
    """
    if len(values) < shortest - 2:
        return None
    whole = _judge(values, load, least)
    if whole is not None and (len(values) >= shortest or whole.steadiness >= _STRAIGHT):
        return whole
    length = len(values) // 2
    while length >= shortest:
        begin = len(values) - length
        if values[-1] <= max(values[:begin]):
            return None  # nor does any shorter end break new ground
        found = _judge(values[begin:], load.since(begin), least)
        if found is not None:
            unevenness = median(abs(after - before) for before, after in pairwise(load.unloaded(values)))
            stands_out = _judge(values[begin:], load.since(begin), max(least, _PICKED_ABOVE_NOISE * unevenness))
            return dataclasses.replace(found, begin=begin) if stands_out else None
        length //= 2
    return None


def pace_of(values: Sequence[float], load: Load) -> float:
    """The growth of the last third as a share of that of the first third, at most 2; over time without requests."""
    points = list(_thinned(values, load))
    if load.served <= 0:
        points = [(float(number), flight, value) for number, (_, flight, value) in enumerate(points)]
    requests = [point[0] for point in points]
    first, *_, last = _parts(_floors(unloaded(points), requests), requests, 3)
    return min(2.0, last / first) if first > 0 else 2.0 if last > 0 else 0.0


def stalled_for(values: Sequence[float], load: Load) -> float:
    """Requests served since the floor of a series last rose."""
    points = list(_thinned(values, load))
    floors = _floors(unloaded(points), [point[0] for point in points])
    # By a hundredth of the whole, so that a full cache that trembles does not seem to grow.
    rise = 0.01 * (floors[-1] - floors[0])
    reached = next((point[0] for point, floor in zip(points, floors, strict=True) if floor >= floors[-1] - rise), 0.0)
    return points[-1][0] - reached


def _judge(values: Sequence[float], load: Load, least: float) -> Retention | None:
    served = load.served
    if served <= 0 or values[-1] - values[0] < least / 2:
        return None
    points = list(_thinned(values, load))
    if sum(after[0] > before[0] for before, after in pairwise(points)) < _FEWEST_WINDOWS:
        return None  # hardly any traffic: a line through it says nothing
    levels = unloaded(points)
    requests = [point[0] for point in points]
    floors = _floors(levels, requests)
    growth = floors[-1] - floors[0]
    parts = _parts(floors, requests, 4 if len(points) >= 12 else 3)
    mean = growth / len(parts)
    rate = growth / served
    if growth < least or max(parts) > _LARGEST_PART * growth or parts[-1] < _STILL_RISING * mean:
        return None
    if sum(part <= 0 for part in parts) > (len(points) >= 12):
        return None  # one part without growth is allowed to what leaks now and then
    steps = zip(pairwise(levels), pairwise(requests), strict=True)
    noise = median(abs((after - before) - rate * (b - a)) for (before, after), (a, b) in steps)
    if growth < _ABOVE_NOISE * noise:
        return None
    uneven = sum(abs(part - mean) for part in parts) / (len(parts) * mean)
    first, *_, last = _parts(floors, requests, 3)
    return Retention(
        begin=0,
        first=values[0],
        last=values[-1],
        per_request=rate,
        steadiness=max(0.0, 1 - uneven),
        pace=min(2.0, last / first) if first > 0 else 2.0,
    )


def _thinned(values: Sequence[float], load: Load) -> Iterator[Point]:
    """A point for each stretch of snapshots: the lowest, or the calmest one where the load varies."""
    for stretch in load.stretches:
        best = stretch[0]
        if isinstance(stretch, range):
            part = values[best : stretch.stop]
            best += part.index(min(part))
        elif len(stretch) > 1:
            best = min(stretch, key=values.__getitem__)
        yield load.requests[best], load.in_flight[best], values[best]


def _floors(levels: Sequence[float], requests: Sequence[float]) -> list[float]:
    """At each point the lowest level from there on.

    Of the last point nobody knows yet how far it will be undercut: it counts for no more than the lowest of the few
    before it, carried on along the line.
    """
    few = len(levels) // _RECENT
    before = len(levels) - few - 1
    served = requests[before] - requests[0]
    slope = max(0.0, (min(levels[before:]) - min(levels)) / served) if few and served > 0 else 0.0
    ends = [level + slope * (requests[-1] - at) for level, at in zip(levels[before:], requests[before:], strict=True)]
    return list(accumulate([min(ends), *reversed(levels[:-1])], min))[::-1]


def _parts(floors: Sequence[float], requests: Sequence[float], number: int) -> list[float]:
    """The growth of the floor in each of so many equal parts of the requests."""
    first, last = requests[0], requests[-1]
    edges: list[float] = []
    index = 0
    for part in range(number + 1):
        edge = first + (last - first) * part / number
        while index + 1 < len(requests) and requests[index + 1] <= edge:
            index += 1
        level = floors[index]
        if index + 1 < len(requests) and requests[index + 1] > requests[index]:
            along = (edge - requests[index]) / (requests[index + 1] - requests[index])
            level += along * (floors[index + 1] - level)
        edges.append(level)
    return [b - a for a, b in pairwise(edges)]
