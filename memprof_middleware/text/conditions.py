"""Conditions in sentences: what the log, callbacks and sinks say when one begins, rises and ends."""

from __future__ import annotations

from memprof_middleware.model import MB, Condition, Leak, RouteLeak
from memprof_middleware.model.urgency import ROUGH_SECONDS, SETTLED_SECONDS, URGENCY_WORDS
from memprof_middleware.text.headline import (
    amounts,
    from_to,
    headline,
    holder,
    hours_in_words,
    limit,
    memory,
    plain,
    spread,
    subject,
    watched,
    within,
)
from memprof_middleware.text.subject import Subject
from memprof_middleware.text.words import duration, figure, several

# The first words of a line, which never change, so that it can be searched.
KEYWORDS = {
    "heap_warning": "memory high",
    "heap_critical": "memory critical",
    "shared_warning": "memory high",
    "shared_critical": "memory critical",
    "heap_growth": "memory grows",
    "gc_spike": "garbage collection spike",
    "exhaustion": "limit near",
    "route_leak": "route leaks",
}
# What is so when one of these is found no longer.
_GONE = {
    "heap_growth": "memory no longer grows as a leak does",
    "exhaustion": "no limit is reached within a day at this pace",
    "route_leak": "its requests keep no more memory",
}
# So many requests at once are told where nothing else is known to fill the memory: threads are fewer.
_MANY_IN_FLIGHT = 100
# So many routes of one leak are named.
_MOST_ROUTES = 2
_TIMES = {1: "once", 2: "for the second time", 3: "for the third time"}
_UNITS = {"objects": "objects", "container": "entries", "untracked": "blocks"}


def begins(condition: Condition, *, times: int = 1, first: str = "", evidence: str = "", ignored: bool = False) -> str:
    """A condition that begins.

    Args:
        condition: what is so now.
        times: how often it began so far, this time included.
        first: when it began for the first time, for people.
        evidence: the command that prints the evidence file; empty: there is none.
        ignored: it was ignored until now.
    """
    leak = condition.leak
    if leak is None:
        return _joined(f"{KEYWORDS[condition.name]}: {condition.message}", condition.advice)
    if leak.state == "suspected":
        return f"leak suspected: {condition.message}"
    if times > 1 and not ignored:
        again = f"leak again: {subject(leak)} grows again, {_TIMES.get(times, f'for the {times}th time')} since {first}"
        return _joined(again, condition.advice)
    now = f", {URGENCY_WORDS[condition.urgency]}" if condition.urgency in {"now", "today"} else ""
    from memprof_middleware.text.advice import advice_for  # with the first leak, if one ever comes

    fix = f"Fix: {advice_for(leak).plain}"
    kept = f"Evidence: {evidence}" if evidence else ""
    sure = f"leak {'watched again, ' if ignored else ''}confirmed ({100 * leak.confidence:.0f} %){now}"
    return _joined(f"{sure}: {condition.message}", condition.advice, fix, kept)


def rises(condition: Condition, before: Condition) -> str:
    """A condition whose urgency has risen since it was reported last."""
    words = URGENCY_WORDS[condition.urgency]
    if condition.leak is None:
        return _joined(f"{KEYWORDS[condition.name]}, {words}: {condition.message}", condition.advice)
    was = "" if before.limit_seconds is None else f" (was {hours_in_words(before.limit_seconds / 3600)})"
    leak = condition.leak
    ahead = "" if leak.hours_left is None else limit(leak.hours_left, leak.hours_latest)
    when = f"; {ahead.removesuffix(' at this pace')}{was}" if ahead else ""
    return _joined(f"leak urgent, {words}: {subject(leak)}{when}", condition.advice)


def goes_on(leak: Leak) -> str:
    """A suspicion whose growth has doubled since it was reported."""
    decided = _decided(leak)
    return f"leak still suspected: {subject(leak)}, {watched(leak)}" + (f"; {decided}" if decided else "")


def ends(condition: Condition, began: Condition, seconds: float, why: str = "", *, ignored: bool = False) -> str:
    """A condition that ends.

    Args:
        condition: what is so now, if it is measured; else as it was last.
        began: what it was when it was reported.
        seconds: since then.
        why: what ended it, where that is known: ``was freed``.
        ignored: it has not ended: somebody ignores it from now on.
    """
    after = duration(seconds)
    leak = began.leak
    if leak is None:
        # One that is not found any more has no figure of now.
        gone = f"{_GONE.get(began.name, 'it is not measured any more')} (reported as: {began.message})"
        return (
            f"{KEYWORDS[began.name]}, resolved after {after}: {why or (gone if condition.met else condition.message)}"
        )
    last = condition.leak or leak
    name = holder(leak) or holder(last) or leak.name
    if ignored:
        kind, since = ("suspicion", "") if leak.state == "suspected" else ("leak", f" (confirmed {after} ago)")
        return f"{kind} ignored: {name} is not reported from now on{since}. Its growth still counts against the limit"
    over = f"{name} {why or 'no longer grows'}"
    if leak.state == "suspected":
        return f"suspicion resolved: {over}{_stopped(last, why)}"
    return f"leak resolved: {over} (confirmed {after} ago)"


