"""Looks after a worker whose memory is high: first the soft remedies, then, if it is to be, the end of the worker."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memprof_middleware.config import Config
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.recycling import act, detection
from memprof_middleware.recycling.decision import (
    FINAL,
    REFUSALS,
    Breach,
    Decision,
    Rules,
    Situation,
    decide,
    lasts,
)
from memprof_middleware.recycling.world import Probing, Watched, World
from memprof_middleware.remedies import REMEDIES, Outcome, Remedies, Remedy

if TYPE_CHECKING:
    from memprof_middleware.recycling.ledger import Ledger, Past

# The snapshot that tells what a fresh worker uses: the first one after so many seconds.
_FRESH_SECONDS = 5.0
# How long a server may take from starting the application to listening; until then its workers' file has no name.
_BIND_SECONDS = 60.0
_HIGH = frozenset({"heap_warning", "heap_critical", "shared_warning", "shared_critical"})


class Recycler:
    """One step after each snapshot. Does nothing unless ``remedies`` or ``recycle`` is set.

    Args:
        watched: the profiler.
        probes: its instruments.
        world: what it touches outside.

    Attributes:
        remedies: the soft ones.
    """

    def __init__(self, watched: Watched, probes: Probing, world: World | None = None) -> None:
        self._watched, self._probes, self._world = watched, probes, world or World()
        config = watched.config
        self._wanted = _wanted(config)
        self._rules = Rules(
            threshold_mb=config.recycle or 0.0,
            patience=config.recycle_patience,
            min_lifetime=config.recycle_min_lifetime,
            cooldown=config.recycle_cooldown,
            per_hour=config.recycle_per_hour,
        )
        self.remedies = Remedies(
            config.remedies_per_hour,
            probes,
            lambda: watched.traffic.in_flight,
            watched.failures,
            trim=self._world.trim,
            clock=self._world.clock,
        )
        self._ledger: Ledger | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew in a child after a fork."""
        if self._ledger is not None:
            self._ledger.release()
        self._ledger = None
        self._born: float | None = None
        self._breach: Breach | None = None
        self._high = self._retiring = self._fresh_noted = False
        self._told: set[str] = set()  # reasons, once in a breach
        self._told_final: set[str] = set()  # reasons, once in a life
        self._refusals: Counter[str] = Counter()
        self._total: int | None = None
        self._drain: threading.Thread | None = None
        self.remedies.forget()

    def told(self) -> dict[str, Any]:
        """Its part of :class:`~memprof_middleware.MemoryMetrics`."""
        if not self._wanted:
            return {}
        return {
            "remedies": dict(self.remedies.counts),
            "remedy_freed_mb": dict(self.remedies.freed_mb),
            "recycles": self._total,
            "recycle_refusals": dict(self._refusals),
        }

    def step(self, snapshot: MemorySnapshot | None) -> None:
        """Judge the last snapshot, and act. Never waits: remedies run in a thread of their own."""
        if not self._wanted or self._retiring or snapshot is None or snapshot.heap_used_mb is None:
            return
        now = self._world.clock()
        if self._born is None:
            self._born = now
        self.remedies.watch()
        self._note_breach(snapshot.heap_used_mb, now)
        self._remedy(snapshot)
        if self._watched.config.recycle is not None:
            self._recycle(snapshot, now, self._born)

    # -- soft ----------------------------------------------------------------------------------------------------

    def _note_breach(self, heap_mb: float, now: float) -> None:
        if self._watched.config.recycle is None or heap_mb < self._rules.threshold_mb:
            self._breach = None
            self._told.clear()
        elif self._breach is None:
            self._breach = Breach(since=now, samples=1, heap_mb=heap_mb)
        else:
            self._breach = dataclasses.replace(self._breach, samples=self._breach.samples + 1, heap_mb=heap_mb)

    def _remedy(self, snapshot: MemorySnapshot) -> None:
        """Begin a round when memory becomes high, and again now and then while it stays so."""
        before, self._high = self._high, any(alert.name in _HIGH for alert in self._watched.alerts)
        begins = (self._high and not before) or (self._breach is not None and self._breach.samples == 1)
        if begins or ((self._high or self._breach is not None) and not self.remedies.paused):
            wanted = self._wanted if self._breach is not None else self._chosen()
            if wanted:
                self.remedies.begin(wanted, (snapshot.total_objects or 0) + snapshot.frozen_objects)

    def _chosen(self) -> tuple[Remedy, ...]:
        return tuple(remedy for remedy in REMEDIES if remedy in self._watched.config.remedies)

    def _remedied(self, breach: Breach) -> bool:
        ended = self.remedies.ended_at
        if self.remedies.running:
            return self.remedies.stuck
        return self.remedies.spent or (ended is not None and ended >= breach.since)

    # -- hard ----------------------------------------------------------------------------------------------------

    def _recycle(self, snapshot: MemorySnapshot, now: float, born: float) -> None:
        ledger = self._open(now - born)
        if ledger is None:
            return
        if not self._fresh_noted and now - born >= _FRESH_SECONDS:
            self._fresh_noted = ledger.note_fresh(snapshot.heap_used_mb or 0.0)
        past = ledger.read()
        self._total = past.total
        decision = decide(self._situation(snapshot, now, born, past, other_retires=ledger.busy), self._rules)
        if decision.retires:
            decision = self._retire(snapshot, now, born, ledger)
        self._tell(decision, now)

    def _open(self, age: float) -> Ledger | None:
        if self._ledger is None:
            listener = self._probes.listener()
            if listener is not None or age > _BIND_SECONDS:
                from memprof_middleware.recycling.ledger import Ledger  # only here: Windows has no fcntl

                self._ledger = Ledger(listener.address if listener else "", self._watched.config.run_dir)
        return self._ledger

    def _situation(
        self, snapshot: MemorySnapshot, now: float, born: float, past: Past, *, other_retires: bool
    ) -> Situation:
        breach = self._breach
        return Situation(
            now=now,
            born=born,
            plan=detection.plan(self._world.look(), supervised=self._watched.config.recycle_supervised),
            breach=breach,
            remedied=breach is not None and self._remedied(breach),
            fresh_mb=past.fresh_mb,
            retired=past.retired,
            workers_then=past.workers,
            workers_now=1 if breach is None else len(self._watched.workers()),
            other_retires=other_retires,
            limit_mb=snapshot.heap_size_mb,
        )

    def _retire(self, snapshot: MemorySnapshot, now: float, born: float, ledger: Ledger) -> Decision:
        """Take the lock, decide once more by what the file says under it, and retire."""
        if not ledger.acquire():
            return Decision("busy", "another worker is retiring")
        keeps = False
        try:
            situation = self._situation(snapshot, now, born, ledger.read(), other_retires=False)
            decision = decide(situation, self._rules)
            mechanism = situation.plan.mechanism
            if decision.retires and mechanism is not None:
                # Written first: a retirement that nobody counted could come again and again.
                ledger.record(now, situation.workers_now)
                keeps = self._end(situation, mechanism, ledger)
        finally:
            if not keeps:
                ledger.release()
        return decision

    def _end(self, situation: Situation, mechanism: detection.Mechanism, ledger: Ledger) -> bool:
        cause = self._cause(situation)
        evidence = getattr(self._watched, "evidence", None)
        if callable(evidence):
            with self._watched.failures.caught("evidence"):
                evidence(cause)
        self._watched.logger.warning("memprof: %s", cause, extra={"memprof_recycle": situation.plan.server})
        # The lock, and this, are kept until the process is dead: a second signal can hang a server.
        self._retiring = True
        try:
            self._world.retire(mechanism)
        except Exception:
            ledger.take_back()
            raise
        seconds = self._watched.config.recycle_drain
        self._drain = act.end_after(
            seconds, lambda: self._watched.traffic.in_flight, lambda n: self._give_up(n, situation.plan.exit_status)
        )
        return True

    def _cause(self, situation: Situation) -> str:
        breach = situation.breach or Breach(since=situation.now, samples=0, heap_mb=0.0)
        return (
            f"recycling worker {self._watched.worker}, process {os.getpid()}: heap {breach.heap_mb:.0f} MB, not below "
            f"recycle={self._rules.threshold_mb:g} in {breach.samples} snapshots over "
            f"{situation.now - breach.since:.0f} s, after {_listed(self.remedies.last)}; {situation.plan.server}: "
            f"{situation.plan.why}; requests in flight, which are finished first: {self._watched.traffic.in_flight}"
        )

    def _give_up(self, in_flight: int, status: int) -> None:
        seconds = self._watched.config.recycle_drain
        self._watched.logger.warning(
            "memprof: recycled process %d has not ended in %g s (recycle_drain) and ends now; requests in flight: %d",
            os.getpid(),
            seconds,
            in_flight,
            extra={"memprof_recycle": "drain"},
        )
        self._world.exit(status)

    def _tell(self, decision: Decision, now: float) -> None:
        """Refusals that stay are told once in a life; those that pass, once in a breach; each is counted."""
        if decision.reason not in REFUSALS:
            return
        if self._breach is not None and lasts(self._breach, now, self._rules):
            self._refusals[decision.reason] += 1
        final = decision.reason in FINAL
        told = self._told_final if final else self._told
        if decision.reason not in told:
            told.add(decision.reason)
            level = logging.WARNING if final else logging.INFO
            text = "memprof: no recycling: %s" if final else "memprof: no recycling yet: %s"
            extra = {"memprof_recycle_refusal": decision.reason}
            self._watched.logger.log(level, text, decision.message, extra=extra)


def _wanted(config: Config) -> tuple[Remedy, ...]:
    """What to try: what was chosen; before a worker is replaced also what costs less than a new worker."""
    implied = {"collect", "trim"} if config.recycle is not None else set()
    return tuple(remedy for remedy in REMEDIES if remedy in implied | set(config.remedies))


def _listed(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(map(str, outcomes)) or "no remedy"
