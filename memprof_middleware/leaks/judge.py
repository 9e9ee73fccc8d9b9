"""The judge: test every population that has used a large part of the headroom."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Callable, Sequence

from memprof_middleware.leaks import line, room
from memprof_middleware.leaks.account import Account, Books, in_step, in_use
from memprof_middleware.leaks.beside import times_as_much
from memprof_middleware.leaks.feed import FAILED, REQUESTS, TIME, Feeding, feeds
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.room import Room, has_taken
from memprof_middleware.leaks.runs import Runs, runs
from memprof_middleware.leaks.saturation import fills, saturation
from memprof_middleware.leaks.series import at
from memprof_middleware.leaks.steps import doubles
from memprof_middleware.leaks.survival import Survival, survival, turned_over
from memprof_middleware.leaks.trailing import follows_traffic
from memprof_middleware.leaks.weighing import MOST_WEIGHT, Item
from memprof_middleware.leaks.words import evidence, with_rest

# Memory that nothing explains is judged only beside known growth of no more than this part of it.
_KNOWN = 1.0
# So many types that grow in step with memory are named with it.
_MOST_LEADING = 8
# What grows beside something counts from such a part of it on.
_MORE = 1.1
# So much of a growth has to have come in the quarter before the last full collection; garbage leaves next to nothing.
_OUTLIVED = 0.05
# All memory is no leak if so much of its growth has a bound that is named.
_MOST_BOUNDED = 0.5


def look(
    past: Past,
    space: Room,
    same_root: Callable[[str, str], bool] = lambda _a, _b: False,
    collected: float | None = None,
    *,
    collectable: bool = False,
    told: bool = False,
    made: Callable[[], Account] | None = None,
) -> list[Finding]:
    """Test every population that has used a large part of the headroom.

    Args:
        past: the past of the process.
        space: what it could take when it was first looked at.
        same_root: whether two types are held by one root.
        collected: when, by the past's clock, a full collection was asked for last.
        collectable: a full collection can be asked for; then memory waits for one too, since garbage that waits for
            the collector holds buffers of C code as well.
        told: something is told already, so that its end must be seen.
        made: the account of the past, where somebody else needs it, too.
    """
    if past.size < 2:
        return []
    if not told and not has_taken(past, space):
        return []
    books = (made or Books(past, same_root).account)()
    looker = _Looker(past, space, books, collected, collectable=collectable, told=told)
    found = [looker.item(item) for item in books.items]
    found += [looker.memory(memory) for memory in books.hidden]
    kept = [finding for finding in found if finding is not None]
    kept.sort(key=lambda finding: (not finding.passed, -finding.share))
    return kept


def whole(past: Past, space: Room, made: Callable[[], Account] | None = None) -> Finding | None:
    """Test all memory of a process as a whole; ``None`` if it has not grown.

    Growth for good reasons, warm-up and caches, bends; so the sum of all that grows must be a straight line too. It
    must be one over time as well: a busy hour that fills caches is a line over its requests, and then it is over.

    Args:
        past: the past of the process.
        space: what it could take when it was first looked at.
        made: the account of the past, where somebody else needs it, too.
    """
    if past.size < 2:
        return None
    everything = Population(ALL, "native", in_use(past))
    found = _Looker(past, space, Account((), (), everything.values), None, told=True).all(everything)
    if found is None or found.growth is None or not found.passed:
        return found
    books = made or Books(past).account
    against = line.straight(found.growth.over_time()) or _bounded(past, space, found.growth.begin, found.gained, books)
    return dataclasses.replace(found, against=against)


def _bounded(past: Past, space: Room, begin: int, gained: float, made: Callable[[], Account]) -> str:
    """Whether most of what all memory has gained is of populations that end by their own word, and fit."""
    if gained > 0 and all(seen.bound is None for seen in past.containers.values()):
        return ""  # nothing says so: there is no need to weigh all
    ends = [item for item in made().items if _fits(item.population, item.each, space)]
    bounded = sum(max(0.0, item.gained(begin, past.size - 1)) for item in ends)
    return "most of it names its own maximum size" if bounded >= _MOST_BOUNDED * gained else ""


def _fits(one: Population, each: float, space: Room) -> bool:
    """Whether something ends by its own word before a limit is reached."""
    if one.bound is None or one.values[-1] > one.bound:
        return False
    return space.holds(one.bound * each)


class _Looker:
    """The tests of populations over one past."""

    def __init__(
        self,
        past: Past,
        space: Room,
        books: Account,
        collected: float | None,
        *,
        collectable: bool = False,
        told: bool,
    ) -> None:
        self._past, self._space, self._books = past, space, books
        self._collected, self._collectable = collected, collectable
        self._least = (room.LEAST_TOLD if told else room.LOOK / 2) * space.total
        self._times, self._requests = past.column("times"), past.column("requests")
        self._feeds = feeds(self._times, self._requests, past.routes(), past.column("failed"))
        self._feeding = Feeding(self._times, self._feeds)

    def item(self, item: Item) -> Finding | None:
        """A population that is counted."""
        one = item.population

        def most(begin: int, end: int) -> float:
            if not item.measured and not self._is_its(one.values, self._books.with_hidden(item), begin, end):
                return 0.0
            return self._books.most(item, begin, end)

        if not item.measured:  # nobody can tell it from memory that grows in step
            one = dataclasses.replace(one, also=(*one.also, self._books.hidden[0].name))
        found = self._best(one, item.each, most, self._books.inside(item))
        if found is None or not item.measured:
            return found
        return dataclasses.replace(self._with_rest(found, item, most), weighed=True)

    def _with_rest(self, found: Finding, item: Item, most: Callable[[int, int], float]) -> Finding:
        """The finding, as material as what was sampled may be: with what grows beside it and has no other owner."""
        growth = found.growth
        if growth is None or not found.passed:
            return found
        begin, end = growth.begin, growth.begin + len(growth.levels) - 1
        both = line.floor_of(self._books.with_hidden(item), self._requests)
        may = min(found.gained * min(MOST_WEIGHT, times_as_much(growth, item.each, both)), most(begin, end))
        if may < _MORE * found.gained or self._books.beside(self._books.hidden[0], begin, end):
            return found  # or a type goes with it that nobody has weighed
        more = may - found.gained
        share = self._space.share(found.gained + more / 2, growth.seconds)  # nobody can tell whose it is
        return dataclasses.replace(found, share=share, evidence=(*found.evidence, with_rest(more)))

    def all(self, everything: Population) -> Finding | None:
        """All memory in use."""
        return self._best(everything, 1.0, lambda begin, end: everything.values[end] - everything.values[begin])

    def memory(self, memory: Population) -> Finding | None:
        """The finding on unexplained memory; none beside known straight growth of the same size: samples err."""

        def most(begin: int, end: int) -> float:
            gained = min(memory.values[end] - memory.values[begin], self._books.come(begin, end))
            gained = min(gained, self._books.outside) if memory.kind == "mapped" else gained
            known = [(item, more) for item in self._books.items if (more := item.gained(begin, end)) > 0]
            if gained >= self._least and sum(more for _, more in known) > _KNOWN * gained:  # what bends, errs in a bend
                known = [(item, more) for item, more in known if self._is_straight(item.population, begin)]
            return gained if sum(more for _, more in known) <= _KNOWN * gained else 0.0

        return self._best(memory, 1.0, most)

    def _best(
        self, one: Population, each: float, most: Callable[[int, int], float], inside: Sequence[Item] = ()
    ) -> Finding | None:
        """The longest stretch of growth that passes; or the evidence against the longest one."""
        floor = line.floor_of(one.values, self._requests)
        end = len(floor) - 1
        first: Finding | None = None
        for begin in line.begins(one.values, floor, self._times):
            own = each * (floor[-1] - floor[begin]) + sum(item.kept(begin) for item in inside)
            gained = min(own, most(begin, end))
            if gained < self._least:
                continue
            found = self._judged(one, each, floor, begin, gained)
            if found.passed or found.dies_out:
                return found
            first = first or found
        return first

    def _judged(self, one: Population, each: float, floor: Sequence[float], begin: int, gained: float) -> Finding:
        growth, feed = self._growth(one, floor, begin)
        stepped, job = doubles(growth), runs(growth, one.values)
        if not one.discrete and one.kind != "mapped" and one.name != ALL:
            one = self._led(one, begin, len(floor) - 1, stepped=stepped)
        share = self._space.share(gained * (2 if stepped else 1), growth.seconds)
        left = survival(one.cohorts, growth, one.values, self._times)
        against = self._bends(one, each, growth, job, stepped=stepped)
        dies_out = not against and left is not None and left.dies_out
        against = against or self._goes(one, growth, floor, left, job)
        waits = "" if against else self._waits(one, growth, in_steps=stepped or job is not None)
        words = tuple(evidence(one, growth, feed, gained, self._space, left, job, stepped=stepped))
        return Finding(one, share, gained, growth, feed, against, waits, words, each, stepped, dies_out=dies_out)

    def _growth(self, one: Population, floor: Sequence[float], begin: int) -> tuple[Growth, str]:
        """The stretch from a row on over what feeds it, and the name of that."""
        times, levels = self._times[begin : len(floor)], floor[begin:]
        feed = self._feeding.chosen(floor, begin, len(floor) - 1)
        return Growth(begin, times, self._feeds[feed][begin : len(floor)], levels, one.discrete), feed

    def _led(self, memory: Population, begin: int, end: int, *, stepped: bool) -> Population:
        """Memory by the type that grows in step with it and is a leak by its own count: it says more than memory does.

        Pools that double are no objects.
        """
        if stepped:
            return memory
        fed_by = self._fed_by(memory.values, begin, end)
        leading = (
            one
            for one in self._books.beside(memory, begin, end)
            if _agree(self._fed_by(one.values, begin, end), fed_by) and self._is_straight(one, begin)
        )
        found = list(itertools.islice(leading, _MOST_LEADING))
        if not found:
            return dataclasses.replace(memory, beside=self._books.with_it(memory, begin, end))
        names = dict.fromkeys(name for one in found for name in (one.name, *one.also))
        return dataclasses.replace(memory, name=found[0].name, also=(*list(names)[1:], memory.name))

    def _is_straight(self, one: Population, begin: int) -> bool:
        """Whether a count passes, from a row on, what growth has to pass."""
        if len(one.values) - begin < line.LEAST_ROWS:
            return False
        growth = self._growth(one, line.floor_of(one.values), begin)[0]
        return not line.straight(growth) and not fills(growth) and not line.tide(growth, one.values)

    def _is_its(self, values: Sequence[float], memory: Sequence[float], begin: int, end: int) -> bool:
        """Whether memory grows in step with something, and is fed by what feeds that."""
        alike = in_step(values[begin : end + 1], memory[begin : end + 1])
        return alike and _agree(self._fed_by(values, begin, end), self._fed_by(memory, begin, end))

    def _fed_by(self, values: Sequence[float], begin: int, end: int) -> str:
        """The feed of a series between two rows."""
        return self._feeding.chosen(values, begin, min(end, len(values) - 1))

    def _bends(self, one: Population, each: float, growth: Growth, job: Runs | None, *, stepped: bool) -> str:
        """Why it is no straight line that goes on."""
        if _fits(one, each, self._space):
            return f"it takes {one.bound:,} at the most, by its own word"
        in_steps = stepped or job is not None
        if not in_steps and (bent := line.straight(growth)):
            return bent
        if one.discrete and (fall := line.tide(growth, one.values)):
            return f"it comes and goes: it fell back by {100 * fall:.0f} % of its growth"
        if not in_steps and fills(growth):
            return f"it slows down as a cache does: {100 * saturation(growth)[0]:.0f} % of its first pace"
        if self._space.is_unlimited and not stepped and (step := line.largest_step(growth)):
            return f"{100 * step:.0f} % of it came at once: so few steps are no line"
        return ""

    def _goes(
        self, one: Population, growth: Growth, floor: Sequence[float], left: Survival | None, job: Runs | None
    ) -> str:
        """Why what comes does not stay."""
        if left is not None and left.dies_out:
            return f"of {left.size} that were there {left.seconds / 60:.0f} min ago {left.size - left.gone} are left"
        turns = turned_over(one.oldest[growth.begin :])
        if turns:
            return "its oldest entries go"
        stays = turns is False if left is None else left.stays
        if not stays and one.kind != "mapped" and job is None:  # a few steps fit any traffic
            window = follows_traffic(self._times, self._requests, floor, growth.begin)
            if window is not None:
                return f"it follows the requests of the last {window / 60:.0f} min"
        return ""

    def _waits(self, one: Population, growth: Growth, *, in_steps: bool) -> str:
        if one.lifetime is not None and growth.seconds < 2 * one.lifetime:
            return "what it keeps has not outlived its lifetime twice"
        may_be_garbage = self._collectable and one.kind != "container" and one.name != ALL
        if (one.kind == "objects" or may_be_garbage) and not self._has_outlived(growth, in_steps=in_steps):
            return COLLECTION
        return ""

    def _has_outlived(self, growth: Growth, *, in_steps: bool) -> bool:
        """Whether it grew before the last full collection, and kept that: of garbage the lowest levels stay level.

        A quarter of what feeds it must lie before that collection; steps may have any time between them. A collection
        of the last look may have come after the count.
        """
        collections, levels = self._past.column("collections")[growth.begin :], growth.levels
        rows = range(len(levels) - 2, 0, -1)
        row = next((row for row in rows if collections[row] > collections[row - 1]), 0)
        if self._collected is not None and growth.times[0] < self._collected < growth.times[-1]:
            row = max(row, bisect.bisect_right(growth.times, self._collected))
        begin = growth.feed[row] - growth.fed / 4
        if row == 0 or (begin < growth.feed[0] and not in_steps):
            return False
        before = levels[0] if in_steps else at(growth.feed, levels, begin)
        return levels[row] - before >= _OUTLIVED * (levels[-1] - levels[0])


def _agree(a: str, b: str) -> bool:
    """Whether two feeds may be one: different routes are not."""
    return a == b or bool({a, b} & {REQUESTS, FAILED, TIME})


COLLECTION = "a full collection"
ALL = "all memory"