def leak_message(leak: Leak, room: str = "") -> str:
    """What a leak is, and when the limit is reached.

    Args:
        leak: the leak.
        room: what is used of the limit, for people.
    """
    told = plain(headline(leak))
    if leak.state == "suspected":
        if leak.kind == "fragmentation":
            return told
        decided = _decided(leak)
        counted = leak.kind in {"objects", "container"} and not Subject(leak).is_under_way  # no memory is a cache
        rest = "; ".join(part for part in ("It may be a cache that fills" if counted else "", decided) if part)
        return _grown(leak, told) + (f". {rest[0].upper()}{rest[1:]}" if rest else "")
    # What the headline has said already is not said twice.
    new = ", ".join(amount for amount in amounts(leak) if amount.removeprefix("+") not in told)
    told += f"{', ' if told.endswith('an hour') else ': '}{new}" if new else ""
    told += f"; {few}" if (few := spread(leak)) else ""
    told += f"; all memory of the process +{memory(leak.process_per_hour)} an hour" if leak.process_per_hour else ""
    if not leak.bytes_per_hour and leak.hours_left is None:
        early = 0 < leak.watched_seconds < SETTLED_SECONDS
        return f"{told}. Too early to say when the memory limit is reached" if early else told
    rough = leak.hours_left and leak.hours_latest is None and 0 < leak.watched_seconds < ROUGH_SECONDS
    watched_for = f"rough: watched {duration(leak.watched_seconds)}" if rough else ""
    inside = "; ".join(part for part in (room, watched_for) if part)
    ahead = limit(leak.hours_left, leak.hours_latest)
    unseen = leak.kind == "native" and holder(leak) == ""
    doubt = ". A cache of C code looks the same until it is full" if unseen else ""
    return f"{told}. {ahead[0].upper()}{ahead[1:]}" + (f" ({inside})" if inside else "") + doubt


def raise_limit(source: str) -> str:
    """What to do about a limit that a process is above from its start on; a restart would not help.

    Args:
        source: where the limit is from, as in :class:`MemorySnapshot`.
    """
    return "correct heap_size_mb" if source == "setting" else "raise the limit"


def restart(pid: int, *, replaced: bool | None = None, alone: bool = False, planned: bool = False) -> str:
    """What to do where there is no time to look for the cause.

    Args:
        pid: the process.
        replaced: whether its server replaces it when it ends; ``None``: not known.
        alone: it is the only worker.
        planned: there is time to choose the hour.
    """
    if replaced is False:
        return f"{'Plan a restart of' if planned else 'Restart'} the service: its server does not replace process {pid}"
    if planned:
        return f"Plan a restart of process {pid}"
    down = f"Process {pid} is the only worker: once it ends, the service is down until something starts it again. "
    return f"{down if alone and replaced is None else ''}Restart: kill -TERM {pid}"


def process_message(pid: int, percent: float, used_mb: float, size_mb: float, source: str) -> str:
    """What a process uses of its limit."""
    return f"process {pid} uses {percent:.0f} % of its limit ({used_mb:.0f} of {size_mb:.0f} MiB, limit from {source})"


def shared_message(workers: int, percent: float, used_mb: float, size_mb: float, *, contained: bool) -> str:
    """What all workers use of the limit that they share."""
    used = f"{percent:.0f} % of its limit ({used_mb:.0f} of {size_mb:.0f} MiB)"
    together = several(workers, "worker")
    return f"the container uses {used}, {together}" if contained else f"{together} together use {used}"


def growth_message(
    mb: float, percent: float, hours: float, left_hours: float | None, latest_hours: float | None = None
) -> str:
    """How fast all memory grows."""
    ahead = "" if left_hours is None else f"; {limit(left_hours, latest_hours).replace('memory limit', 'limit')}"
    return f"+{mb:.1f} MiB an hour (+{percent:.1f} %) over {hours:.1f} h{ahead}"


def collections_message(now: float, usual: float, reason: str = "") -> str:
    """How often full collections run, beside what is usual: by the last rates, or as it was learned."""
    beside = f"{now / usual:.1f} times the usual {usual:.0f}" if usual else "none before"
    return f"{several(round(now), 'full collection')} an hour, {reason or beside}"


