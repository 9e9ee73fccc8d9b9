"""The time until a memory limit is reached: a figure or a reason, with its urgency. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from memprof_middleware.config import Config
from memprof_middleware.model import MB, Leak, Outlook
from memprof_middleware.model.urgency import ROUGH_SECONDS, SETTLED_SECONDS, URGENCIES, fill_urgency, urgency
from memprof_middleware.text.words import clock, hourly, several
from memprof_middleware.web.state.words import ahead, at, in_about, of_limit, span

Basis = Literal["forecast", "pace", "none", "early", "unknown"]
# Further ahead nobody plans: it is not reached at this pace.
_LATEST_SECONDS = 90 * 86400.0
# So long a process warms up. A limit that at this pace is nearer than so many times what was watched may be reached.
_WARM_UP_SECONDS, _GUESSED = 5400.0, 4.0
# Up to this many seconds ahead a time of day is shown.
_DAY = 86400.0
# Suspicions that take so large a part of the growth are what fills the memory.
_MOST = 0.5


class StateContext:
    """The values that all parts of a state share.

    Args:
        config: the thresholds.
        now: the time.
        verdict_at: when the first verdict is due; ``None``: there was one.
        workers: how many workers live.
    """

    def __init__(self, config: Config, now: float, verdict_at: float | None, workers: int) -> None:
        self.config, self.now, self.verdict_at, self.workers = config, now, verdict_at, workers


def limit(
    context: StateContext,
    outlook: Outlook | None,
    leaks: Sequence[Leak],
    *,
    pid: int | None,
    contained: bool = False,
    used_mb: float | None,
    limit_mb: float | None,
    growth_mb: float | None,
    seen_seconds: float | None,
    unread: bool = False,
) -> dict[str, Any]:
    """The time until one limit is reached.

    Args:
        context: settings and time.
        outlook: the forecast for it; ``None``: there is none.
        leaks: the reported leaks; those that reach this limit say when, any other one is only seen in the growth.
        pid: the worker with this limit; ``None``: all workers together.
        contained: it is the container's.
        used_mb: memory in use.
        limit_mb: the limit; ``None``: not known.
        growth_mb: how much memory in use grew an hour, of late; ``None``: not known.
        seen_seconds: how long that was watched.
        unread: a snapshot was taken, and memory in use could not be read.
    """
    own = [leak for leak in leaks if leak.shared_limit == (pid is None)]
    basis, low, high, per_hour, watched = _seconds(
        context, outlook, leaks, own, used_mb, limit_mb, growth_mb, seen_seconds
    )
    basis = "unknown" if unread else basis  # no time makes that known
    percent = 100 * used_mb / limit_mb if used_mb is not None and limit_mb else None
    fill = fill_urgency(percent, context.config.heap_warning_percent, context.config.heap_critical_percent)
    urgent = [fill if outlook is None else outlook.urgency(fill), *(leak.urgency for leak in own)]
    counts = low is not None and (basis == "forecast" or any(leak.state == "confirmed" for leak in own))
    if not counts and low is not None and low < _DAY and fill != "none" and _fills(own, growth_mb):
        # Above the threshold nobody can wait for the verdict: what is left may be taken before it.
        counts = True
        urgent.append(urgency(low / 3600, fill=fill))
    found = {
        "subject": "worker" if pid is not None else "container" if contained else "workers",
        "pid": pid,
        "used_mb": used_mb,
        "limit_mb": limit_mb,
        "percent": percent,
        "mb_per_hour": per_hour,
        "seconds_low": low,
        "seconds_high": high,
        "basis": basis,
        "watched_seconds": watched,
        "urgency": max(urgent, key=URGENCIES.index),
        "counts": counts,
    }
    return found | _worded(found, context)


def _fills(own: Sequence[Leak], growth_mb: float | None) -> bool:
    """Whether suspicions take most of the growth of the memory."""
    taken = sum(leak.bytes_per_hour for leak in own if leak.state == "suspected" and leak.hours_left is not None)
    return growth_mb is not None and 0 < _MOST * growth_mb * MB <= taken


def is_unread(found: Mapping[str, Any]) -> bool:
    """Whether the memory in use cannot be read."""
    return found["basis"] == "unknown" and found["used_mb"] is None


def is_passed(found: Mapping[str, Any]) -> bool:
    """Whether memory in use is above the limit already: then there is nothing to reach."""
    return found["percent"] is not None and found["percent"] > 100


def middle(found: Mapping[str, Any]) -> float:
    """The most likely seconds until a limit is reached; infinite if it is not."""
    low, high = found["seconds_low"], found["seconds_high"]
    return math.inf if low is None else low if high is None else (low + high) / 2


def _seconds(
    context: StateContext,
    outlook: Outlook | None,
    leaks: Sequence[Leak],
    own: Sequence[Leak],
    used_mb: float | None,
    limit_mb: float | None,
    growth_mb: float | None,
    seen_seconds: float | None,
) -> tuple[Basis, float | None, float | None, float | None, float | None]:
    if outlook is not None and outlook.low_seconds is not None:
        high = outlook.high_seconds
        seen = None if outlook.seen_hours is None else 3600 * outlook.seen_hours
        late = high if high is not None and math.isfinite(high) else None
        return "forecast", outlook.low_seconds, late, outlook.mb_per_hour or growth_mb, seen
    if used_mb is None or not limit_mb:
        return "unknown" if used_mb is not None else "early", None, None, growth_mb, seen_seconds
    room = max(0.0, limit_mb - used_mb)
    timed = [
        (leak.hours_left, leak.watched_seconds, (leak.process_per_hour or leak.bytes_per_hour) / MB)
        for leak in own
        if leak.hours_left is not None
    ]
    young = (seen_seconds or 0.0) < SETTLED_SECONDS
    confirmed = any(leak.state == "confirmed" for leak in own)
    if len(timed) < len(leaks) and not confirmed and growth_mb and growth_mb > 0 and not young:
        timed.append((room / growth_mb, seen_seconds or 0.0, growth_mb))  # the others are only seen in the whole
    hours, watched, per_hour = min(timed, default=(math.inf, 0.0, 0.0))
    if 3600 * hours <= _LATEST_SECONDS:
        return "pace", 3600 * hours, 3600 * hours, per_hour or growth_mb, watched
    if context.verdict_at is not None and not leaks:
        return "early", None, None, growth_mb, seen_seconds
    if growth_mb is not None and growth_mb > 0:
        ahead_seconds, seen = 3600 * room / growth_mb, seen_seconds or 0.0
        # What a young process needs looks like growth, and a forecast looks ahead only a part of what it has seen: to
        # say that it goes on, or that it does not, is to guess. So it is while a confirmed leak has no pace yet.
        unweighed = seen < ROUGH_SECONDS and any(one.state == "confirmed" and one.hours_left is None for one in own)
        guessed = young or unweighed if leaks else seen < _WARM_UP_SECONDS or ahead_seconds < _GUESSED * seen
        if guessed and ahead_seconds <= _LATEST_SECONDS:
            return "early", None, None, growth_mb, seen_seconds
    return "none", None, None, growth_mb, seen_seconds


def _worded(found: Mapping[str, Any], context: StateContext) -> dict[str, str]:
    """The fact, the note below it, and the same for a row of a table."""
    low, high, basis, now = found["seconds_low"], found["seconds_high"], found["basis"], context.now
    watched = found["watched_seconds"]
    figures = _figures(found)
    who = subject(found, context.workers, lower=True)
    if is_passed(found):
        return {"words": "above the limit now", "note": f"{who}: {figures}", "short": "above the limit"}
    if is_unread(found):
        return {"words": "not known", "note": "memory in use cannot be read: `/proc` is hidden", "short": "not known"}
    if basis == "unknown":
        return {"words": "no limit known", "note": "set `heap_size_mb`", "short": "no limit known"}
    if basis == "early":
        seen = f"watched {span(watched)} so far" if watched else ""
        due = seen if context.verdict_at is None else f"from {at(context.verdict_at, now)}"
        return {"words": "too early to say", "note": due, "short": "too early to say"}
    if low is None:
        judged = "" if not watched else f"judged over {span(watched)}"
        return {"words": "not at this pace", "note": judged, "short": "not at this pace"}
    if basis == "forecast":
        words, when = in_about(middle(found)), f"{_time(low, now)} to {_time(high or low, now)}"
        if high is None:
            words, when = f"in {ahead(low)} or later", f"from {_time(low, now)}"
        return {"words": words, "note": f"{when} UTC, {who}: {figures}", "short": when if low < _DAY else words}
    short = f"about {_time(low, now)}" if low < _DAY else in_about(low)
    if watched is None or watched < ROUGH_SECONDS:
        rough = "rough" if watched is None else f"rough: watched {span(watched)}"
        words = f"{in_about(low).removeprefix('in ')} at this pace"
        return {"words": words, "note": f"{rough}. {_first(who)}: {figures}", "short": short}
    note = f"at this pace (watched {span(watched)}), {who}: {figures}"
    return {"words": in_about(low), "note": note, "short": short}


def subject(found: Mapping[str, Any], workers: int, *, lower: bool = False) -> str:
    """The owner of a limit: ``Worker 4242``, ``The container``, ``All 4 workers together``."""
    if found["subject"] == "worker":
        words = f"Worker {found['pid']}"
    elif found["subject"] == "container":
        words = "The container"
    else:
        words = f"All {several(workers, 'worker')} together" if workers > 1 else "This worker"
    return words[0].lower() + words[1:] if lower else words


def _time(seconds: float, now: float) -> str:
    """A time of day within a day, the date beyond it."""
    return clock(now + seconds) if seconds < _DAY else clock(now + seconds, now)


def _figures(found: Mapping[str, Any]) -> str:
    text = of_limit(found["used_mb"], found["limit_mb"])
    return text if not found["mb_per_hour"] else f"{text}, {hourly(found['mb_per_hour'])} an hour"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
