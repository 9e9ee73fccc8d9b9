"""Watch which route makes memory grow: take a reading at each snapshot, and judge the windows between readings."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.analysis.memory import memory_of
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.model import RouteGrowth, RouteWindows
from memprof_middleware.model.value import valueclass
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.routes.attribution import attribution, attribution_of_workers
from memprof_middleware.routes.counter import Traffic, ended_between
from memprof_middleware.routes.fit import Window
from memprof_middleware.routes.work import CALM_SECONDS, MOST_SECONDS, Quota, Task, Work, finished, pauses

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments

# Windows kept: an hour or two at the usual intervals, long enough for a small leak and short enough to forget a cache.
MOST_WINDOWS = 120
# Windows of all workers that are judged at once: the work grows with them.
_MOST_POOLED = 600
# A request in flight holds memory that it will give back: wait this long for a moment without one.
_TRIES, _PAUSE_SECONDS = 20, 0.001
# Questions that wait for an answer; of more, the first are asked again later.
_MOST_QUESTIONS = 8
# A judgement is to be done before so large a part of its windows is new.
_NEW_PART = 0.5
_BYTES, _BLOCKS = "bytes", "objects"


@valueclass(frozen=True, slots=True)
class _Reading:
    at: float
    requests: Mapping[str, int]
    in_flight: int
    memory: int | None
    allocator: AllocatorStats
    collected: int


@valueclass(frozen=True, slots=True)
class _Span:
    """One window between two readings, and the number of the snapshot at its end."""

    number: int
    seconds: float
    requests: Mapping[str, int]
    in_flight: int
    memory: int | None
    blocks: int
    collected: int

    def window(self, worker: str, growth: float) -> Window:
        return Window(worker, self.seconds, self.requests, self.in_flight, growth, self.collected)


class RouteWatch:
    """Read the memory of one process at each snapshot, and attribute its growth to routes.

    Args:
        traffic: the requests by route.
        probes: what the allocators have given out.
        clock: seconds since the epoch.
        warmup: readings at the start that nothing rests on: imports and first requests.
        failures: where a failure is counted.
        budget: the CPU budget.

    Attributes:
        growth: what requests keep, by route; empty where another worker finds it out.
        judged: whether that was found out anew by the last :meth:`judge`.
        judges: whether this worker finds it out for all.
    """

    def __init__(
        self,
        traffic: Traffic,
        probes: Instruments,
        clock: Callable[[], float],
        warmup: int,
        failures: Failures,
        budget: CpuBudget,
    ) -> None:
        self._traffic, self._probes, self._clock = traffic, probes, clock
        self._warmup, self._failures = warmup, failures
        self._spans: deque[_Span] = deque(maxlen=MOST_WINDOWS)
        self._last: _Reading | None = None
        self._collected = 0  # requests that had ended at the last full collection
        self._source = "in use"
        self._quota = Quota(budget)
        self._judgement: Task[tuple[RouteGrowth, ...]] | None = None
        self._begun, self._age = 0.0, 0  # what was spent before the judgement began, and the windows since
        self._cost = 0.0  # what was spent during the last one
        self._questions: dict[tuple[str, str], Task[tuple[RouteGrowth, ...]]] = {}  # by kind and name
        self.growth: tuple[RouteGrowth, ...] = ()
        self.judged = self.judges = False
        probes.after_full_collection(self._collect)

    def read(self, number: int) -> AllocatorStats | None:
        """Take a reading, at the calmest of a few moments; what the allocators told then.

        Args:
            number: of the snapshot that it belongs to.
        """
        found: AllocatorStats | None = None
        self._quota.renew()
        with self._failures.caught("probe_routes"):
            before, self._last = self._last, self._calmest()
            found = self._last.allocator
            if before is not None and number > self._warmup:
                self._spans.append(_between(before, self._last, number))
                self._age += 1
            self._traffic.review()  # here alone: names change hands between two windows, never twice in one
        return found

    def judge(
        self,
        own: str,
        others: Sequence[str],
        windows_of: Callable[[str], RouteWindows | None],
        *,
        pressing: bool = False,
        by_hand: bool = False,
    ) -> None:
        """Attribute the growth of all workers to routes; the result is in ``growth``.

        One worker does it for all. A step spends a quota of processor time on it and goes on in the next one where
        that is not enough. Where nothing presses the quota is as small as the windows allow, which must not grow old.

        Args:
            own: the label of this worker.
            others: those of the other live workers.
            windows_of: reads the windows of another worker.
            pressing: a leak is told, or memory grows as one does: an answer is wanted soon.
            by_hand: find it out now, whatever it takes.
        """
        self.judged = False
        self._quota.most = MOST_SECONDS if pressing else self._calm_seconds()
        for question in list(self._questions.values()):
            self._quota.go_on(question)
        self.judges = all(int(other) > int(own) for other in others)
        if not self.judges:
            self.growth, self._judgement = (), None
            return
        if self._judgement is None or by_hand:
            if not self._spans or (self._quota.spent and not by_hand):
                return
            self._begun, self._age = self._quota.seconds, 0
            self._judgement = Task(self._growth(own, {other: windows_of(other) for other in others}))
        self._go_on(self._judgement, by_hand=by_hand)

    def _calm_seconds(self) -> float:
        """The CPU seconds of a step where nothing is urgent: enough to judge windows before they are out of date."""
        windows = _NEW_PART * len(self._spans)
        if self._judgement is not None and self._age > windows:
            return MOST_SECONDS
        return min(MOST_SECONDS, max(CALM_SECONDS, self._cost / max(1.0, windows)))

    def _go_on(self, judgement: Task[tuple[RouteGrowth, ...]], *, by_hand: bool) -> None:
        try:
            if by_hand:
                judgement.finish()
            else:
                self._quota.go_on(judgement)
        finally:
            if judgement.done:
                self._judgement = None
                self._cost = max(judgement.seconds, self._quota.seconds - self._begun)
        if judgement.found is not None:
            self.growth, self.judged = judgement.found, True

    def _growth(self, own: str, theirs: Mapping[str, RouteWindows | None]) -> Work[tuple[RouteGrowth, ...]]:
        each = max(30, _MOST_POOLED // (len(theirs) + 1))
        found: list[RouteGrowth] = []
        source_of = {_BYTES: self._source, _BLOCKS: "blocks"}
        windows_of: dict[str, list[Window]] = {}
        for unit, source in source_of.items():  # all of one moment, though it takes some steps
            windows_of[unit] = [span.window(own, growth) for span, growth in self._growths(unit)][-each:]
            for other, given in theirs.items():
                windows_of[unit] += _published(other, given, each, unit, source)
        for unit, source in source_of.items():
            growths = yield from attribution_of_workers(_in_turn(windows_of[unit]))
            found += _named(growths, unit, source)
        return tuple(found)

    def ask(
        self, kind: str, name: str, history: History, *, by_hand: bool = False
    ) -> tuple[bool, tuple[RouteGrowth, ...]]:
        """The routes whose requests make something grow: whether they are known by now, and which. Ask again if not.

        Args:
            kind: as for :meth:`windows_of`.
            name: the same.
            history: the same.
            by_hand: somebody waits for the answer: what the step has spent so far does not count.
        """
        if by_hand:
            self._quota.renew()
            self._quota.most = MOST_SECONDS
        asked = kind, name
        if asked not in self._questions:
            if len(self._questions) >= _MOST_QUESTIONS:
                del self._questions[next(iter(self._questions))]
            self._questions[asked] = Task(growth_of(name, self.windows_of(kind, name, history)))
        question = self._questions[asked]
        try:
            self._quota.go_on(question)
        finally:
            if question.done:
                del self._questions[asked]
        return question.done, question.found or ()

    def windows_of(self, kind: str, name: str, history: History) -> list[Window]:
        """The windows of this worker with the growth of something.

        Args:
            kind: as in :class:`Leak`.
            name: the type, the container's path, or the kind of memory.
            history: the counts and lengths of all.
        """
        if kind == "objects":
            series: Sequence[float] = history.counts(name)
            known: Sequence[int]
            known = history.counted(history.comparable_from)
        elif kind == "container":
            series, known = history.lengths(name), history.measured(history.known_from(name))
        else:
            series, known = memory_of(name, history), range(len(history))
        oldest = history.seen - len(history)
        spans = {span.number - oldest - 1: span for span in list(self._spans)}
        windows: list[Window] = []
        for before, after in pairwise(known):
            parts = [spans.get(index) for index in range(before + 1, after + 1)]
            growth = series[after] - series[before]
            if all(part is not None for part in parts) and not math.isnan(growth):
                windows.append(_joined([part for part in parts if part is not None], growth))
        return windows

    def published(self) -> RouteWindows:
        """The windows for the other workers."""
        rows = [
            (span.seconds, span.in_flight, span.memory, span.blocks, span.collected, span.requests)
            for span in list(self._spans)
        ]
        return RouteWindows.of(self._source, rows)

    def _calmest(self) -> _Reading:
        best = self._reading()
        for _ in range(_TRIES):
            if not best.in_flight:
                break
            time.sleep(_PAUSE_SECONDS)
            found = self._reading()
            if (found.in_flight, found.memory or 0) < (best.in_flight, best.memory or 0):
                best = found
        return best

    def _reading(self) -> _Reading:
        requests, in_flight = self._traffic.read()
        found = self._probes.allocator()
        memory = found.in_use
        if memory is None:
            self._source, memory = "resident", self._probes.process().anonymous
        return _Reading(self._clock(), requests, in_flight, memory, found, self._collected)

    def _collect(self) -> None:
        # Inside a collection: nothing but a sum of integers.
        self._collected = self._traffic.total

    def _growths(self, unit: str) -> list[tuple[_Span, float]]:
        if unit == _BLOCKS:
            return [(span, span.blocks) for span in list(self._spans)]
        return [(span, span.memory) for span in list(self._spans) if span.memory is not None]


def _joined(spans: Sequence[_Span], growth: float) -> Window:
    """One window for spans in a row, where something was not measured in between."""
    requests: Counter[str] = Counter()
    for span in spans:
        requests.update(span.requests)
    flights = sum(span.in_flight for span in spans)
    collected = sum(span.collected for span in spans)
    return Window("", sum(span.seconds for span in spans), requests, flights, growth, collected)


def growth_of(name: str, windows: Sequence[Window]) -> Work[tuple[RouteGrowth, ...]]:
    """The routes that something's growth comes from, the largest share first."""
    found = yield from attribution(windows)
    return tuple(_named(sorted(found, key=lambda one: -one.share), name, "census")) if found else ()


