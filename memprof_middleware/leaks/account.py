"""Account for memory: the bytes of each population, and unexplained memory by allocator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import sub

from memprof_middleware.analysis.least_squares import Normal
from memprof_middleware.analysis.memory import BLOCK, MAPPED, NATIVE, UNTRACKED, kept_free
from memprof_middleware.leaks.alike import misfit, together
from memprof_middleware.leaks.feed import feeds
from memprof_middleware.leaks.grouping import root_of
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population, populations
from memprof_middleware.leaks.room import taken
from memprof_middleware.leaks.weighing import Item, block_bytes, less, moving, set_right, steps, weigh
from memprof_middleware.model import LeakKind
from memprof_middleware.model.value import valueclass

# The account is made over so many stretches of the past.
_STRETCHES = 64
# Mapped memory is told apart where it has so much of the growth.
_CARRIES = 0.4
# Few things that grow in step with memory do not stand for it, if each had to weigh so much; where there are so many,
# an image or a table may.
_LARGEST, _MANY = 1024 * 1024.0, 32
# Others are held to their estimate less so much when it is asked what one can weigh at the most.
_OTHERS = 0.6
# Memory grows in step with what is in it if this part of its growth is not explained at the most,
_IN_STEP = 0.03
# and if both grow more at some looks and less at others: any two straight lines are in step.
_TOGETHER = 0.6
# What is in step but for so much, or is too few for all of it, at least this many, is named beside it.
_NEARLY_IN_STEP, _FEWEST = 2 * _IN_STEP, 8


@valueclass(frozen=True, slots=True)
class Account:
    """The account of a process: its memory by population, and the unexplained rest.

    Attributes:
        items: populations and what they weigh.
        hidden: memory that none of them explains, at each row.
        total: all memory in use, at each row.
        unknown: populations that nobody has weighed.
        outside: the most memory that there can be outside both allocators now, arenas that they keep free left out.
    """

    items: tuple[Item, ...]
    hidden: tuple[Population, ...]
    total: Sequence[float]
    unknown: tuple[Population, ...] = ()
    outside: float = math.inf

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

    def with_it(self, memory: Population, begin: int, end: int) -> tuple[str, ...]:
        """The names of populations of unknown size that may be of unexplained memory, and are no account of it.

        A few large things do not draw its line closely, beside memory of others.
        """
        rest = memory.values[begin : end + 1]
        parts = ((one, one.values[begin : end + 1]) for one in self.unknown)
        # In this order: of what was not counted since, nothing is left.
        found = [one for one, part in parts if in_step(part, rest, _NEARLY_IN_STEP) and part[-1] - part[0] >= _FEWEST]
        return tuple(one.name for one in found)

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
        """The most bytes that a population can have gained between two rows, beside what others gained or freed."""
        own = {id(one) for one in (item, *self.inside(item))}
        others = sum(other.gained(begin, end) for other in self.items if id(other) not in own)
        return self.total[end] - self.total[begin] - _OTHERS * others

    def come(self, begin: int, end: int) -> float:
        """All bytes that have come between two rows, those in the place of what was freed included."""
        return self.total[end] - self.total[begin] - sum(min(0.0, item.gained(begin, end)) for item in self.items)


def _can_weigh(values: Sequence[float], memory: Sequence[float]) -> bool:
    """Whether so many things can be so much memory: a dozen of them that keep step with it are no megabytes each."""
    gained = values[-1] - values[0]
    return gained >= _MANY or memory[-1] - memory[0] <= _LARGEST * gained


def in_step(values: Sequence[float], memory: Sequence[float], most: float = _IN_STEP) -> bool:
    """Whether memory grows with a population from row to row, not only over the whole time.

    Args:
        values: how many there are, at each row.
        memory: bytes.
        most: what a line may leave of the growth of the memory.
    """
    return misfit(values, memory) <= most and together(values, memory) >= _TOGETHER


def in_use(past: Past, feeding: Sequence[Sequence[float]] = ()) -> list[float]:
    """Memory in use at each row: all memory except files and the free memory of both allocators.

    Args:
        past: the past of the process.
        feeding: what may feed memory that is in no block, at each row.
    """
    return _in_use(past, feeding)[0]


def _in_use(past: Past, feeding: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Memory in use at each row, and the bytes of a block."""
    total, native, blocks = taken(past), past.column("native"), past.column("blocks")
    others = list(map(sub, total, native)) if not any(map(math.isnan, native)) else total
    block = BLOCK
    if others is not total and not any(map(math.isnan, blocks)):
        # What is freed stays with the allocator as a rule: memory grows with the most blocks so far.
        block = block_bytes(others, list(accumulate(blocks, max)), _rows(past), feeding)
    return list(map(sub, total, kept_free(others, blocks, block))), block


