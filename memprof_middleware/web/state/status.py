"""The status: the action that the reader must take, and when, in one sentence. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from memprof_middleware.config import Config
from memprof_middleware.model.counts import STALE_INTERVALS, longest_gap
from memprof_middleware.model.urgency import ROUGH_SECONDS, URGENCIES, fill_urgency, urgency
from memprof_middleware.text.words import mib, several
from memprof_middleware.web.state.fleet import is_level
from memprof_middleware.web.state.limits import is_passed, is_unread, middle, subject
from memprof_middleware.web.state.words import at, code, in_about, listed, marked, of_limit, span, whole

Key = Literal["now", "today", "full", "plan", "suspected", "ok", "learning", "started"]
LABELS: dict[Key, str] = {
    "now": "Act now",
    "today": "Act today",
    "full": "Memory is nearly full",
    "plan": "Plan a fix",
    "suspected": "No leak confirmed",
    "ok": "No leak found",
    "learning": "Learning",
    "started": "Just started",
}
_NATIVE = frozenset({"native", "mapped"})
# One failure is logged and counted; from so many on nobody judges.
_MANY = 3


class Learning:
    """The progress to the first verdict, and its time.

    Args:
        rows: the live workers.
        config: the warm-up and the interval.
        now: the time.

    Attributes:
        learned: the number of object counts in the worker with most.
        needed: the number that a verdict needs.
        pace: the seconds between two object counts.
        due: when the first verdict is due.
        stale: the age in seconds of counts that are too old; else ``None``.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], config: Config, now: float) -> None:
        self.learned = max((row["counts"] for row in rows), default=0)
        # One snapshot has memory in use, and no growth.
        self.started = any(row["snapshots"] > 1 for row in rows)
        self.needed = config.warmup_snapshots + config.leak_min_snapshots
        self.pace = _pace(rows, config.interval)
        self.due = now + max(0, self.needed - self.learned) * self.pace
        ages = [row["counts_age_seconds"] for row in rows if row["counts_age_seconds"] is not None]
        oldest = longest_gap(config.interval) + config.interval
        self.stale = min(ages) if ages and min(ages) > oldest else None

    @property
    def is_due(self) -> bool:
        """Whether there is a verdict."""
        return self.learned >= self.needed and self.stale is None


def _pace(rows: Sequence[Mapping[str, Any]], interval: float) -> float:
    """The seconds between two counts, in the worker with most: the interval, unless counts are skipped."""
    most = max(rows, key=lambda row: row["counts"], default=None)
    if most is None or most["counts"] < 2:
        return interval
    each: float = (most["snapshots"] - 1) / (most["counts"] - 1)  # snapshots for a count
    return each * interval if each >= STALE_INTERVALS else interval


def status(
    rows: Sequence[Mapping[str, Any]],
    limits: Sequence[Mapping[str, Any]],
    incidents: Sequence[Mapping[str, Any]],
    learning: Learning,
    config: Config,
    now: float,
    started: float,
    *,
    alerted: bool,
    ignored: int = 0,
    unjudged: int = 0,
) -> dict[str, Any]:
    """The status, at the top of the page.

    Args:
        rows: the workers, the first to reach its limit on top.
        limits: every limit of who was heard of.
        incidents: the cards, the most pressing one on top.
        learning: the progress to the first verdict.
        config: the thresholds.
        now: the time.
        started: when the oldest worker began to be watched.
        alerted: an alert is active.
        ignored: how many ignored things grow.
        unjudged: how often leaks could not be judged, in the worker where that was most often.
    """
    live = [row for row in rows if row["live"]]
    confirmed = [one for one in incidents if one["state"] == "confirmed"]
    suspected = [one for one in incidents if one["state"] == "suspected"]
    first = _first(limits)
    urgent = first["urgency"] if first is not None else "none"
    key: Key
    if urgent in {"now", "today"}:
        by_fill = not confirmed and not (first is not None and first["counts"])
        key = "full" if by_fill else "now" if urgent == "now" else "today"
    elif confirmed:
        key = "plan"
    elif suspected:
        key = "suspected"
    else:
        key = "ok" if learning.is_due else "learning" if learning.started else "started"
    said = _said(key, first, confirmed, suspected, live, learning, config, now, started, alerted=alerted)
    if key == "ok" and ignored:
        said += f" {several(ignored, 'leak')} {'is' if ignored == 1 else 'are'} ignored."
    if unjudged >= _MANY:
        said += f" An internal error has kept leaks from being judged {unjudged:,} times: see the log."
    at_limit = limits.index(first) if first is not None and key in {"now", "today", "full", "plan"} else None
    return {
        "key": key,
        "label": LABELS[key],
        "sentence": marked(said),
        "urgency": "plan" if key == "plan" else urgent if key in {"now", "today", "full"} else "none",
        "limit": at_limit,
    }