def most_growth(name: str, windows: Sequence[Window]) -> RouteGrowth | None:
    """The first result of :func:`growth_of`, at once."""
    return next(iter(finished(growth_of(name, windows), pauses())), None)


def _between(before: _Reading, after: _Reading, number: int) -> _Span:
    return _Span(
        number=number,
        seconds=after.at - before.at,
        requests=ended_between(before.requests, after.requests),
        in_flight=after.in_flight - before.in_flight,
        memory=None if after.memory is None or before.memory is None else after.memory - before.memory,
        blocks=after.allocator.blocks - before.allocator.blocks,
        collected=after.collected - before.collected,
    )


def _published(worker: str, given: RouteWindows | None, most: int, unit: str, source: str) -> list[Window]:
    """The last windows of another worker; none if it reads something else under the same name."""
    if given is None or (unit == _BYTES and given.source != source):
        return []
    windows: list[Window] = []
    for seconds, in_flight, memory, blocks, collected, requests in given.rows(most):
        growth = memory if unit == _BYTES else blocks
        if growth is not None:
            windows.append(Window(worker, seconds, requests, in_flight, growth, collected))
    return windows


def _in_turn(windows: Iterable[Window]) -> list[Window]:
    """The windows of all workers side by side, the newest last, so that the later half is the later time."""
    by_worker: dict[str, list[Window]] = {}
    for window in windows:
        by_worker.setdefault(window.worker, []).append(window)
    longest = max(map(len, by_worker.values()), default=0)
    aligned = [[None] * (longest - len(own)) + own for own in by_worker.values()]
    return [window for row in zip(*aligned, strict=True) for window in row if window is not None]


def _named(found: Sequence[RouteGrowth] | None, unit: str, source: str) -> list[RouteGrowth]:
    return [dataclasses.replace(growth, unit=unit, source=source) for growth in found or ()]
