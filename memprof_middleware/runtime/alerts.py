"""The alert manager: one state machine for every condition that begins, rises and ends."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from memprof_middleware.model import Alert, Condition, RouteLeak
from memprof_middleware.runtime.beat import Conditions
from memprof_middleware.runtime.changes import Change, alert_of, rank_of

# A value that moves around a threshold must not begin and end again and again: what has begun ends below this share.
_RELEASE = 0.95
# How much more often than missed these must be found before they begin; others begin at once.
_TIMES = {"route_leak": 3}
# Their urgency may rise while they last; they are reported again then.
_RISING = frozenset({"leak", "exhaustion"})
# A suspicion that stays is reported once more when its growth has become so many times as large.
_LARGER = 2.0
_MOST_ENDED = 100

Key = tuple[str, str]


@dataclasses.dataclass(slots=True)
class _Entry:
    """A condition that has begun, or has been found a few times.

    Attributes:
        condition: as it was measured last.
        told: as it was reported last; ``None``: not yet.
        since: when it began.
        found: how much more often than missed it was found of late.
        repeated: whether it was reported that it goes on.
        adopted: whether it is a predecessor's, and was not judged here yet.
        elsewhere: whether another worker reports it; it is known here to go on with, should that one end.
    """

    condition: Condition
    since: float
    told: Condition | None = None
    found: int = 0
    repeated: bool = False
    adopted: bool = False
    elsewhere: bool = False

    def is_about(self, kept: RouteLeak) -> bool:
        """Whether it is about one of the routes of a leak, as it is now or as it was reported."""
        known = (one.kept for one in (self.condition, self.told) if one is not None)
        return any(one is not None and not set(kept.routes).isdisjoint(one.routes) for one in known)


class Reports(Protocol):
    """Receiver of the changes."""

    def record(self, change: Change) -> Alert:
        """The record of a change."""

    def report(self, change: Change, alert: Alert) -> None:
        """Report it; never raises."""

    def adopt(self, condition: Condition) -> None:
        """Note what a predecessor has reported."""


class AlertManager:
    """The conditions of one process that have begun and not ended.

    Args:
        reports: given each change, in turn, with no lock held.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._entries: dict[Key, _Entry] = {}
        self._alerts: dict[Key, Alert] = {}
        # Of leaks: when first, how often, and whether somebody ignores them.
        self._ended: OrderedDict[Key, tuple[float, int, bool]] = OrderedDict()
        self._judged: set[str] = set()
        self._lock = threading.Lock()

    @property
    def active(self) -> list[Alert]:
        """The conditions that are met now, as they were reported last; suspicions left out."""
        return list(self._alerts.values())

    def reported(self, name: str) -> list[Condition] | None:
        """What this or another worker has reported under a name and is not over; ``None``: none of them has judged."""
        with self._lock:
            told = [entry.told for key, entry in self._entries.items() if key[0] == name and entry.told is not None]
            return told if told or name in self._judged else None

    def adopt(self, conditions: Iterable[Condition], now: float) -> None:
        """Take over conditions that were reported by a predecessor: only what comes after is reported.

        Those that one worker judges for all are kept in mind, until it is known which one that is.
        """
        for condition in conditions:
            key = condition.name, condition.subject
            with self._lock:
                is_new = key not in self._entries
                if is_new and condition.kept is not None:
                    self._entries[key], is_new = _known_elsewhere(condition, now), False
                elif is_new:
                    often, at = _TIMES.get(condition.name, 1), _since(condition, now)
                    self._entries[key] = _Entry(condition, at, condition, often, adopted=True)
                    self._alerts[key] = alert_of(Change("begins", condition, condition, at, now), condition.message)
            if is_new:
                self._reports.adopt(condition)

    def update(self, conditions: Conditions, now: float) -> None:
        """Compare the conditions of this beat with those of the last, and report the difference.

        Args:
            conditions: what an observer found.
            now: the time.
        """
        if not conditions.elsewhere:
            self._take_over(conditions.judged, now)
        with self._lock:  # not around the reporting: a callback may ask what is active
            self._judged.update(conditions.judged)
            changes = list(self._changes(conditions, now))
        for change in changes:
            alert = self._reports.record(change)
            self._alerts.pop((change.before.name, change.before.subject), None)
            self._alerts.pop((change.condition.name, change.condition.subject), None)
            if alert.active and not change.condition.suspected:
                self._alerts[change.condition.name, change.condition.subject] = alert
            self._reports.report(change, alert)

    def _changes(self, conditions: Conditions, now: float) -> Iterator[Change]:
        if conditions.elsewhere:
            yield from self._left(conditions, now)
            return
        found: set[Key] = set()
        exact = {(condition.name, condition.subject) for condition in conditions.found}
        for condition in conditions.found:
            key = self._known_as(condition, exact)
            if key in found:
                continue  # a part of what was reported together
            entry = self._entries.get(key)
            if not _is_met(condition, entry):
                if entry is not None:
                    entry.condition = condition  # its end is told with the figure of now
                continue
            found.add(key)
            yield from self._found(key, condition, now, conditions.cause)
        for key in [key for key in self._entries if key[0] in conditions.judged]:
            yield from self._missed(key, now, conditions, is_found=key in found)

    def _known_as(self, condition: Condition, exact: Collection[Key]) -> Key:
        """The key under which it is found; what has begun under another name, in the same place, goes on as this.

        A route that leaks is the same leak whether it is found alone, for one worker or with others.
        """
        key = condition.name, condition.subject
        if condition.kept is not None:
            kept = condition.kept
            same = [known for known, entry in self._entries.items() if known[0] == key[0] and entry.is_about(kept)]
            return min(same, key=lambda known: self._entries[known].told is None, default=key)
        if key not in self._entries:
            for known, entry in self._entries.items():
                is_here = bool(condition.holder) and entry.condition.holder == condition.holder
                if known[0] == key[0] and known not in exact and (is_here or known[1] in condition.also):
                    self._entries[key] = self._entries.pop(known)
                    if known in self._alerts:
                        self._alerts[key] = self._alerts.pop(known)
                    break
        return key

    def _found(self, key: Key, condition: Condition, now: float, cause: bool | None) -> Iterator[Change]:
        entry = self._entries.setdefault(key, _Entry(condition, now))
        entry.condition = condition
        entry.found = min(entry.found + 1, _TIMES.get(condition.name, 1))
        told = entry.told
        if told is None:
            if entry.found == _TIMES.get(condition.name, 1) and cause is not False:
                yield self._begun(key, entry, condition, now)
        elif told.suspected and not condition.suspected:
            yield self._begun(key, entry, condition, now)
        elif condition.suspected:
            if not entry.repeated and _growth(condition) >= _LARGER * _growth(told):
                entry.repeated = True
                yield Change("goes on", condition, told, entry.since, now)
        elif condition.name in _RISING and rank_of(condition) > rank_of(told):
            entry.told = condition
            yield Change("rises", condition, told, entry.since, now)

    def _begun(self, key: Key, entry: _Entry, condition: Condition, now: float) -> Change:
        before, entry.told, entry.since = entry.told or condition, condition, now
        first, times, ignored = self._ended.get(key, (now, 0, False))
        if condition.leak is None or condition.suspected:
            return Change("begins", condition, before, now, now, times + 1, first)
        self._remember(key, first, times + 1, ignored=False)
        return Change("begins", condition, before, now, now, times + 1, first, ignored=ignored)

    def _remember(self, key: Key, first: float, times: int, *, ignored: bool) -> None:
        self._ended[key] = first, times, ignored
        while len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    def _missed(self, key: Key, now: float, conditions: Conditions, *, is_found: bool) -> Iterator[Change]:
        entry = self._entries[key]
        if not is_found:
            entry.found = max(entry.found - 1, 0)
        is_over = not is_found if conditions.cause is None else not conditions.cause
        # What is looked at may have been looked at before it was adopted.
        is_adopted, entry.adopted = entry.adopted, False
        if entry.told is not None and is_over and not is_adopted:
            why = conditions.reasons.get(key[1], "")
            ignored = key[1] in conditions.ignored
            if ignored and not entry.told.suspected:
                # It did not end, so it is the same one when it is reported again.
                first, times, _ = self._ended.get(key, (entry.since, 1, False))
                self._remember(key, first, times - 1, ignored=True)
            yield Change("ends", entry.condition, entry.told, entry.since, now, why=why, ignored=ignored)
            entry.told, entry.repeated = None, False
        if entry.told is None and entry.found <= 0:
            del self._entries[key]

    def _left(self, conditions: Conditions, now: float) -> Iterator[Change]:
        """What is ours no longer; what the other worker has reported is kept in mind."""
        for key in [key for key in self._entries if key[0] in conditions.judged]:
            entry = self._entries.pop(key)
            if entry.told is not None and not entry.elsewhere:
                yield Change("ends", entry.condition, entry.told, entry.since, now, elsewhere=True)
        for condition in conditions.found:
            self._entries[condition.name, condition.subject] = _known_elsewhere(condition, now)

    def _take_over(self, names: Collection[str], now: float) -> None:
        """Go on, as our own, with what another worker has reported."""
        with self._lock:
            taken = [entry for key, entry in self._entries.items() if key[0] in names and entry.elsewhere]
            for entry in taken:
                entry.elsewhere = False
                told = entry.condition
                begun = Change("begins", told, told, entry.since, now)
                self._alerts[told.name, told.subject] = alert_of(begun, told.message)
        for entry in taken:
            self._reports.adopt(entry.condition)


def _known_elsewhere(condition: Condition, now: float) -> _Entry:
    often = _TIMES.get(condition.name, 1)
    return _Entry(condition, now, condition, often, adopted=True, elsewhere=True)


def _since(condition: Condition, now: float) -> float:
    """When what a predecessor has reported began; of a leak, when it was confirmed."""
    known = None if condition.leak is None else condition.leak.confirmed_at
    return now if known is None else known


def _growth(condition: Condition) -> float:
    return 0.0 if condition.leak is None else condition.leak.growth


def _is_met(condition: Condition, entry: _Entry | None) -> bool:
    begun = entry is not None and entry.told is not None
    return condition.met or (begun and condition.value > _RELEASE * condition.threshold)
