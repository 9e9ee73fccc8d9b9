"""Reaction to high memory: first the remedies, then, if it is due, the end of the worker."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memprof_middleware.config import Config
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.recycling import act, detection
from memprof_middleware.recycling.decision import Breach, Decision, Rules, Situation, decide, lasts
from memprof_middleware.recycling.effects import Effects, Watched
from memprof_middleware.recycling.messages import Refusals, what_follows, why
from memprof_middleware.recycling.remedies import REMEDIES, Remedies, Remedy
from memprof_middleware.text.words import several

if TYPE_CHECKING:
    from memprof_middleware.heap.instruments import Instruments
    from memprof_middleware.recycling.ledger import Ledger, Past

# The snapshot that tells what a fresh worker uses: the first one after so many seconds.
_FRESH_SECONDS = 5.0
# So many snapshots in a row must still be above after the remedies: the first may have been taken while they ran.
_SAMPLES_AFTER = 2
# How long a server may take from starting the application to listening; until then its workers' file has no name.
_BIND_SECONDS = 60.0
_HIGH = frozenset({"heap_warning", "heap_critical", "shared_warning", "shared_critical"})


class Recycler:
    """Judge the memory of this worker after each snapshot, and act.

    Args:
        watched: the profiler.
        probes: its instruments.
        effects: what it touches outside.
        callbacks: remedies of the application's own.

    Attributes:
        remedies: the soft ones.
    """

    def __init__(
        self,
        watched: Watched,
        probes: Instruments,
        effects: Effects | None = None,
        callbacks: list[Callable[[], object]] | None = None,
    ) -> None:
        self._watched, self._probes, self._effects = watched, probes, effects or Effects()
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
            callbacks,
            trim=self._effects.trim,
            clock=self._effects.clock,
        )
        self._ledger: Ledger | None = None
        self._born: float | None = None
        self._breach: Breach | None = None
        self._high = self._retiring = self._fresh_noted = False
        self._last_resort, self._samples_after = False, 0  # the round of this breach, and snapshots since it ended
        self._refusals = Refusals()
        self._total: int | None = None
        self._drain: threading.Thread | None = None

    def figures(self) -> dict[str, Any]:
        """The figures of recycling for :class:`~memprof_middleware.MemoryMetrics`."""
        if not self._wanted:
            return {}
        return {
            "remedies": dict(self.remedies.counts),
            "remedy_freed_mb": dict(self.remedies.freed_mb),
            "recycles": self._total,
            "recycle_refusals": dict(self._refusals.counts),
        }

    def step(self, snapshot: MemorySnapshot | None, workers: int) -> None:
        """Judge the last snapshot, and act. Never waits: remedies run in a thread of their own.

        Args:
            snapshot: the last one; ``None``: there is none.
            workers: the number of workers of the server, as of this step.
        """
        if not self._wanted or self._retiring or snapshot is None or snapshot.heap_used_mb is None:
            return
        now = self._effects.clock()
        if self._born is None:
            self._born = now
        self.remedies.watch()
        self._note_breach(snapshot.heap_used_mb, now)
        self._remedy(snapshot, now)
        if self._watched.config.recycle is not None:
            self._recycle(snapshot, now, self._born, workers)

    # -- soft ----------------------------------------------------------------------------------------------------

    def _note_breach(self, heap_mb: float, now: float) -> None:
        if self._watched.config.recycle is None or heap_mb < self._rules.threshold_mb:
            self._breach = None
            self._refusals.breach_is_over()
        elif self._breach is None:
            self._breach = Breach(since=now, samples=1, heap_mb=heap_mb)
        else:
            self._breach = dataclasses.replace(self._breach, samples=self._breach.samples + 1, heap_mb=heap_mb)

    def _remedy(self, snapshot: MemorySnapshot, now: float) -> None:
        """Begin a round when memory becomes high, now and then while it stays so, and before the worker is replaced."""
        objects = (snapshot.total_objects or 0) + snapshot.frozen_objects
        before, self._high = self._high, any(alert.name in _HIGH for alert in self._watched.alerts)
        chosen = tuple(remedy for remedy in self._wanted if remedy in self._watched.config.remedies)
        if chosen and self._high and (not before or not self.remedies.paused):
            self.remedies.begin(chosen, objects)
        if self._breach is None or not lasts(self._breach, now, self._rules):
            self._last_resort, self._samples_after = False, 0
        elif not self._last_resort and not self.remedies.spent:
            # Not before: in the middle of a burst what is in use later may be what is kept.
            self._last_resort = self.remedies.begin(self._wanted, objects)
        elif not self.remedies.running or self.remedies.stuck:
            self._samples_after += 1

    # -- hard ----------------------------------------------------------------------------------------------------

    def _recycle(self, snapshot: MemorySnapshot, now: float, born: float, workers: int) -> None:
        ledger = self._open(now - born)
        if ledger is None:
            return
        if not self._fresh_noted and now - born >= _FRESH_SECONDS:
            self._fresh_noted = ledger.note_fresh(snapshot.heap_used_mb or 0.0)
        past = ledger.read()
        self._total = past.total
        situation = self._situation(snapshot, now, born, past, workers, other_retires=ledger.busy)
        decision = decide(situation, self._rules)
        if decision.retires:
            decision = self._retire(snapshot, now, born, ledger)
        due = self._breach is not None and lasts(self._breach, now, self._rules)
        self._refusals.tell(decision, self._watched.logger, due=due)

    def _open(self, age: float) -> Ledger | None:
        if self._ledger is None:
            listener = self._probes.listener()
            if listener is not None or age > _BIND_SECONDS:
                from memprof_middleware.recycling.ledger import Ledger  # only here: Windows has no fcntl

                self._ledger = Ledger(listener.address if listener else "", self._watched.config.run_dir)
        return self._ledger

    def _situation(
        self, snapshot: MemorySnapshot, now: float, born: float, past: Past, workers: int, *, other_retires: bool
    ) -> Situation:
        return Situation(
            now=now,
            born=born,
            plan=detection.plan(self._effects.surroundings(), supervised=self._watched.config.recycle_supervised),
            breach=self._breach,
            remedied=self._samples_after >= _SAMPLES_AFTER,
            fresh_mb=past.fresh_mb,
            retired=past.retired,
            workers_then=past.workers,
            workers_now=workers,
            other_retires=other_retires,
            limit_mb=snapshot.heap_size_mb,
        )

    def _retire(self, snapshot: MemorySnapshot, now: float, born: float, ledger: Ledger) -> Decision:
        """Take the lock, decide once more by what is true under it, and retire."""
        if not ledger.acquire():
            return Decision("busy", "another worker is being recycled")
        keeps = False
        try:
            # Counted again: the worker that had the lock may have ended since the step began.
            workers = self._watched.live_workers
            situation = self._situation(snapshot, now, born, ledger.read(), workers, other_retires=False)
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
        self._explain(situation)
        # The lock, and this, are kept until the process is dead: a second signal can hang a server.
        self._retiring = True
        try:
            self._effects.retire(mechanism)
        except Exception:
            ledger.take_back()
            raise
        with self._watched.failures.caught("recycle"):  # a thread may be refused; the lock is kept all the same
            self._drain = act.end_after(
                self._watched.config.recycle_drain,
                lambda: self._watched.traffic.in_flight,
                lambda in_flight: self._give_up(in_flight, situation.plan.exit_status),
            )
        return True

    def _explain(self, situation: Situation) -> None:
        cause = f"recycling process {os.getpid()}: {why(situation, self._rules, self.remedies.last)}"
        text = f"memprof: {cause}. {what_follows(situation, self._watched.traffic.in_flight)}."
        with self._watched.failures.caught("evidence"):
            evidence = getattr(self._watched, "evidence", None)
            if callable(evidence):
                evidence(cause)
        with self._watched.failures.caught("log"):
            self._watched.logger.warning("%s", text, extra={"memprof_recycle": situation.plan.server})

    def _give_up(self, in_flight: int, status: int) -> None:
        seconds = self._watched.config.recycle_drain
        text = (
            f"memprof: process {os.getpid()} ends now with {several(in_flight, 'request')} in flight: "
            f"longer than recycle_drain={seconds:g}"
        )
        with self._watched.failures.caught("log"):
            self._watched.logger.warning("%s", text, extra={"memprof_recycle": "drain"})
        self._effects.exit(status)


def _wanted(config: Config) -> tuple[Remedy, ...]:
    """The remedies to try: those that were chosen; with ``recycle`` also those that cost less than a new worker."""
    implied = {"collect", "trim"} if config.recycle is not None else set()
    return tuple(remedy for remedy in REMEDIES if remedy in implied | set(config.remedies))
