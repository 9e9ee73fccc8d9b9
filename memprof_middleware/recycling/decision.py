"""The decision whether a worker is recycled now: a pure function of its state and the rules."""

from __future__ import annotations

from memprof_middleware.model.value import valueclass
from memprof_middleware.recycling.detection import Plan
from memprof_middleware.text.words import several

HOUR = 3600.0
# A peak is not a breach: so many snapshots in a row must be above.
SAMPLES = 3
# A fresh worker above this part of the threshold would be there again at once.
FRESH_SHARE = 0.8
# For how many cooldowns a replacement is waited for; a server may have been scaled down meanwhile.
_REPLACEMENT_COOLDOWNS = 10.0


@valueclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The settings, in MB and seconds.

    Attributes:
        threshold_mb: heap in use at which a worker is to be replaced.
        patience: how long a breach must last.
        min_lifetime: how long a worker must have lived.
        cooldown: time between two retirements in one server.
        per_hour: retirements of one server in an hour, at most.
    """

    threshold_mb: float
    patience: float
    min_lifetime: float
    cooldown: float
    per_hour: int


@valueclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """An unbroken run of snapshots at or above the threshold; times by the monotonic clock."""

    since: float
    samples: int
    heap_mb: float


@valueclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """The input of a decision at one moment.

    Attributes:
        now: by the machine's monotonic clock, as all times here.
        born: when the profiler began to watch this process.
        plan: how the server would have it.
        breach: the present one.
        remedied: whether the soft remedies were tried in it and did not help.
        fresh_mb: heap in use of a fresh worker, from this one or from one before; ``None``: not known yet.
        retired: when workers of this server retired, the last hour.
        workers_then: live workers when the last one retired.
        workers_now: live workers.
        other_retires: whether another worker is retiring.
        limit_mb: memory that this process may use; ``None``: not known.
    """

    now: float
    born: float
    plan: Plan
    breach: Breach | None = None
    remedied: bool = False
    fresh_mb: float | None = None
    retired: tuple[float, ...] = ()
    workers_then: int = 0
    workers_now: int = 1
    other_retires: bool = False
    limit_mb: float | None = None


@valueclass(frozen=True, slots=True)
class Decision:
    """The decision, with its reason.

    Attributes:
        reason: ``retire``; else what is in the way: for good (``server``, ``limit``, ``fresh``), until a human looks
            (``per_hour``), or for now (``no_breach``, ``patience``, ``remedy``, ``young``, ``busy``, ``cooldown``,
            ``replacement``).
        message: the same as a sentence, without a full stop; empty where there is nothing to tell.
    """

    reason: str
    message: str = ""

    @property
    def retires(self) -> bool:
        """Whether the worker is to retire."""
        return self.reason == "retire"


# Reasons that are told as a warning, once in a process's life; the others once in a breach.
FINAL = frozenset({"server", "limit", "fresh", "per_hour"})
# Reasons for which a worker above the threshold goes on; each is a label value of the metric.
REFUSALS = ("server", "limit", "fresh", "young", "busy", "cooldown", "replacement", "per_hour")


def decide(situation: Situation, rules: Rules) -> Decision:
    """Return whether this worker retires now, and if not, what is in the way first."""
    return hindrance(situation, rules) or _breach(situation, rules) or _guard(situation, rules) or Decision("retire")


def hindrance(situation: Situation, rules: Rules) -> Decision | None:
    """The lasting reason against recycling, breach or not; it is logged at the start."""
    if situation.plan.mechanism is None:
        return Decision("server", f"{situation.plan.server}: {situation.plan.why}")
    fresh, threshold, limit = situation.fresh_mb, rules.threshold_mb, situation.limit_mb
    if limit is not None and threshold >= limit:
        return Decision(
            "limit",
            f"recycle={threshold:g} must be below the limit of {limit:.0f} MiB. Lower recycle or raise the limit",
        )
    if fresh is not None and fresh > FRESH_SHARE * threshold:
        return Decision(
            "fresh",
            f"recycle={threshold:g} is too near to the {fresh:.0f} MiB that a fresh worker uses. "
            f"Set it to at least {fresh / FRESH_SHARE:.0f}",
        )
    return None


def _breach(situation: Situation, rules: Rules) -> Decision | None:
    if situation.breach is None:
        return Decision("no_breach")
    if not lasts(situation.breach, situation.now, rules):
        return Decision("patience")
    return None if situation.remedied else Decision("remedy")


def lasts(breach: Breach, now: float, rules: Rules) -> bool:
    """Return whether a breach is more than a peak."""
    return breach.samples >= SAMPLES and now - breach.since >= rules.patience


def _guard(situation: Situation, rules: Rules) -> Decision | None:
    lived = situation.now - situation.born
    if lived < rules.min_lifetime:
        return Decision("young", f"this worker is {lived:.0f} s old, recycle_min_lifetime={rules.min_lifetime:g}")
    if situation.fresh_mb is None:
        return Decision("young", "the memory of a fresh worker is not known yet")
    if situation.other_retires:
        return Decision("busy", "another worker is being recycled")
    # Times to come are of before the machine was started anew: a folder on a disk may outlive it.
    retired = [time for time in situation.retired if 0 <= situation.now - time < HOUR]
    if not retired:
        return None
    since = situation.now - retired[-1]
    cooldown = max(rules.cooldown, situation.plan.cooldown)
    if since < cooldown:
        return Decision("cooldown", f"another worker was recycled {since:.0f} s ago (recycle_cooldown={cooldown:g})")
    missing = situation.workers_then - situation.workers_now
    if missing > 0 and since < _REPLACEMENT_COOLDOWNS * cooldown:
        return Decision("replacement", f"the worker that was recycled {since:.0f} s ago has no replacement yet")
    if len(retired) >= rules.per_hour:
        return Decision(
            "per_hour",
            f"{several(len(retired), 'worker')} in an hour (recycle_per_hour={rules.per_hour}). Memory grows faster "
            "than recycling helps: find the leak",
        )
    return None