def _first(limits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The most urgent limit: by urgency, then the first to be reached, then the fullest."""

    def pressing(one: Mapping[str, Any]) -> tuple[float, ...]:
        near = middle(one) if one["counts"] else math.inf
        # If both are reached at once, they share one limit: all workers are named.
        return -URGENCIES.index(one["urgency"]), near, -(one["percent"] or 0.0), one["pid"] is not None

    return min(limits, key=pressing, default=None)


def _said(
    key: Key,
    first: Mapping[str, Any] | None,
    confirmed: Sequence[Mapping[str, Any]],
    suspected: Sequence[Mapping[str, Any]],
    live: Sequence[Mapping[str, Any]],
    learning: Learning,
    config: Config,
    now: float,
    started: float,
    *,
    alerted: bool,
) -> str:
    if key in {"now", "today"} and first is not None:
        # Without a forecast or a reported leak, the cause is an ignored leak.
        if first["basis"] == "pace" and first["counts"] and not confirmed and not suspected:
            return f"{_reaches(first, confirmed, live, config)} The leak that causes it is ignored."
        return f"{_reaches(first, confirmed, live, config)} {_cause(confirmed, suspected)}"
    if key == "full" and first is not None:
        level = "Memory is level, and no" if all(map(is_level, live)) else "No"
        many = f" for {several(len(live), 'worker')}" if first["pid"] is None and len(live) > 1 else ""
        who = subject(first, len(live))
        uses = "use" if first["subject"] == "workers" and len(live) > 1 else "uses"
        return (
            f"{who} {uses} {first['percent']:.0f} % of the limit. {level} leak is confirmed: the limit may be too "
            f"small{many}."
        )
    if key == "plan":
        return f"{several(len(confirmed), 'confirmed leak')}. {_far(first)}"
    if key == "suspected":
        return _suspected(suspected, alerted=alerted)
    if key == "started":
        figures = at(started + config.interval, now)
        due = at(learning.due, now)
        return f"{span(now - started)} ago. First figures of growth at {figures}, first verdict at {due}."
    if key == "learning":
        return _learning(learning, now)
    requests = sum(row["requests"] for row in live)
    watched = f"Watched for {span(now - started)} and {whole(requests)} request{'' if requests == 1 else 's'}."
    moving = max(live, key=lambda row: abs(row["growth_mb_per_hour"] or 0.0), default=None)
    if moving is None or is_level(moving):
        return f"Memory is level. {watched}"
    mb, seen = moving["growth_mb_per_hour"], moving["growth_seen_seconds"] or 0.0
    most = "at most " if len(live) > 1 else ""
    if seen < ROUGH_SECONDS:
        told = ((row["growth_mb_per_hour"] or 0.0, row["growth_seen_seconds"] or 0.0) for row in live)
        mb, seen = max(told, key=lambda one: abs(one[0] * one[1]))  # by how much, not how fast
        by = f"by {most}{mib(abs(mb) * seen / 3600)} in {span(seen)}."
        return f"Memory grew {by} Too early to say why. {watched}" if mb > 0 else f"Memory shrank {by} {watched}"
    way = "grows" if mb > 0 else "shrinks"
    return f"Memory {way} by {most}{mib(abs(mb))} an hour, and nothing grows as a leak does. {watched}"


def _suspected(suspected: Sequence[Mapping[str, Any]], *, alerted: bool) -> str:
    decided = next((one["decided_in"]["seconds"] for one in suspected if one["decided_in"]), None)
    said = f"{len(suspected)} suspected{f', decided {in_about(decided)}' if decided is not None else ''}"
    said += ": a leak, or a cache that is filling."
    ends = min((one["limit"]["seconds_low"] for one in suspected if one["limit"]["seconds_low"]), default=math.inf)
    if decided is not None and ends < decided:
        return f"{said} At this pace memory is full before that, {in_about(ends)}."
    return said if alerted else f"{said} Nothing is urgent."


def _learning(learning: Learning, now: float) -> str:
    if learning.stale is not None and learning.learned >= learning.needed:
        return f"Objects were counted {span(learning.stale)} ago: too long ago to say anything of now."
    # The first snapshot is taken at the start.
    done, all_ = (span(max(0, count - 1) * learning.pace) for count in (learning.learned, learning.needed))
    unit = all_.rpartition(" ")[2]
    done = done.removesuffix(f" {unit}") if done.endswith(f" {unit}") else done
    return f"Watched {done} of {all_}. The first verdict is due at {at(learning.due, now)}."


def _reaches(
    first: Mapping[str, Any],
    confirmed: Sequence[Mapping[str, Any]],
    live: Sequence[Mapping[str, Any]],
    config: Config,
) -> str:
    """When the limit is reached; where memory in use alone asks for action, that it is nearly full."""
    who = subject(first, len(live))
    verb, its = "reaches", "its"
    if first["subject"] == "workers" and len(live) > 1:
        verb, its = "reach", "their"
    having = {worker for one in confirmed for worker in one["workers"]}
    if first["pid"] is not None and len(live) > 4 and len(having) == 1:
        who = f"1 of {len(live)} workers ({first['pid']})"
    if is_passed(first):
        is_ = "are" if verb == "reach" else "is"
        return f"{who} {is_} above {its} memory limit: {of_limit(first['used_mb'], first['limit_mb'])}."
    if first["percent"] is None:
        return f"{who} {'have' if verb == 'reach' else 'has'} just started: {its} first snapshot tells {its} memory."
    if not first["counts"] or first["seconds_low"] is None:
        uses = "use" if verb == "reach" else "uses"
        return f"{who} {uses} {first['percent']:.0f} % of {its} memory limit."
    when = first["words"].removesuffix(" at this pace")
    if not when.startswith("in "):
        when = f"in {when} (rough: watched {span(first['watched_seconds'] or 0.0)})"
    by_fill = fill_urgency(first["percent"], config.heap_warning_percent, config.heap_critical_percent)
    if urgency(first["seconds_low"] / 3600) != first["urgency"] and by_fill == first["urgency"]:
        uses = "use" if verb == "reach" else "uses"
        return f"{who} {uses} {first['percent']:.0f} % of {its} memory limit and {verb} it {when}."
    return f"{who} {verb} {its} memory limit {when}."


def _cause(confirmed: Sequence[Mapping[str, Any]], suspected: Sequence[Mapping[str, Any]]) -> str:
    if confirmed:
        kinds = sorted({one["kind"] for one in confirmed})
        of = f" of {' and '.join(kinds)} memory" if _NATIVE.issuperset(kinds) else ""
        return f"Cause: {several(len(confirmed), 'confirmed leak')}{of}."
    if not suspected:
        return "No leak is confirmed."
    return f"No leak is confirmed; suspected: {listed([code(one['subject']) for one in suspected], 2)}."


def _far(first: Mapping[str, Any] | None) -> str:
    if first is None:
        return "When memory runs out is not known: no worker has reported."
    if first["seconds_low"] is not None and first["counts"]:
        when = first["words"] if first["words"].startswith("in ") else f"in {first['words']}"
        return f"The first memory limit is reached {when}."
    if is_unread(first):
        return "When the memory limit is reached is not known: memory in use cannot be read, `/proc` is hidden."
    reasons = {
        "unknown": "No memory limit is known: set `heap_size_mb`.",
        "early": "When the memory limit is reached: too early to say.",
    }
    return reasons.get(first["basis"], "No worker reaches its memory limit at this pace.")
