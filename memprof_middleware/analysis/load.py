"""What a process was asked to do meanwhile, and what of a series that explains."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.least_squares import Normal

# A series is judged on so many points at the most: the work must not grow with the history.
_POINTS = 48
# Requests in flight that vary by no more than this explain nothing.
_CALM = 3

Point = tuple[float, float, float]  # requests, requests in flight, value


class Load:
    """What a process was asked to do, at each snapshot of a period; what every series is held against is found once.

    Attributes:
        times: seconds since the epoch.
        requests: requests answered so far.
        in_flight: requests that had begun and not ended.
        collections: full collections so far.
    """

    def __init__(
        self,
        times: Sequence[float],
        requests: Sequence[float],
        in_flight: Sequence[float],
        collections: Sequence[int],
    ) -> None:
        self.times, self.requests, self.in_flight, self.collections = times, requests, in_flight, collections
        self._later: dict[int, Load] = {}

    @classmethod
    def of(cls, history: History, indices: Sequence[int]) -> Load:
        """The load at these snapshots."""
        columns = [history.series(name) for name in ("timestamp", "requests", "in_flight")]
        times, requests, in_flight = ([column[index] for index in indices] for column in columns)
        collections = history.full_collections()
        return cls(times, requests, in_flight, [collections[index] for index in indices])

    def since(self, begin: int) -> Load:
        """The later part of it."""
        if begin == 0:
            return self
        if begin not in self._later:
            flights, collections = self.in_flight[begin:], self.collections[begin:]
            self._later[begin] = Load(self.times[begin:], self.requests[begin:], flights, collections)
        return self._later[begin]

    @functools.cached_property
    def is_calm(self) -> bool:
        """Whether the requests in flight explain nothing."""
        return max(self.in_flight, default=0.0) - min(self.in_flight, default=0.0) <= _CALM

    @functools.cached_property
    def stretches(self) -> list[Sequence[int]]:
        """The snapshots in stretches: of each stretch those with the fewest requests in flight, where that varies."""
        size, number = len(self.times), min(_POINTS, len(self.times))
        edges = [size * part // number for part in range(number + 1)] if number else [0]
        parts = [range(begin, end) for begin, end in pairwise(edges)]
        if self.is_calm:
            return list(parts)
        fewest = [min(self.in_flight[part.start : part.stop]) for part in parts]
        return [[i for i in part if self.in_flight[i] == least] for part, least in zip(parts, fewest, strict=True)]

    @property
    def served(self) -> float:
        """Requests served in the period."""
        return self.requests[-1] - self.requests[0] if self.requests else 0.0

    def unloaded(self, values: Sequence[float]) -> list[float]:
        """A series of the period without what the requests in flight hold."""
        return unloaded(list(zip(self.requests, self.in_flight, values, strict=True)))


def unloaded(points: Sequence[Point]) -> list[float]:
    """The values without what the requests in flight hold.

    Where these rise just as the requests served do, all of it is taken for load: that comes to an end, and what is
    left then was kept.
    """
    flights = [flight for _, flight, _ in points]
    if len(points) < 2 or max(flights) - min(flights) <= _CALM:
        return [value for *_, value in points]
    steps = [(b[0] - a[0], b[1] - a[1], b[2] - a[2]) for a, b in pairwise(points)]
    served, flight, growth = (list(column) for column in zip(*steps, strict=True))
    normal = Normal.of([flight, served], growth, [1.0] * len(growth))
    each = normal.solve_non_negative(free=0)[0]
    return [value - each * flight for _, flight, value in points]
