"""Weights: what samples say, set right by memory; and what nobody has weighed, by the memory that grows with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import sub

from memprof_middleware.analysis.bounded import sumprod
from memprof_middleware.analysis.least_squares import Normal, residuals
from memprof_middleware.analysis.memory import BLOCK
from memprof_middleware.leaks.line import floor_of
from memprof_middleware.leaks.populations import Population
from memprof_middleware.model.value import valueclass

# So many populations of unknown weight may share the rest.
_MOST_UNKNOWN = 6
# A population of unknown weight is taken on if it explains so much of what is left.
_EXPLAINS = 0.2
# It does so by as much as what feeds it, or nearly: so much of it.
_AS_WELL = 0.95
# One thing weighs no more than this, if nobody has weighed it: what grows with it is no part of it, then.
_HEAVIEST = 32 * 1024.0
# It must explain so much beyond time and requests, as a correlation.
_TOGETHER = 0.6
# So many feeds are taken out before it is asked what a population adds; additions that vary by so little do not vary.
_MOST_FEEDS, _EVEN = 4, 1e-6
# A sample errs by such a part of itself as a rule, and is right within these factors; so many that move most memory are
# set right, by no fewer stretches than these.
_SAMPLE_ERROR, _LEAST_WEIGHT, MOST_WEIGHT, _MOST_RIGHT, _FEWEST_ROWS = 0.35, 0.4, 1.8, 8, 12
# What a process loads in its first stretches is no item's; one that grows as evenly as time does would be made fit it.
_WARM_UP = 2
# What begins with more than such a part of its growth may have been there before anybody saw it; of what is found in
# the later half too little is known.
_LATE, _LATE_PART = 0.25, 0.5
# The same of the usual size of a block.
_BLOCK_ERROR, _BLOCKS, _USUAL = 0.7, (0.12, 3.0), 2.0
# So many feeds may bring memory that nobody sees: each brings such a part of all that has come, as a rule.
_MOST_LIKELY, _HIDDEN = 3, 0.2
# The noise of a fit is estimated in so many turns, from the stretches in which something moves, so many more than it
# has columns; of bytes it is one at the least.
_TURNS, _LEAST_FREEDOM, _LEAST_NOISE = 8, 4, 1.0


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


def set_right(
    items: Sequence[Item], rest: Sequence[float], rows: Sequence[int], feeds: Sequence[Sequence[float]]
) -> list[Item]:
    """The items, each corrected by as much as the memory that is gained with it tells for certain.

    A sample sees only objects near an entry: a list of records of dicts weighs twice what one level of it does, and
    what all entries share counts in each. All items are corrected at once, since the error of one is memory beside
    another. What the same requests feed at each look may be an item's, or memory that nobody sees: each gets a part.

    Args:
        items: what samples say.
        rest: memory that the items do not explain, at each row.
        rows: the ends of the stretches.
        feeds: what may feed memory that nobody sees, at each row.
    """
    known = [item for item in items if _since(item.population) <= rows[-1] * _LATE_PART]
    chosen = moving(known, rows)
    begin = max((_since(item.population) for item in chosen), default=0)
    rows = [row for row in _looks(chosen, rows) if row >= begin][_WARM_UP:]
    if not chosen or len(rows) <= _FEWEST_ROWS:
        return list(items)
    own = [[item.each * step for step in steps(item.population.values, rows)] for item in chosen]
    left = steps(rest, rows)
    memory = [sum(row) for row in zip(left, *own, strict=True)]
    more = corrections(own, _likeliest(memory, feeds, rows), left, _SAMPLE_ERROR)
    right = {
        item.population.name: Item(item.population, item.each * min(MOST_WEIGHT, max(_LEAST_WEIGHT, 1 + part)), True)
        for item, part in zip(chosen, more, strict=True)
    }
    return [right.get(item.population.name, item) for item in items]


def _since(one: Population) -> int:
    """The row since which a population is known: what is found late has stood at its first value until then."""
    values = one.values
    found_late = values[0] > _LATE * (max(values) - min(values))
    return one.measured[0] if one.measured and found_late else 0


def _looks(chosen: Sequence[Item], rows: Sequence[int]) -> Sequence[int]:
    """The rows at which the first of some items was measured, no more than of the others.

    One walk measures all of them; between two walks their lengths are on a line, and memory is not.
    """
    measured = chosen[0].population.measured if chosen else ()
    if not measured:
        return rows
    most = min(len(rows), len(measured)) - 1
    return [measured[round(part * (len(measured) - 1) / max(1, most))] for part in range(most + 1)]


def block_bytes(
    memory: Sequence[float], blocks: Sequence[float], rows: Sequence[int], feeds: Sequence[Sequence[float]]
) -> float:
    """What a block of Python's allocator has in this process: numbers and short tuples have less than objects do.

    Memory that blocks of a usual size explain is theirs. A route that makes them explains as much, and better where the
    blocks come and go beside it; that is no sign of memory that nobody sees.

    Args:
        memory: all memory but that of the C library, at each row.
        blocks: how many there are.
        rows: the ends of the stretches.
        feeds: what may feed memory that is in no block, at each row.
    """
    own = [BLOCK * step for step in steps(blocks, rows)]
    if len(rows) <= _FEWEST_ROWS or not any(own):
        return BLOCK
    left = [step - block for step, block in zip(steps(memory, rows), own, strict=True)]
    factor = 1 + corrections([own], [], left, _BLOCK_ERROR)[0]
    if factor > _USUAL:  # blocks of that size do not exist: something else brings memory with them
        factor = 1 + corrections([own], _likeliest(steps(memory, rows), feeds, rows), left, _BLOCK_ERROR)[0]
    low, high = _BLOCKS
    return BLOCK * min(high, max(low, factor))


def _likeliest(memory: Sequence[float], feeds: Sequence[Sequence[float]], rows: Sequence[int]) -> list[list[float]]:
    """What the feeds that are most like some memory bring from row to row."""
    found = [steps(feed, rows) for feed in feeds]
    return sorted(found, key=lambda feed: -_explained(memory, feed))[:_MOST_LIKELY]


def corrections(
    columns: Sequence[Sequence[float]], beside: Sequence[Sequence[float]], left: Sequence[float], error: float
) -> list[float]:
    """By what part of itself each column adds more than it says: a ridge regression, whose prior is that error.

    Without noise the memory decides; where noise or another column hides it, what was said remains.

    Args:
        columns: the bytes that each has gained from row to row, as is said.
        beside: what else may have brought memory, and never freed any, in any unit.
        left: the bytes that the columns leave.
        error: of what is said, as a part of it: one standard deviation.
    """
    most = max(sum(map(abs, left)), *(abs(sum(column)) for column in columns))
    others = [column for column in beside if sum(column) > 0]
    scaled = [[step * most / sum(column) for step in column] for column in others]
    own, every = len(columns), [*columns, *scaled]
    normal = Normal.of(every, left, [1.0] * len(left))
    noise, found = sumprod(left, left) / len(left), [0.0] * len(every)
    told = sum(any(row) for row in zip(*columns, strict=True))
    freedom = max(_LEAST_FREEDOM, told - len(every))
    for _ in range(_TURNS):
        matrix = [list(row) for row in normal.matrix]
        for index, row in enumerate(matrix):
            row[index] += noise / (error if index < own else _HIDDEN) ** 2
        found = Normal(matrix, normal.right, normal.square).solve_non_negative(free=own, near=found)
        unexplained = residuals(every, left, found)
        noise = max(_LEAST_NOISE, sumprod(unexplained, unexplained) / freedom)
    return found[:own]


def moving(items: Sequence[Item], rows: Sequence[int]) -> list[Item]:
    """The items whose memory moves most from row to row, up and down."""

    def moves(item: Item) -> float:
        own = steps(item.population.values, rows)
        return item.each**2 * sumprod(own, own)

    return sorted((item for item in items if moves(item) > 0), key=lambda item: -moves(item))[:_MOST_RIGHT]


def less(rest: Sequence[float], item: Item) -> list[float]:
    """Memory without that of an item, at each row."""
    values, each = item.population.values, item.each
    stands = each * values[-1]
    found = [left - each * value for left, value in zip(rest, values, strict=False)]
    return found + [left - stands for left in rest[len(found) :]]


def weigh(
    unknown: Sequence[Population], rest: Sequence[float], rows: Sequence[int], feeds: Sequence[Sequence[float]]
) -> Mapping[int, float]:
    """The bytes of populations of unknown size, by the memory that grows with them; the best matches only.

    A type competes with what feeds memory: if the requests of a route explain more, memory that nobody sees grows with
    them, and a type that merely grows too is no part of it.
    """
    y = steps(rest, rows)
    columns = {
        index: steps(one.values, rows) for index, one in enumerate(unknown) if len(one.values) > rows[-1] * 3 // 4
    }
    feeding = [steps(feed, rows) for feed in feeds]
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
        own = [*(steps(unknown[index].values, rows) for index in chosen), *others]
        each = Normal.of(own, y, [1.0] * len(y)).solve_non_negative(free=0)
        heaviest = max(range(len(chosen)), key=each.__getitem__, default=None)
        if heaviest is not None and each[heaviest] > _HEAVIEST:
            # What was taken on last is no part of it; a feed is, and leaves the heaviest with too much.
            wrong = best if best in chosen else chosen[heaviest]
            chosen.remove(wrong)
            columns.pop(wrong, None)
            found.pop(wrong, None)
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
    own = steps(unknown[index].values, rows)
    others = [steps(unknown[other].values, rows) for other in found if other != index]
    others += [[1.0] * len(y), *(steps(feed, rows) for feed in feeds[:_MOST_FEEDS])]
    weights = [1.0] * len(y)
    normal = Normal.of(others, y, weights)
    left = residuals(others, y, normal.solve_non_negative(free=len(others)))
    apart = residuals(others, own, Normal.of(others, own, weights).solve_non_negative(free=len(others)))
    square, all_ = sum(rest * rest for rest in apart), sum(step * step for step in own)
    if square <= _EVEN * all_:  # nobody can tell: it grows by the same at each look
        return True
    product = sum(a * b for a, b in zip(left, apart, strict=True))
    return product > 0 and product * product >= _TOGETHER**2 * square * sum(rest * rest for rest in left)


def steps(values: Sequence[float], rows: Sequence[int]) -> list[float]:
    """The growth from each row to the next, up to the last one that is known."""
    last = len(values) - 1
    known = rows if rows[-1] <= last else [min(row, last) for row in rows]
    levels = list(map(values.__getitem__, known))
    return list(map(sub, levels[1:], levels))


def _explained(y: Sequence[float], x: Sequence[float]) -> float:
    square, product = sumprod(x, x), sumprod(x, y)
    return product * product / square if square > 0 and product > 0 else 0.0
