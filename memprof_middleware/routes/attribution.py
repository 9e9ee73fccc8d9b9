"""Attribution of growth to routes: the growth of many windows, divided by each route's requests in each.

One equation for each window of each worker::

    growth = sum over routes (kept per request x requests) + background x seconds + in flight x change + noise

solved for what is kept per request, at least zero. Requests that run at the same time do not disturb it, as they
disturb a measurement around a single request; what it needs is that the mix of routes changes from window to window,
and where that is not so it says so and names no route.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from operator import is_

from memprof_middleware.analysis.least_squares import Columns, Normal, residuals, student
from memprof_middleware.model import Estimate, RouteGrowth
from memprof_middleware.routes.fit import LEAST_WINDOWS, NEEDED, RouteFit, Window, determined
from memprof_middleware.routes.givebacks import settled
from memprof_middleware.routes.work import Work

# Windows so many times less noisy than those before them are judged alone.
_CALMER = 5.0
# What was given back so far says roughly what is still to come.
_MARGIN = 1.25
# An estimate whose low end is below this part of it is none yet: more windows will tell.
_SURE = 0.2


def attribution(windows: Sequence[Window]) -> Work[list[RouteGrowth] | None]:
    """Attribute the growth to the routes.

    Robust in four ways: windows that one burst or load step spoils weigh less (Huber's weights, iterated); what is
    given back later is set against what was taken (:mod:`.givebacks`); a cache that was filled is over when the route
    kept significantly more in the earlier windows; and a background that grows by itself has a term of its own.

    A route is named only if leaving it out makes the fit significantly worse (3.3 standard errors). Otherwise the
    routes that can take its place are named together, without a figure for each. Intervals are of 95 %: all values
    that the windows allow while every other route is free (profile likelihood), and at least what the
    heteroscedasticity-consistent sandwich variance HC3 (MacKinnon and White 1985) says with Student's quantile.

    Args:
        windows: oldest first, of one worker or of many.

    Returns:
        The routes that keep something, the most first; empty if none does; ``None`` while that cannot be told.
    """
    fit = yield from _calm(windows)
    predicted = [window.growth - left for window, left in zip(fit.windows, fit.left, strict=True)]
    rows, released = settled(fit.windows, predicted, LEAST_WINDOWS)
    if len(rows) < LEAST_WINDOWS:
        return None
    if not _are_the_same(rows, fit.windows):
        fit = yield from RouteFit.of(rows, fit)
    fit = yield from fit.without_echo()
    if not determined(len(rows), len(fit.columns)):
        return None
    while start := (yield from fit.slows_at()):
        fit = yield from RouteFit.of(rows := rows[start:], fit)
        fit = yield from fit.without_echo()
    return (yield from _Verdict(fit, released).growths())


def attribution_of_workers(windows: Sequence[Window]) -> Work[list[RouteGrowth] | None]:
    """As :func:`attribution` for all workers together, and beside it what only one of them shows.

    A route that leaks in one worker is an outlier among many. Each worker is therefore judged by itself too, and
    where its interval and that of all together exclude each other, or all together show nothing, it is told with the
    worker's name.
    """
    if not any(window.requests for window in windows):
        return None
    together = yield from attribution(windows)
    by_worker: dict[str, list[Window]] = {}
    for window in windows:
        by_worker.setdefault(window.worker, []).append(window)
    if len(by_worker) < 2:
        return together
    found = list(together or ())
    common = {growth.route: growth.per_request for growth in found}
    named = {route for growth in found for route in growth.together_with}
    for worker, own in by_worker.items():
        for growth in (yield from attribution(own)) or ():
            all_show = common.get(growth.route)
            agrees = all_show and growth.per_request.low <= all_show.high and all_show.low <= growth.per_request.high
            if growth.identified and not agrees and growth.route not in named:
                found.append(dataclasses.replace(growth, worker=worker))
    return found if together is not None or found else None


def _calm(windows: Sequence[Window]) -> Work[RouteFit]:
    """A fit of the windows, or of the later ones where those before are so much noisier that they only spoil them."""
    fit = yield from RouteFit.of(windows)
    while later := (yield from _calmer(fit)):
        fit = later
    return fit


def _calmer(fit: RouteFit) -> Work[RouteFit | None]:
    """A fit of the later windows alone, if they are much calmer than all together."""
    size = len(fit.windows)
    for start in (size // 6, size // 4, size // 3, size // 2):
        if start and size - start >= max(LEAST_WINDOWS, 1.5 * len(fit.columns)):
            late = yield from RouteFit.of(fit.windows[start:], fit)
            if _CALMER * late.scale < fit.scale:
                return late
    return None


def _are_the_same(rows: Sequence[Window], windows: Sequence[Window]) -> bool:
    return len(rows) == len(windows) and all(map(is_, rows, windows))


class _Verdict:
    """The routes of one fit, where a part of the growth may have been given back."""

    def __init__(self, fit: RouteFit, released: float) -> None:
        self._fit, self._released = fit, released

    def growths(self) -> Work[list[RouteGrowth]]:
        """The routes that keep memory, alone or together."""
        fit = self._fit
        noise = fit.noise() * NEEDED
        kept = [j for j in range(fit.free, fit.free + len(fit.routes)) if fit.solution[j] > 0]
        others = {}
        for j in kept:
            others[j] = yield from fit.best(fit.normal, without=[j])
        needed = [j for j in kept if fit.normal.error(others[j]) - fit.error > noise]
        groups, claimed = [[j] for j in needed], set(needed)
        for j in sorted(others.keys() - claimed, key=lambda j: -self._kept(j)):
            if j in claimed:
                continue
            group = [j, *(k for k in self._takers(j, others[j]) if k not in claimed)]
            without = yield from fit.best(fit.normal, without=group)
            if len(group) > 1 and fit.normal.error(without) - fit.error > noise:
                groups.append(group)
                claimed.update(group)
        return (yield from self._estimates(groups))

    def _kept(self, j: int, solution: Sequence[float] | None = None) -> float:
        return (solution or self._fit.solution)[j] * self._fit.totals[j]

    def _takers(self, j: int, others: Sequence[float]) -> list[int]:
        """The routes that take over, in a fit without route ``j``, a good part of what it kept."""
        fit = self._fit
        moved = self._kept(j)
        return [
            k
            for k in range(fit.free, len(fit.columns))
            if k != j and self._kept(k, others) - self._kept(k) > 0.2 * moved
        ]

    def _estimates(self, groups: list[list[int]]) -> Work[list[RouteGrowth]]:
        fit = self._fit
        columns = fit.columns[: fit.free] + [self._summed(group) for group in groups]
        normal = Normal.of(columns, fit.y, fit.weights)
        solution = yield from fit.best(normal, near=[1.0] * len(columns))
        spread = _sandwich(columns, residuals(columns, fit.y, solution), fit.weights, normal)
        found: list[RouteGrowth] = []
        total = sum(window.growth for window in fit.windows)
        hours = sum(window.seconds for window in fit.windows) / 3600
        for number, group in enumerate(groups, start=fit.free):
            value, names = solution[number], [self._name(j) for j in group]
            low, high = yield from self._range(group, value, spread[number])
            value = min(max(value, low), high)
            requests = sum(fit.totals[j] for j in group)
            low = max(0.0, low - _MARGIN * self._released / requests)
            if low <= _SURE * value:
                continue  # what may be next to nothing is not told
            kept = value * requests
            found.append(
                RouteGrowth(
                    route=names[0],
                    together_with=tuple(names[1:]),
                    requests=round(requests),
                    windows=len(fit.windows),
                    kept=kept,
                    share=min(1.0, kept / total) if total > 0 else 1.0,
                    per_hour=kept / hours if hours else 0.0,
                    per_request=Estimate(value, low, high),
                )
            )
        return sorted(found, key=lambda growth: -growth.kept)

    def _range(self, group: list[int], value: float, error: float) -> Work[tuple[float, float]]:
        """The values that the windows allow, if every other route may keep any amount."""
        fit = self._fit
        columns = [column for j, column in enumerate(fit.columns) if j not in group]
        normal = Normal.of([*columns, self._summed(group)], fit.y, fit.weights)
        *_, own = normal.matrix
        near = [value for j, value in enumerate(fit.solution) if j not in group]
        allowed = fit.error + fit.noise() * student(math.inf) ** 2

        def is_allowed(candidate: float) -> Work[bool]:
            fixed = Normal(
                [row[:-1] for row in normal.matrix[:-1]],
                [right - candidate * entry for right, entry in zip(normal.right[:-1], own[:-1], strict=True)],
                normal.square - 2 * candidate * normal.right[-1] + candidate**2 * own[-1],
            )
            return fixed.error((yield from fit.best(fixed, near=near))) <= allowed

        *_, best = yield from fit.best(normal, near=near)
        step = max(error, 1e-3 * abs(best), 1e-9)
        reach = student(len(fit.y) - len(fit.columns)) * error
        low, high = (yield from _edge(is_allowed, best, -step)), (yield from _edge(is_allowed, best, step))
        return max(0.0, min(low, value - reach)), max(high, value + reach)

    def _summed(self, group: list[int]) -> list[float]:
        return [sum(values) for values in zip(*(self._fit.columns[j] for j in group), strict=True)]

    def _name(self, j: int) -> str:
        index = j - self._fit.free
        return self._fit.routes[index] if index < len(self._fit.routes) else "<rare>"


def _edge(is_allowed: Callable[[float], Work[bool]], inside: float, step: float) -> Work[float]:
    """The last allowed value in one direction, found in doubled steps and then by halving."""
    good, bad = inside, inside + step
    for _ in range(20):
        if not (yield from is_allowed(bad)):
            break
        good, bad = bad, bad + 2 * (bad - good)
    for _ in range(8):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if (yield from is_allowed(middle)) else (good, middle)
    return (good + bad) / 2


def _sandwich(columns: Columns, left: Sequence[float], weights: Sequence[float], normal: Normal) -> list[float]:
    """Standard errors by HC3: a row of noise counts as it would had the fit not seen it."""
    size = range(len(columns))
    inverse = normal.inverse(size)
    variances = [0.0] * len(columns)
    for row, (rest, weight) in enumerate(zip(left, weights, strict=True)):
        entries = [columns[j][row] for j in size]
        pulled = [sum(inverse[i][j] * entries[j] for j in size) for i in size]
        leverage = weight * sum(a * b for a, b in zip(entries, pulled, strict=True))
        unseen = weight * rest / max(1 - leverage, 0.05)
        for i in size:
            variances[i] += (pulled[i] * unseen) ** 2
    return [math.sqrt(variance) for variance in variances]
