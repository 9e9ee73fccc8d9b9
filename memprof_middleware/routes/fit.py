"""A robust fit of growth to requests: from windows to the memory that each route keeps, with the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul

from memprof_middleware.analysis.bounded import Bounded, Factor, sumprod
from memprof_middleware.analysis.least_squares import Normal, Weighted, median, residuals, student
from memprof_middleware.model.value import valueclass
from memprof_middleware.routes.echoes import echo, without_echo
from memprof_middleware.routes.work import Work

# Routes told apart in one system; the work grows with the square.
MOST_ROUTES = 40
# Below this many windows an interval would be a guess.
LEAST_WINDOWS = 10
# What must be lost, in variances of the noise, when a route is left out: 3.3 standard errors, since many are tried.
NEEDED = 11.0
# A route that was asked for in fewer windows cannot be told from a burst.
_LEAST_PRESENT = 4
# And with fewer rows than columns and this many more, anything can be explained.
_LEAST_FREEDOM = 5
_HUBER, _TUKEY = 1.345, 4.685
_OUTLIER = 4.0
_ROUNDS = 12


@valueclass(frozen=True, slots=True)
class Window:
    """The requests and the growth between two readings of one worker.

    Attributes:
        worker: the worker.
        seconds: its length.
        requests: requests that ended, by route.
        in_flight: change of the requests in flight.
        collected: requests that ended before a full collection in this window and after the one before: their garbage
            is gone, that of later ones may wait.
        growth: change of what is judged: in-use bytes, allocated blocks, or a type's live objects.
    """

    worker: str
    seconds: float
    requests: Mapping[str, float]
    in_flight: float
    growth: float
    collected: float = 0.0


class RouteFit:
    """One robust fit; :meth:`of` makes it.

    Attributes:
        windows: the rows.
        routes: the routes told apart.
        columns: the system: seconds, perhaps what is in flight and what waits for a collection, then the routes.
        y: what is fitted.
        weights: how much each row counts.
        totals: the sum of each column.
        free: how many of the first columns may have a coefficient below zero.
        solution: the best coefficients.
        left: what is left of each window's growth.
        scale: the usual size of that, robustly.
        error: the weighted sum of its squares.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows
        self.routes = _present(windows)
        named = set(self.routes)
        self.columns = [[window.seconds for window in windows]]
        if any(window.in_flight for window in windows):
            self.columns.append([window.in_flight for window in windows])
        if sum(window.collected > 0 for window in windows) >= _LEAST_PRESENT:
            self.columns.append([sum(window.requests.values()) - window.collected for window in windows])
        self.free = len(self.columns)
        self.columns += [[float(window.requests.get(route, 0.0)) for window in windows] for route in self.routes]
        rest = [sum(n for route, n in window.requests.items() if route not in named) for window in windows]
        if any(rest):
            self.columns.append(rest)
        self.totals = [sum(column) for column in self.columns]
        self.y = [window.growth for window in windows]
        self.solution: list[float] = []
        self._normal: Normal | None = None

    @classmethod
    def of(cls, windows: Sequence[Window], near: RouteFit | None = None) -> Work[RouteFit]:
        """Fit some windows.

        Args:
            windows: the rows.
            near: a fit of much the same windows: the same routes keep something, and that saves work.
        """
        fit = cls(windows)
        if near is not None:
            known = dict(zip(near.routes, near.solution[near.free :], strict=False))
            fit.solution = [1.0] * fit.free + [known.get(route, 1.0) for route in fit.routes]
        yield from fit._solve()
        return fit

    def without_echo(self) -> Work[RouteFit]:
        """This fit, without the noise that one window hands to the next."""
        if share := echo(self.windows, self.left, _OUTLIER * self.scale):
            # Outliers are cut before: the filter would spread them over the windows that follow.
            fitted = [y - rest for y, rest in zip(self.y, self.left, strict=True)]
            limit = _OUTLIER * self.scale
            cut = [value + min(max(rest, -limit), limit) for value, rest in zip(fitted, self.left, strict=True)]
            self.columns = [without_echo(self.windows, column, share) for column in self.columns]
            self.y = without_echo(self.windows, cut, share)
            yield from self._solve()
        return self

    @property
    def normal(self) -> Normal:
        """The normal equations with these weights."""
        if self._normal is None:
            self._normal = Normal.of(self.columns, self.y, self.weights)
        return self._normal

    def slows_at(self) -> Work[int | None]:
        """The row at which a route begins to keep less, as with a full cache, which is no leak; else ``None``."""
        size = len(self.y)
        best, found = NEEDED * self.noise(), None
        pulls, factor = list(map(mul, self.left, self.weights)), self.normal.factor()
        for start in sorted({size // 6, size // 4, size // 2, size * 3 // 4} - {0}):
            if not determined(size - start, len(self.columns)):
                continue
            for j in range(self.free, len(self.columns)):
                yield
                if self._most_gain(j, start, pulls, factor) <= best:
                    continue
                early = [n if row < start else 0.0 for row, n in enumerate(self.columns[j])]
                normal = self.normal.bordered(self.columns, early, self.y, self.weights)
                gain = self.error - normal.error((yield from self.best(normal)))
                if gain > best:
                    best, found = gain, start
        return found

    def _most_gain(self, j: int, start: int, pulls: Sequence[float], factor: Factor) -> float:
        """The most that the error can fall if a route keeps more before a row than after it.

        Of the best solution no column can lower the error by itself; so the error falls with the coefficient of a new
        one by no more than its pull on what is left, and rises by at least the square of what no other column can make
        up for. Most routes are settled by this, without a solution of their own.

        Args:
            j: the route's column.
            start: the row.
            pulls: what is left in each row, times its weight.
            factor: of all columns.
        """
        early = self.columns[j][:start]
        pull = sumprod(early, pulls[:start])
        if pull <= 0:
            return 0.0
        weighted = list(map(mul, early, self.weights))
        own = factor.forward([sumprod(weighted, self.columns[k][:start]) for k in factor.kept])
        apart = sumprod(weighted, early) - sumprod(own, own)
        return pull * pull / apart if apart > 0 else math.inf

    def noise(self) -> float:
        """Variance of the noise, with what must be added because it is estimated from few windows."""
        limit = _HUBER * self.scale
        kept = [rest for rest, weight in zip(self.left, self.weights, strict=True) if weight]
        freedom = max(len(kept) - len(self.columns), 1)
        # Of the larger of two measures: few windows can make either too small by chance. 0.71: what the limit cuts.
        tame = sum(min(abs(rest), limit) ** 2 for rest in kept) / 0.71 / freedom
        return max(self.scale**2, tame) * (student(freedom) / student(math.inf)) ** 2

    def best(
        self, normal: Bounded, without: Sequence[int] = (), near: Sequence[float] | None = None
    ) -> Work[list[float]]:
        """The solution of a system whose columns are bound like these, perhaps without some of them.

        Args:
            normal: the system.
            without: the columns that are left out.
            near: where the solution may be near to; by default that of this fit.
        """
        yield
        return normal.solve_non_negative(self.free, without, self.solution if near is None else near)

    def _solve(self) -> Work[None]:
        """An MM-estimate (Yohai 1987): Huber's weights lead there from anywhere, Tukey's then leave gross outliers out.

        With Huber's alone, three windows in which a cache is filled widen the interval of a leak fivefold.
        """
        yield from self._weigh([1.0] * len(self.y))
        yield from self._converge(_huber)
        yield from self._converge(_tukey)
        self.error = sumprod(self.weights, [rest * rest for rest in self.left])

    def _converge(self, weight: Callable[[float], float]) -> Work[None]:
        for _ in range(_ROUNDS):
            before, weights = self.scale, [weight(rest / self.scale) for rest in self.left]
            if not determined(sum(map(bool, weights)), len(self.columns)):
                break
            yield from self._weigh(weights)
            if abs(before - self.scale) <= 1e-3 * self.scale:
                break

    def _weigh(self, weights: list[float]) -> Work[None]:
        self.weights, self._normal = weights, None
        self.solution = yield from self.best(Weighted(self.columns, self.y, weights))
        self.left = residuals(self.columns, self.y, self.solution)
        self.scale = _scale(self.left, self.y, len(self.columns))


def _huber(rest: float) -> float:
    return min(1.0, _HUBER / abs(rest)) if rest else 1.0


def _tukey(rest: float) -> float:
    return max(0.0, 1 - (rest / _TUKEY) ** 2) ** 2


def determined(rows: int, columns: int) -> bool:
    """Whether there are enough rows to tell noise from what the columns explain."""
    return rows >= max(LEAST_WINDOWS, columns + _LEAST_FREEDOM)


def _present(windows: Sequence[Window]) -> list[str]:
    """The routes that can be told apart, the busiest first."""
    total: dict[str, float] = {}
    present: dict[str, int] = {}
    for window in windows:
        for route, number in window.requests.items():
            total[route] = total.get(route, 0) + number
            present[route] = present.get(route, 0) + (number > 0)
    found = [route for route in total if present[route] >= _LEAST_PRESENT]
    return sorted(found, key=lambda route: (-total[route], route))[:MOST_ROUTES]


def _scale(left: Sequence[float], y: Sequence[float], size: int) -> float:
    """The standard deviation of the noise by the median, which no outlier moves; never quite zero."""
    freedom = max(len(left) - size, 1)
    found = 1.4826 * median(map(abs, left)) * math.sqrt(len(left) / freedom)
    return max(found, 1e-4 * median(map(abs, y)), 1e-9)
