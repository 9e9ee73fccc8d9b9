"""What the requests of a route leave behind."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass

# Figures of a window that come before those of its routes.
_FIGURES = 5
_UNKNOWN = -(2**63)
# A number of requests takes as little room as the largest of them lets it.
_CODES = "BHIQ"
WindowRow = tuple[float, int, "int | None", int, int, Mapping[str, int]]
"""Of one window: seconds, change of the requests in flight, growth in bytes and in blocks, requests whose garbage a
full collection took, and the requests of each route."""


@valueclass(frozen=True, slots=True)
class RouteWindows:
    """What one worker adds to the attribution of growth to routes: its last windows, in two tables of whole numbers.

    Attributes:
        source: how bytes were read, as in :class:`RouteGrowth`.
        routes: the routes that have a column.
        figures: of each window milliseconds, in flight, bytes, blocks and collected, as in :data:`WindowRow`.
        requests: of each window the requests of each route.
    """

    source: str
    routes: tuple[str, ...]
    figures: array[int]
    requests: array[int]

    @classmethod
    def of(cls, source: str, rows: Sequence[WindowRow]) -> RouteWindows:
        """From the windows, oldest first."""
        routes = tuple(sorted(set().union(*(row[-1] for row in rows))))
        largest = max((max(row[-1].values(), default=0) for row in rows), default=0)
        code = next(code for code in _CODES if largest < 1 << 8 * array(code).itemsize)
        figures, requests = array("q"), array(code)
        for seconds, in_flight, memory, blocks, collected, ended in rows:
            known = _UNKNOWN if memory is None else memory
            figures.extend((round(1000 * seconds), in_flight, known, blocks, collected))
            requests.extend(map(ended.get, routes, repeat(0)))
        return cls(source, routes, figures, requests)

    def __len__(self) -> int:
        return len(self.figures) // _FIGURES

    def rows(self, most: int) -> Iterator[WindowRow]:
        """The last windows, oldest first."""
        width = len(self.routes)
        for index in range(max(0, len(self) - most), len(self)):
            milliseconds, in_flight, memory, blocks, collected = self.figures[_FIGURES * index : _FIGURES * (index + 1)]
            numbers = self.requests[width * index : width * (index + 1)]
            ended = {route: number for route, number in zip(self.routes, numbers, strict=True) if number}
            yield milliseconds / 1000, in_flight, None if memory == _UNKNOWN else memory, blocks, collected, ended

    def pack(self) -> bytes:
        """The windows as another process reads them."""
        head = {"source": self.source, "routes": self.routes, "windows": len(self), "code": self.requests.typecode}
        return b"%b\n%b%b" % (json.dumps(head).encode(), self.figures.tobytes(), self.requests.tobytes())

    @classmethod
    def unpack(cls, data: bytes) -> RouteWindows:
        """What :meth:`pack` wrote. Any bytes are numbers that can be reckoned with: what is looked at is the size.

        Raises:
            ValueError: that did not write it.
        """
        line, _, tables = data.partition(b"\n")
        head = parsed_object(line)
        source, routes, windows, code = (head.get(name) for name in ("source", "routes", "windows", "code"))
        if not isinstance(source, str) or not isinstance(routes, list) or not all(type(r) is str for r in routes):
            raise ValueError("the windows of a worker do not name their routes")
        if type(windows) is not int or windows < 0 or code not in tuple(_CODES):
            raise ValueError("the windows of a worker do not tell their size")
        figures, requests = array("q"), array(code)
        border = windows * _FIGURES * figures.itemsize
        if len(tables) != border + windows * len(routes) * requests.itemsize:
            raise ValueError("the windows of a worker are not of the size that they tell")
        figures.frombytes(tables[:border])
        requests.frombytes(tables[border:])
        return cls(source, tuple(routes), figures, requests)


@valueclass(frozen=True, slots=True)
class Estimate(Value):
    """A figure and the interval in which the truth lies with 95 % confidence."""

    value: float
    low: float
    high: float


@valueclass(frozen=True, kw_only=True, slots=True)
class RouteGrowth(Value):
    """What the requests of a route keep, or of several routes that always come together.

    Attributes:
        route: method and template.
        together_with: routes whose requests come and go with this one's: which of them keeps it cannot be told, and
            the figures are for all of them together.
        unit: what is kept: ``"bytes"``, ``"objects"`` (blocks of Python's allocator) or a type.
        source: how that was read: ``"in use"`` (the C library's count), ``"resident"`` (anonymous memory, which
            moves in pages and keeps what was freed), ``"blocks"`` or ``"census"``.
        requests: requests in the windows that the figure rests on.
        windows: how many windows those are.
        kept: what they kept in all.
        share: the same as a part of all that grew in those windows, 0 to 1.
        per_hour: what is kept in an hour of such traffic, in one worker.
        worker: the worker that the figure is about; empty: all together.
        per_request: what one request keeps.
    """

    route: str
    together_with: tuple[str, ...] = ()
    unit: str = ""
    source: str = ""
    requests: int
    windows: int
    kept: float
    share: float
    per_hour: float
    per_request: Estimate
    worker: str = ""

    @property
    def identified(self) -> bool:
        """Whether one route is meant, and not several that cannot be told apart."""
        return not self.together_with

    def __str__(self) -> str:
        """A sentence: ``POST /cart keeps 19.9 kB (19.2-20.6) per request``."""
        low, value, high = self.per_request.low, self.per_request.value, self.per_request.high
        if self.unit == "bytes":
            scale, unit = (1e6, " MB") if value >= 1e6 else (1e3, " kB") if value >= 1e3 else (1.0, " bytes")
        else:
            scale, unit = 1.0, f" {self.unit}"
        digits = 1 if value / scale < 100 else 0
        shown, least, most = (f"{number / scale:,.{digits}f}" for number in (value, low, high))
        if self.worker:
            return f"{self.route} keeps {shown}{unit} ({least}-{most}) per request in worker {self.worker}"
        if self.identified:
            return f"{self.route} keeps {shown}{unit} ({least}-{most}) per request"
        names = " and ".join((self.route, *self.together_with))
        return (
            f"{names} keep {shown}{unit} ({least}-{most}) per request; their requests come together, so it is not "
            "known which of them"
        )


@valueclass(frozen=True, kw_only=True, slots=True)
class RouteLeak(Value):
    """What the alert ``route_leak`` is about: a route that keeps memory, and those that keep about as much.

    Attributes:
        growth: of the route that keeps most.
        others: routes of which each request keeps about as much; all have one cause.
    """

    growth: RouteGrowth
    others: tuple[str, ...] = ()

    @property
    def routes(self) -> tuple[str, ...]:
        """All routes that it is about, the one that keeps most first."""
        return (self.growth.route, *self.growth.together_with, *self.others)