def route_message(leak: RouteLeak, pid: int | None = None) -> str:
    """What each request of a route keeps, or of several: they cannot be told apart, or keep about as much.

    Args:
        leak: the leak.
        pid: the process that it is about, where it is about one of several; ``None``: not known.
    """
    found = leak.growth
    low, value, high = found.per_request.low, found.per_request.value, found.per_request.high
    where = f" in worker {found.worker}" if found.worker else ""
    if where and pid is not None:
        where += f", process {pid}"
    if found.unit == "bytes":
        (value_text, low_text, high_text), unit = map(memory, (value, low, high)), ""
        shared = value_text.rpartition(" ")[2]
        if shared == low_text.rpartition(" ")[2] == high_text.rpartition(" ")[2]:
            low_text, high_text = low_text.rpartition(" ")[0], high_text.rpartition(" ")[0]
    else:
        value_text, low_text, high_text = map(figure, (value, low, high))
        unit = f" {found.unit}"
    if not found.identified:
        names = ", ".join((found.route, *found.together_with))
        return (
            f"one of {names} keeps about {value_text}{unit} per request{where}. "
            "Their traffic rises and falls together, so memprof cannot say which"
        )
    rests = f"{low_text} to {high_text}; from {several(found.requests, 'request')}"
    if leak.others:
        return f"{route_names(leak)} keep {value_text}{unit} per request{where} ({rests})"
    return f"{found.route} keeps {value_text}{unit} per request{where} ({rests})"


def route_names(leak: RouteLeak) -> str:
    """The routes that a leak is about, the first of many: ``GET /a, GET /b and 6 other routes``."""
    growth = leak.growth
    if not growth.identified:
        return " or ".join((growth.route, *growth.together_with))
    shown, more = leak.routes[:_MOST_ROUTES], len(leak.routes) - _MOST_ROUTES
    if more > 0:
        return f"{', '.join(shown)} and {several(more, 'other route')}"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def exhaustion_message(
    who: str,
    limit_mb: float,
    low_seconds: float,
    high_seconds: float,
    used_mb: float,
    mb_per_hour: float,
    hours: float,
    cause: str = "",
) -> str:
    """When a limit is reached by a forecast, from its early to its late end, and what is likely to fill it."""
    ends_at = [hours_in_words(seconds / 3600) for seconds in (low_seconds, high_seconds)]
    span = " to ".join(dict.fromkeys(ends_at))
    figures = f"{used_mb:.0f} MiB, +{memory(mb_per_hour * MB)} an hour over {hours_in_words(hours)}"
    return f"{who} {limit_mb:.0f} MiB in {span} ({figures})" + (f". {cause}" if cause else "")


def exhaustion_over(used_mb: float, limit_mb: float) -> str:
    """Why a limit is not near any more."""
    figures = f"{used_mb:.0f} of {limit_mb:.0f} MiB"
    return f"the limit is reached, {figures}" if used_mb >= limit_mb else f"memory no longer grows so fast, {figures}"


def cause_of(leak: Leak | None, in_flight: int = 0) -> str:
    """What fills a limit, by what is known of it so far; empty: nothing is.

    Args:
        leak: what takes most; ``None``: nothing is reported that does.
        in_flight: requests that have begun and not ended.
    """
    if leak is None:
        return f"{in_flight:,} requests are in flight" if in_flight >= _MANY_IN_FLIGHT else ""
    told = plain(headline(leak))
    return f"{'Likely, a suspicion' if leak.state == 'suspected' else 'By a confirmed leak'}: {told}"


def describe(leak: Leak) -> str:
    """What a leak is and how much it grew, for a report."""
    return _grown(leak, plain(headline(leak)))


def _grown(leak: Leak, told: str) -> str:
    """A headline with the growth and its time, of which it does not say again what it has said."""
    grown = within(leak).lstrip() if from_to(leak) in told else watched(leak)
    return f"{told} ({grown})" if grown else told


def _decided(leak: Leak) -> str:
    """When a suspicion is decided, at this pace; or that the limit is reached before."""
    hours = _decided_hours(leak)
    if hours is not None and leak.hours_left is not None and leak.hours_left < hours:
        return f"{limit(leak.hours_left)}, before this is decided"
    if leak.decided_requests is not None:
        when = "" if leak.decided_seconds is None else f" ({_in(leak.decided_seconds)})"
        return f"decided after about {several(_rounded(leak.decided_requests), 'more request')}{when}"
    if leak.decided_seconds is not None:
        return f"decided {_in(leak.decided_seconds)}"
    return ""


def _in(seconds: float) -> str:
    """``in about 40 min``; "less than a minute" is rough by itself."""
    return f"in {'' if seconds < 60 else 'about '}{hours_in_words(seconds / 3600)}"


def _decided_hours(leak: Leak) -> float | None:
    if leak.decided_requests is None:
        return None if leak.decided_seconds is None else leak.decided_seconds / 3600
    if not leak.growth_per_request or leak.growth_per_hour <= 0:
        return None
    return leak.decided_requests * leak.growth_per_request / leak.growth_per_hour


def _rounded(value: float) -> int:
    """No finer than two figures, since it is a guess; at least one."""
    step = int(10 ** max(0, len(str(round(value))) - 2))
    return max(1, round(value / step) * step)


def _stopped(leak: Leak, why: str) -> str:
    unit = _UNITS.get(leak.kind)
    return f" (stopped at {leak.last:,} {unit})" if unit and not why.startswith("was freed") else ""


def _joined(*sentences: str) -> str:
    """Sentences one after another; what stands alone has no full stop."""
    return ". ".join(sentence.removesuffix(".") for sentence in sentences if sentence)
