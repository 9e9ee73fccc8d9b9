"""Log messages of recycling: the cause of a retirement, and the reasons against one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from memprof_middleware.recycling.decision import FINAL, REFUSALS, Breach, Decision, Rules, Situation
from memprof_middleware.recycling.remedies import Outcome
from memprof_middleware.text.words import several


def why(situation: Situation, rules: Rules, tried: Sequence[Outcome]) -> str:
    """Return the cause of a retirement in one sentence, without a full stop.

    Args:
        situation: what was decided on.
        rules: the settings.
        tried: the remedies that came before.
    """
    breach = situation.breach or Breach(since=situation.now, samples=0, heap_mb=0.0)
    remedies = "; ".join(map(str, tried)) or "nothing"
    return (
        f"memory {breach.heap_mb:.0f} MiB, above recycle={rules.threshold_mb:g} for "
        f"{situation.now - breach.since:.0f} s ({breach.samples} snapshots). Tried first: {remedies}"
    )


def what_follows(situation: Situation, in_flight: int) -> str:
    """Return what happens to the worker's requests, and what replaces it."""
    requests = "has no request" if not in_flight else f"finishes {several(in_flight, 'request')}"
    return f"It {requests}, then it ends; {situation.plan.server}: {situation.plan.why}"


class Refusals:
    """Log each refusal once: a final one once in a worker's life, a passing one once in a breach.

    Attributes:
        counts: snapshots at which the worker was due and went on, by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._reported: set[str] = set()

    def breach_is_over(self) -> None:
        """Reset the passing refusals, so that the next breach logs them again."""
        self._reported &= FINAL

    def tell(self, decision: Decision, logger: logging.Logger, *, due: bool) -> None:
        """Count and log a decision, if it is a refusal.

        Args:
            decision: what was decided.
            logger: where it goes, the first time.
            due: whether the worker is above the threshold for long enough.
        """
        if decision.reason not in REFUSALS:
            return
        if due:
            self.counts[decision.reason] += 1
        if decision.reason not in self._reported:
            self._reported.add(decision.reason)
            final = decision.reason in FINAL
            text = "memprof: recycling is off: %s" if final else "memprof: recycling waits: %s"
            if decision.reason == "per_hour":
                text = "memprof: recycling paused: %s"
            extra = {"memprof_recycle_refusal": decision.reason}
            logger.log(logging.WARNING if final else logging.INFO, text, decision.message, extra=extra)
