"""What the requests of a route leave behind."""

from __future__ import annotations

import dataclasses

from memprof_middleware.model.codec import _BEFORE_ROUTES, _Value


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RouteWindows(_Value):
    """What one worker adds to the attribution of growth to routes: a row for each of its last windows.

    Attributes:
        source: how bytes were read, as in :class:`RouteGrowth`.
        routes: the routes of the rows.
        rows: seconds, change of the requests in flight, growth in bytes, growth in blocks, requests whose garbage a
            full collection took; then the requests of each route.
    """

    source: str
    routes: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != _BEFORE_ROUTES + len(self.routes) for row in self.rows):
            raise ValueError("a row of the windows has not a figure for each route")


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate(_Value):
    """A figure and the interval in which the truth lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RouteGrowth(_Value):
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
            f"{names} keep {shown}{unit} ({least}-{most}) per request, which of them cannot be told: they come together"
        )
