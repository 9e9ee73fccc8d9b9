"""Account for memory: the bytes of each population, and unexplained memory by allocator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import sub

from memprof_middleware.analysis.bounded import sumprod
from memprof_middleware.analysis.least_squares import Normal, residuals
from memprof_middleware.analysis.memory import BLOCK, MAPPED, NATIVE, UNTRACKED
from memprof_middleware.leaks.grouping import root_of
from memprof_middleware.leaks.line import floor_of
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population, misfit, together
from memprof_middleware.model import LeakKind
from memprof_middleware.model.value import valueclass

# The account is made over so many stretches of the past; so many populations of unknown weight may share the rest.
_STRETCHES, _MOST_UNKNOWN = 64, 6
# Mapped memory is told apart where it has so much of the growth.
_CARRIES = 0.4
# A population of unknown weight is taken on if it explains so much of what is left.
_EXPLAINS = 0.2
# It does so by as much as what feeds it, or nearly: so much of it.
_AS_WELL = 0.95
# One thing weighs no more than this, if nobody has weighed it: what grows with it is no part of it, then.
_HEAVIEST = 32 * 1024.0
# Nor does it stand for memory by being in step with it, if it had to weigh so much: an image or a table may.
_LARGEST = 1024 * 1024.0
# Others are held to their estimate less so much when it is asked what one can weigh at the most.
_OTHERS = 0.6
# Memory grows in step with what is in it if this part of its growth is not explained at the most,
_IN_STEP = 0.03
# and if both grow more at some looks and less at others: any two straight lines are in step.
_TOGETHER = 0.6
# What a sample says is right within these factors; it is set right by no fewer stretches than these.
_SAMPLED, _FEWEST_ROWS = (0.4, 1.8), 12
# So many feeds are taken out before it is asked what a population adds; additions that vary by so little do not vary.
_MOST_FEEDS, _EVEN = 4, 1e-6


@valueclass(frozen=True, slots=True)
class Item:
    """A population and its bytes.

    Attributes:
        population: what grows.
        each: what one weighs, in bytes.
        measured: by a sample of it, not by what the memory leaves.
    """

    population: Population
    each: float
    measured: bool

    def gained(self, begin: int, end: int) -> float:
        """Bytes gained between two rows."""
        values = self.population.values
        return self.each * (values[min(end, len(values) - 1)] - values[min(begin, len(values) - 1)])

    def kept(self, begin: int) -> float:
        """Bytes gained from a row on, up to the level that is never undercut again."""
        floor = floor_of(self.population.values)
        return max(0.0, self.each * (floor[-1] - floor[min(begin, len(floor) - 1)]))


@valueclass(frozen=True, slots=True)
class Account:
    """The account of a process: its memory by population, and the unexplained rest.

    Attributes:
        items: populations and what they weigh.
        hidden: memory that none of them explains, at each row.
        total: all memory in use, at each row.
        unknown: populations that nobody has weighed.
    """

    items: tuple[Item, ...]
    hidden: tuple[Population, ...]
    total: Sequence[float]
    unknown: tuple[Population, ...] = ()

    def with_hidden(self, item: Item) -> list[float]:
        """At each row, the unexplained memory together with that of one population."""
        return [
            rest + item.each * value for rest, value in zip(self.hidden[0].values, item.population.values, strict=False)
        ]

    def beside(self, memory: Population, begin: int, end: int) -> tuple[Population, ...]:
        """Populations of unknown size that grow in step with unexplained memory, the best match first."""
        rest = memory.values[begin : end + 1]
        parts = ((one, one.values[begin : end + 1]) for one in self.unknown)
        found = [one for one, part in parts if in_step(part, rest) and _can_weigh(part, rest)]
        return tuple(sorted(found, key=lambda one: (misfit(one.values[begin : end + 1], rest), one.name)))

    def inside(self, item: Item) -> tuple[Item, ...]:
        """The counted content of a container: lists and dicts in its entries that do not grow in lockstep with it.

        The newest entries, which are weighed, have little in them of what comes to each entry later.
        """
        own = item.population
        if own.kind != "container" or root_of(own.name) != own.name:
            return ()
        others = (other for other in self.items if other is not item and other.population.bound is None)
        return tuple(other for other in others if root_of(other.population.name) == own.name)

    def most(self, item: Item, begin: int, end: int) -> float:
        """The most bytes that a population can have gained between two rows, beside the others."""
        own = {id(one) for one in (item, *self.inside(item))}
        others = sum(max(0.0, other.gained(begin, end)) for other in self.items if id(other) not in own)
        return self.total[end] - self.total[begin] - _OTHERS * others


def _can_weigh(values: Sequence[float], memory: Sequence[float]) -> bool:
    """Whether so many things can be so much memory: a dozen of them that keep step with it are no megabytes each."""
    return memory[-1] - memory[0] <= _LARGEST * (values[-1] - values[0])


def in_step(values: Sequence[float], memory: Sequence[float]) -> bool:
    """Whether memory grows with a population from row to row, not only over the whole time."""
    return misfit(values, memory) <= _IN_STEP and together(values, memory) >= _TOGETHER


def in_use(past: Past) -> list[float]:
    """Memory in use at each row: all memory except files and free memory of the allocator."""
    return [
        heap - (0.0 if math.isnan(free) else free)
        for heap, free in zip(past.column("heap"), past.column("retained"), strict=True)
    ]


def account(past: Past, populations: Sequence[Population], feeds: Iterable[Sequence[float]] = ()) -> Account:
    """Estimate the bytes of the populations, and find unexplained memory.

    Args:
        past: the past of the process.
        populations: what grows.
        feeds: what may feed memory that nobody sees, at each row.
    """
    total = in_use(past)
    rows = sorted({round(part * (past.size - 1) / _STRETCHES) for part in range(_STRETCHES + 1)})
    items = [Item(one, one.entry_bytes, True) for one in populations if one.entry_bytes is not None]
    unknown = [one for one in populations if one.entry_bytes is None]
    mapped = _mapped(past, total)
    carries = mapped is not None and _carries(mapped, total)
    rest = list(map(sub, total, mapped)) if mapped is not None and carries else list(total)
    for item in items:
        rest = _less(rest, item)
    items, rest = _set_right(items, rest, rows)
    for one, each in _weigh(unknown, rest, rows, list(feeds)).items():
        items.append(Item(unknown[one], each, False))
        rest = _less(rest, items[-1])
    hidden = [_named(past, rest, rows)]
    if mapped is not None and carries:
        hidden.append(Population(MAPPED, "mapped", mapped))
    return Account(tuple(items), tuple(hidden), total, tuple(unknown))


def _set_right(items: list[Item], rest: list[float], rows: Sequence[int]) -> tuple[list[Item], list[float]]:
    """Correct the items by the growth of memory with them; a sample sees only objects near an entry.

    A list of records of dicts weighs twice what one level of it does; what all entries share counts in each sample.
    Only what memory gains more of at the same looks is an item's, and the sample remains a bound.
    """
    found = []
    for item in sorted(items, key=lambda item: -item.gained(0, rows[-1])):
        own = item.population.values
        memory = [left + item.each * own[min(row, len(own) - 1)] for row, left in enumerate(rest)]
        right = item
        looks = _looks(item.population, rows)
        pair = ([series[min(row, len(own) - 1)] for row in looks] for series in (own, memory))
        if len(looks) > _FEWEST_ROWS and together(*pair) >= _TOGETHER:
            more = _slope(_steps(own, looks), _steps(rest, looks))
            low, high = (factor * item.each for factor in _SAMPLED)
            right = Item(item.population, min(high, max(low, item.each + more)), True)
        rest = _less(rest, Item(item.population, right.each - item.each, True))
        found.append(right)
    return found, rest


def _looks(one: Population, rows: Sequence[int]) -> Sequence[int]:
    """The rows at which a population was measured, so many at the most: between them it is on a line, memory is not.

    Before it was measured for the first time, and since the last time, it seems to stand still.
    """
    if not one.measured:
        return rows
    most = min(_STRETCHES, len(one.measured) - 1)
    return [one.measured[round(part * (len(one.measured) - 1) / max(1, most))] for part in range(most + 1)]


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the second series' increments over those of the first; 0 without variation."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    square = sum((step - mean_x) ** 2 for step in x)
    if square <= _EVEN * len(x) * mean_x**2:
        return 0.0
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / square


def _less(rest: Sequence[float], item: Item) -> list[float]:
    values = item.population.values
    last = len(values) - 1
    return [left - item.each * values[min(row, last)] for row, left in enumerate(rest)]


def _carries(mapped: Sequence[float], total: Sequence[float]) -> bool:
    """Whether mapped memory has a large share of the growth; smaller shares are within the error of the block size."""
    grown = total[-1] - min(total)
    return mapped[-1] - min(mapped) > _CARRIES * grown > 0


def _mapped(past: Past, total: Sequence[float]) -> list[float] | None:
    """Memory outside both allocators; ``None`` without figures of the C library."""
    native, blocks = past.column("native"), past.column("blocks")
    if any(map(math.isnan, native)) or any(map(math.isnan, blocks)):
        return None
    return [all_ - own - BLOCK * number for all_, own, number in zip(total, native, blocks, strict=True)]


def _weigh(
    unknown: Sequence[Population], rest: Sequence[float], rows: Sequence[int], feeds: Sequence[Sequence[float]]
) -> Mapping[int, float]:
    """The bytes of populations of unknown size, by the memory that grows with them; the best matches only.

    A type competes with what feeds memory: if the requests of a route explain more, memory that nobody sees grows with
    them, and a type that merely grows too is no part of it.
    """
    y = _steps(rest, rows)
    columns = {
        index: _steps(one.values, rows) for index, one in enumerate(unknown) if len(one.values) > rows[-1] * 3 // 4
    }
    feeding = [_steps(feed, rows) for feed in feeds]
    chosen: list[int] = []
    others: list[list[float]] = []
    found: dict[int, float] = {}
    left = y
    square = sum(step * step for step in y)
    while columns and len(chosen) + len(others) < _MOST_UNKNOWN:
        best = max(columns, key=lambda index: _explained(left, columns[index]))
        explained = _explained(left, columns[best])
        feed = max(feeding, key=lambda steps: _explained(left, steps), default=None)
        if max(explained, 0.0 if feed is None else _explained(left, feed)) < _EXPLAINS * square:
            break
        if feed is not None and explained < _AS_WELL * _explained(left, feed):
            others.append(feed)
            feeding.remove(feed)
        else:
            chosen.append(best)
        own = [*(_steps(unknown[index].values, rows) for index in chosen), *others]
        each = Normal.of(own, y, [1.0] * len(y)).solve_non_negative(free=0)
        if max(each[: len(chosen)], default=0.0) > _HEAVIEST:
            chosen.remove(best)
            del columns[best]
            continue
        found = {index: weight for index, weight in zip(chosen, each, strict=False) if weight > 0}
        left = [
            step - sum(weight * column[row] for weight, column in zip(each, own, strict=True))
            for row, step in enumerate(y)
        ]
        if best in chosen:
            del columns[best]
    return {index: weight for index, weight in found.items() if _adds(index, unknown, found, y, rows, feeds)}


def _adds(
    index: int,
    unknown: Sequence[Population],
    found: Mapping[int, float],
    y: Sequence[float],
    rows: Sequence[int],
    feeds: Sequence[Sequence[float]],
) -> bool:
    """Whether a population explains growth beyond time and requests: both grow more between the same rows."""
    own = _steps(unknown[index].values, rows)
    others = [_steps(unknown[other].values, rows) for other in found if other != index]
    others += [[1.0] * len(y), *(_steps(feed, rows) for feed in feeds[:_MOST_FEEDS])]
    weights = [1.0] * len(y)
    normal = Normal.of(others, y, weights)
    left = residuals(others, y, normal.solve_non_negative(free=len(others)))
    apart = residuals(others, own, Normal.of(others, own, weights).solve_non_negative(free=len(others)))
    square, all_ = sum(rest * rest for rest in apart), sum(step * step for step in own)
    if square <= _EVEN * all_:  # nobody can tell: it grows by the same at each look
        return True
    product = sum(a * b for a, b in zip(left, apart, strict=True))
    return product > 0 and product * product >= _TOGETHER**2 * square * sum(rest * rest for rest in left)


def _steps(values: Sequence[float], rows: Sequence[int]) -> list[float]:
    last = len(values) - 1
    levels = [values[min(row, last)] for row in rows]
    return [b - a for a, b in pairwise(levels)]


def _explained(y: Sequence[float], x: Sequence[float]) -> float:
    square, product = sumprod(x, x), sumprod(x, y)
    return product * product / square if square > 0 and product > 0 else 0.0


def _named(past: Past, rest: Sequence[float], rows: Sequence[int]) -> Population:
    """Unexplained memory, by the allocator whose figure it follows."""
    native, blocks = past.column("native"), past.column("blocks")
    kind: LeakKind = "native"
    if not any(map(math.isnan, blocks)):
        python = [BLOCK * step for step in _steps(blocks, rows)]
        y = _steps(rest, rows)
        if any(map(math.isnan, native)):
            kind = "untracked" if 2 * sum(python) > sum(y) else "native"
        else:
            own = _steps(native, rows)
            share = Normal.of([own, python], y, [1.0] * len(y)).solve_non_negative(free=0)
            kind = "untracked" if share[1] * abs(sum(python)) > share[0] * abs(sum(own)) else "native"
    return Population(NATIVE if kind == "native" else UNTRACKED, kind, list(rest))
