"""The leaks of one process: readings are judged, and each verdict keeps its state and name until its end."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.cpu_budget import CpuBudget
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.candidates import Turns
from memprof_middleware.leaks.ended import resolved
from memprof_middleware.leaks.growth import find_growths
from memprof_middleware.leaks.holders import Holders
from memprof_middleware.leaks.incidents import find_incidents, to_search
from memprof_middleware.leaks.measuring import Measuring
from memprof_middleware.leaks.pausing import pausing
from memprof_middleware.leaks.room import LEAST_TOLD, Room, has_taken, room_of
from memprof_middleware.leaks.telling import RouteOf, Telling
from memprof_middleware.leaks.verdicts import has_laboratory, timed
from memprof_middleware.leaks.whereabouts import Whereabouts
from memprof_middleware.model import SEVERITIES, Forecast, Leak, MemorySnapshot, Resolved
from memprof_middleware.model.forecast import Ahead
from memprof_middleware.model.urgency import fill_urgency
from memprof_middleware.probes.loading import load

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.leaks.judging import Judging
    from memprof_middleware.leaks.life import Life

# Whether all memory grows need not be judged with every snapshot.
_GROWTH_JUDGED_SECONDS = 30.0


class LeakWatch:
    """The leaks of one process.

    Args:
        probes: the instruments.
        config: the limits.
        failures: where a failure is counted.
        halted: whether the profiler stops, which ends a walk or a search in its next pause.
        budget: what pays for walks and searches.
    """

    def __init__(
        self, probes: Instruments, config: Config, failures: Failures, halted: Callable[[], object], budget: CpuBudget
    ) -> None:
        self._probes, self._config, self._failures = probes, config, failures
        self.leaks: tuple[Leak, ...] = ()
        self._resolved: tuple[Resolved, ...] = ()
        self.detections: Counter[str] = Counter()  # by severity; a leak counts under each that it reaches
        self.others: Sequence[MemorySnapshot] = ()  # the last snapshots of the server's other workers
        self.forecast: Forecast | None = None  # when the limits are reached
        self.reasons: dict[str, str] = {}  # why verdicts are over, by name
        self.is_ignored: Callable[[Leak], bool] = lambda _leak: False  # what is ignored is judged and not counted
        self._inherited: tuple[Leak, ...] = ()  # open when the slot's last worker ended
        self._reached: set[tuple[str, str]] = set()
        pause = pausing(halted)
        self.measuring = Measuring(probes, config, failures, pause, budget)
        self._past = self.measuring.past
        self._holders = Holders(probes, failures, pause, budget)
        whereabouts = Whereabouts(probes, config, failures, pause, budget)
        self._telling = Telling(probes, config, self.measuring, self._holders, whereabouts)
        self._judging: Judging | None = None
        self._lives: dict[str, Life] = {}
        self._turns = Turns()
        self._whole: dict[str, Life] = {}  # the same of all memory together
        self._whole_at = -math.inf  # when that was judged last

    def inherit(self, leaks: Sequence[Leak]) -> None:
        """Take over the open leaks of the slot's last worker, until they end.

        What that one had left says nothing of this one: the first snapshot does.
        """
        self._inherited = tuple(
            dataclasses.replace(leak, process_per_hour=None, hours_left=None, hours_latest=None, fill="none")
            for leak in leaks
        )
        self.leaks = self._inherited
        # They were counted under each severity up to the one they have.
        worst = {leak.name: SEVERITIES.index(leak.severity) for leak in leaks}
        self._reached = {(name, severity) for name, top in worst.items() for severity in SEVERITIES[: top + 1]}

    def measure(
        self,
        history: History,
        counts: Mapping[str, int] | None,
        requests: Mapping[str, int],
        failed: int,
        *,
        by_hand: bool,
    ) -> None:
        """Measure containers and keep a reading.

        Args:
            history: where lengths are kept, beside the last snapshot.
            counts: the live objects by type; ``None``: not counted this time.
            requests: answered so far, by route.
            failed: how many of them failed.
            by_hand: somebody asked for it, whatever the budget.
        """
        suspicious, sparing = bool(self.leaks), self._is_sparing()
        self.measuring.measure(
            history, counts, requests, failed, by_hand=by_hand, suspicious=suspicious, sparing=sparing
        )

    def judge(self, history: History, route_of: RouteOf, *, by_hand: bool) -> None:
        """Judge the past; the result is in ``leaks``, the worst first, and in ``reasons``.

        Args:
            history: the past, the last snapshot included.
            route_of: the route that makes something of a kind grow; ``None`` while it is sought.
            by_hand: look for holders, whatever the budget.
        """
        before, was_open = self.leaks, self._open()
        inherited = {leak.name for leak in self._inherited}
        own = {leak.name: leak for leak in before if leak.name not in inherited}
        self._look(history)
        lives = self._open()
        gone = {key: self._lives[key] for key in was_open if key not in lives and key in self._lives}
        growths = find_growths(history, self._config, own, None if by_hand else self._turns)
        self._turns.growing = frozenset(growth.name for growth in growths if growth.kind == "objects")
        if lives:
            growths += load("leaks.reported").unseen(lives.values(), growths, self._past, history)
        if by_hand or (self._holders.is_due and not self._is_sparing()):
            self._holders.search(history, to_search(growths, self._probes.rank))
        names = frozenset[str]().union(*(life.names for life in lives.values()))
        incidents = find_incidents(growths, self._telling.scene(self._room()), names)
        found: dict[str, Leak] = {}
        if lives:
            told = load("leaks.reported").cases(lives, incidents, self._telling.rank())
            found, named = self._telling.reported(told, lives, own, history, route_of)
            self._lives |= named
        judged = frozenset(found)
        self._telling.watched(incidents, found, own, {life.told for life in gone.values()}, history, route_of)
        found = self._telling.shared(found, judged, history)
        known: dict[str, Leak] = {}
        reasons: dict[str, str] = {}
        if self._inherited:
            handed = load("leaks.inherited").judged(self._inherited, found, self._past, self._room(), self._config)
            found, self._inherited, known, reasons = handed.found, handed.open, handed.known, handed.reasons
        self.leaks = (*sorted(found.values(), key=_worst_first), *self._inherited)
        self.tell_time(history)
        self._count()
        if by_hand:  # else the beat goes on with what was worked out
            self._release()
        now = {leak.name: leak for leak in self.leaks} | known
        now |= {life.was: now[life.told] for life in self._open().values() if life.was and life.told in now}
        ended = [leak for leak in before if leak.name not in now or (leak.notable and not now[leak.name].notable)]
        self.reasons = {life.told: life.reason for life in gone.values()} | reasons
        reported = {leak.name for leak in self.leaks if leak.notable}
        at = 0.0 if history.latest is None else history.latest.timestamp
        self._resolved = resolved(self._resolved, ended, self.reasons, reported, at)

    def resolved(self) -> tuple[Resolved, ...]:
        """The confirmed leaks that were over within the last hour and are not ignored."""
        return tuple(one for one in self._resolved if not self.is_ignored(one.leak))

    def is_pressing(self) -> bool:
        """Whether so much of the room is taken, or reported, that each snapshot is judged."""
        room = self._room()
        return room is not None and (bool(self._lives) or has_taken(self._past, room))

    def _is_sparing(self) -> bool:
        """Whether to leave alone what is shared with a parent: a look would copy it, and little has grown since.

        Less than a leak must have taken before the tests that report it begin.
        """
        if not self._probes.copies or has_laboratory(self._config) or any(leak.notable for leak in self.leaks):
            return False
        room = self._room()
        return self.measuring.first is None or (room is not None and not has_taken(self._past, room, LEAST_TOLD))

    def is_growing(self, history: History) -> bool:
        """Whether all memory grows as a leak does, though nothing may be known of it: the tests, on the whole."""
        self._judge_whole(history)
        self._release()
        return any(life.state == "confirmed" for life in self._whole.values())

    def _judge_whole(self, history: History) -> None:
        now = 0.0 if history.latest is None else history.latest.timestamp
        if 0 <= now - self._whole_at < _GROWTH_JUDGED_SECONDS:  # a clock may jump
            return
        self._whole_at = now
        room = self._room()
        if room is not None and (self._whole or has_taken(self._past, room, LEAST_TOLD)):
            self._whole = self._judge().whole(self._whole, room)

    def _release(self) -> None:
        """Let go of what was worked out for one beat."""
        self._past.release()
        if self._judging is not None:
            self._judging.release()

    def tell_time(self, history: History) -> None:
        """Bring the time to the limit of each leak up to date, with each snapshot, whether or not it was judged."""
        config, percent = self._config, None if history.latest is None else history.latest.heap_percent
        fill = fill_urgency(percent, config.heap_warning_percent, config.heap_critical_percent)
        if any(leak.state == "confirmed" for leak in self.leaks):
            self._judge_whole(history)
        pace = None if self._judging is None else self._judging.pace
        self.leaks = tuple(timed(self.leaks, fill, self.ahead(history), pace))

    def ahead(self, history: History) -> Ahead:
        """The limit that is reached first: the process's own, or its part of what all share."""
        snapshot = history.latest
        room = None if snapshot is None else room_of(snapshot, self.others, len(self.others) + 1)
        if room is None:
            return Ahead()
        told = self.forecast
        outlook = None if told is None else told.shared if room.shared else told.worker
        return Ahead(room.left, room.shared, outlook)

    def ends_before(self, left: float, seconds: float) -> bool:
        """Whether the growth of a period ends, by the word of what grows, before so many bytes are used."""
        if all(seen.bound is None for seen in self._past.containers.values()):
            return False
        return bool(load("leaks.ceiling").ends_before(self._past, left, seconds, lambda: self._judge().account()))

    def _open(self) -> dict[str, Life]:
        return {key: life for key, life in self._lives.items() if life.is_open}

    def _look(self, history: History) -> None:
        room = self._room()
        if room is not None and (self._lives or has_taken(self._past, room)):
            self._lives = self._judge().look(self._lives, room, history)

    def _judge(self) -> Judging:
        """The tests, which most processes never need."""
        if self._judging is None:
            judging: type[Judging] = load("leaks.judging").Judging
            self._judging = judging(self._probes, self.measuring, self._holders, self._failures)
        return self._judging

    def _room(self) -> Room | None:
        first = self.measuring.first
        return None if first is None else room_of(first, self.others, len(self.others) + 1)

    def _count(self) -> None:
        names = {leak.name for leak in self.leaks}
        was = {life.was: life.told for life in self._lives.values() if life.was}  # counted under that name before
        self._reached |= {(was[name], severity) for name, severity in self._reached if name in was}
        reached = {(leak.name, leak.severity) for leak in self.leaks if leak.notable and not self.is_ignored(leak)}
        self.detections.update(severity for _, severity in reached - self._reached)
        self._reached = {pair for pair in self._reached | reached if pair[0] in names}


def _worst_first(leak: Leak) -> tuple[bool, bool, float]:
    return leak.state != "confirmed", not leak.notable, -leak.growth_percent