def _rows(past: Past) -> list[int]:
    """The ends of the stretches over which the account is made."""
    return sorted({round(part * (past.size - 1) / _STRETCHES) for part in range(_STRETCHES + 1)})


class Books:
    """The account of a past, made once for all who ask for it in one state of that past.

    Args:
        past: the past of the process.
        same_root: whether two types are held by one root.
    """

    def __init__(self, past: Past, same_root: Callable[[str, str], bool] = lambda _a, _b: False) -> None:
        self._past, self._same_root = past, same_root
        self._made: tuple[int, Account] | None = None

    def account(self) -> Account:
        """The account as of now."""
        if self._made is None or self._made[0] != self._past.version:
            past = self._past
            feeding = feeds(past.column("times"), past.column("requests"), past.routes(), past.column("failed"))
            self._made = past.version, account(past, populations(past, self._same_root), feeding.values())
        return self._made[1]

    def release(self) -> None:
        """Let go of it: it weighs more than the past."""
        self._made = None


def account(past: Past, counted: Sequence[Population], feeding: Iterable[Sequence[float]] = ()) -> Account:
    """Estimate the bytes of the populations, and find unexplained memory.

    Args:
        past: the past of the process.
        counted: what grows, or has moved.
        feeding: what may feed memory that nobody sees, at each row.
    """
    rows, feeding = _rows(past), list(feeding)
    total, block = _in_use(past, feeding)
    items = [Item(one, one.entry_bytes, True) for one in counted if one.entry_bytes is not None]
    unknown = [one for one in counted if one.entry_bytes is None]
    mapped = _mapped(past, total, block)
    carries = mapped is not None and _carries(mapped, total)
    rest = list(map(sub, total, mapped)) if mapped is not None and carries else list(total)
    items = set_right(items, _without(rest, items), rows, feeding)
    rest = _without(rest, items)
    for one, each in weigh(unknown, rest, rows, feeding).items():
        items.append(Item(unknown[one], each, False))
        rest = less(rest, items[-1])
    hidden = [_named(past, rest, items, rows, block)]
    if mapped is not None and carries:
        hidden.append(Population(MAPPED, "mapped", mapped))
    return Account(tuple(items), tuple(hidden), total, tuple(unknown), _outside(past))


def _outside(past: Past) -> float:
    """What the C library and the arenas of Python leave: what these keep free is in no block, and in no extension."""
    heap, native, free = (past.column(name)[-1] for name in ("heap", "native", "retained"))
    found = math.inf if past.arenas is None else heap - native - free - past.arenas
    return math.inf if math.isnan(found) else found


def _without(memory: Sequence[float], items: Iterable[Item]) -> list[float]:
    rest = list(memory)
    for item in items:
        rest = less(rest, item)
    return rest


def _carries(mapped: Sequence[float], total: Sequence[float]) -> bool:
    """Whether mapped memory has a large share of the growth; smaller shares are within the error of the block size."""
    grown = total[-1] - min(total)
    return mapped[-1] - min(mapped) > _CARRIES * grown > 0


def _mapped(past: Past, total: Sequence[float], block: float) -> list[float] | None:
    """Memory outside both allocators; ``None`` without figures of the C library."""
    native, blocks = past.column("native"), past.column("blocks")
    if any(map(math.isnan, native)) or any(map(math.isnan, blocks)):
        return None
    return [all_ - own - block * number for all_, own, number in zip(total, native, blocks, strict=True)]


def _named(past: Past, rest: Sequence[float], items: Sequence[Item], rows: Sequence[int], block: float) -> Population:
    """Unexplained memory, by the allocator whose figure it follows beside what the items take and give back."""
    native, blocks = past.column("native"), past.column("blocks")
    kind: LeakKind = "native"
    if not any(map(math.isnan, blocks)):
        python = [block * step for step in steps(blocks, rows)]
        y = steps(rest, rows)
        if any(map(math.isnan, native)):
            kind = "untracked" if 2 * sum(python) > sum(y) else "native"
        elif (certain := _certainly(sum(python), sum(steps(native, rows)), sum(y))) is not None:
            kind = certain
        else:
            own = steps(native, rows)
            known = [steps(item.population.values, rows) for item in moving(items, rows)]
            share = Normal.of([*known, own, python], y, [1.0] * len(y)).solve_non_negative(free=len(known))
            kind = "untracked" if share[-1] * abs(sum(python)) > share[-2] * abs(sum(own)) else "native"
    return Population(NATIVE if kind == "native" else UNTRACKED, kind, list(rest))


def _certainly(python: float, native: float, rest: float) -> LeakKind | None:
    """The allocator of unexplained memory, if the other one has not gained half of it in all; ``None``: both have."""
    if python < rest / 2 <= native:
        return "native"
    return "untracked" if native < rest / 2 <= python else None
