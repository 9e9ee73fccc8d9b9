"""The incidents of the state: one card for each cause over all workers, the most urgent first. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model import SEVERITIES, Leak, MemoryMetrics, Resolved
from memprof_middleware.model.holders import NO_PATH
from memprof_middleware.model.leak import routed
from memprof_middleware.model.urgency import URGENCIES, URGENCY_WORDS
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.headline import headline, holder, subject
from memprof_middleware.text.words import several
from memprof_middleware.web.state.decided import acknowledged, ignorable
from memprof_middleware.web.state.facts import facts
from memprof_middleware.web.state.feeds import feeds
from memprof_middleware.web.state.limits import StateContext, is_passed, is_unread, limit
from memprof_middleware.web.state.words import Parts, at, code, in_about, listed, marked, parts, plain, span

# The unit of first, last and growth, by kind; memory is counted in bytes.
UNITS = {
    "objects": "objects",
    "container": "entries",
    "untracked": "blocks",
    "native": "bytes",
    "mapped": "bytes",
    "fragmentation": "bytes",
}
STATES = ("confirmed", "suspected", "resolved")
_Key = tuple[str, str]


@valueclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One cause, over all workers that have it.

    Attributes:
        leak: the verdict of the worker that has it worst.
        pairs: worker and verdict of each that has it.
        row: the live worker that has it worst; ``None``: all are silent or gone.
        over: its end, with the time; ``None``: it has not ended.
    """

    leak: Leak
    pairs: tuple[tuple[str, Leak], ...]
    row: Mapping[str, Any] | None
    over: Resolved | None = None

    @property
    def workers(self) -> tuple[str, ...]:
        """The numbers of the workers that have it."""
        return tuple(dict.fromkeys(worker for worker, _ in self.pairs))

    @property
    def alike(self) -> list[Leak]:
        """The verdicts under the same name: what they count can be added."""
        return [one for _, one in self.pairs if one.name == self.leak.name]

    def has_kin(self, leak: Leak) -> bool:
        """Whether a leak, reported or watched, may be of the same cause: it shares a name or a holder."""
        own = {name for _, one in self.pairs for name in _telling(one)}
        return not own.isdisjoint(_telling(leak))

    @property
    def is_open(self) -> bool:
        """Whether the incident has not ended."""
        return self.leak.state != "resolved"


def found(metrics: Sequence[MemoryMetrics], rows: Sequence[Mapping[str, Any]]) -> list[Incident]:
    """The incidents of all workers, ended ones included; rows are in the order of their time to the limit."""
    gathered: dict[_Key, list[tuple[str, Leak]]] = {}
    for one in metrics:
        for leak in one.leaks:
            gathered.setdefault((leak.kind, leak.name), []).append((one.worker, leak))
    over = _over(metrics, [leak for one in metrics for leak in one.leaks if leak.notable])
    return over + [_gathered(pairs, rows) for pairs in _by_holder(gathered)]


def _by_holder(gathered: Mapping[_Key, list[tuple[str, Leak]]]) -> list[list[tuple[str, Leak]]]:
    """Verdicts of one name are one incident; so are those on one holder, whatever each worker calls what it holds.

    Two that one worker tells apart are two.
    """
    homes: dict[str, list[list[tuple[str, Leak]]]] = {}
    found = []
    for pairs in gathered.values():
        held = next((name for _, leak in pairs if leak.notable and (name := holder(leak))), "")
        workers = {worker for worker, _ in pairs}
        homes.setdefault(held, [])
        home = next((one for one in homes[held] if workers.isdisjoint(worker for worker, _ in one)), None)
        if held and home is not None:
            home.extend(pairs)
            continue
        homes[held].append(pairs)
        found.append(pairs)
    return found


def _over(metrics: Sequence[MemoryMetrics], open_: Sequence[Leak]) -> list[Incident]:
    """Incidents that have ended in every worker; time and reason are those of the last one."""
    last: dict[_Key, list[tuple[str, Resolved]]] = {}
    for one in metrics:
        for over in one.resolved:
            last.setdefault((over.leak.kind, over.leak.name), []).append((one.worker, over))
    names = {(leak.kind, leak.name) for leak in open_}
    holders = {holder(leak) for leak in open_} - {""}
    found = []
    for key, pairs in last.items():
        if key not in names and holders.isdisjoint(holder(over.leak) for _, over in pairs):
            newest = max((over for _, over in pairs), key=lambda over: over.at)
            leaks = tuple((worker, over.leak) for worker, over in pairs)
            found.append(Incident(leak=newest.leak, pairs=leaks, row=None, over=newest))
    return found


def _gathered(pairs: Sequence[tuple[str, Leak]], rows: Sequence[Mapping[str, Any]]) -> Incident:
    state = min((leak.state for _, leak in pairs), key=STATES.index)
    having = {worker: leak for worker, leak in pairs if leak.state == state}
    notable = {worker: leak for worker, leak in pairs if leak.notable} | having
    live = (row for row in rows if row["live"] and row["worker"] in notable)
    # The worker that reaches its limit first: also where its leak is a suspicion still.
    row = min(live, key=lambda row: (_soon(row["limit"]), _pressing(notable[row["worker"]])), default=None)
    leak = None if row is None else having.get(row["worker"])
    leak = min(having.values(), key=_pressing) if leak is None else leak
    known = max(having.values(), key=lambda one: (bool(one.path or one.holder), bool(one.route)))
    # A fact that one worker has found holds for the others.
    words = {
        name: getattr(known, name)
        for name in ("holder", "path", "share", "file", "line", "filled_in", "removed_in", "waits_at", "pattern")
        if not (leak.path or leak.holder)
    }
    words |= {
        "confidence": max(one.confidence for one in having.values()),
        "notable": any(one.notable for one in having.values()),
        "severity": max((one.severity for one in having.values()), key=SEVERITIES.index),
        "since": min(one.since for one in having.values()),
        "also": tuple(dict.fromkeys(name for one in having.values() for name in one.also)),
    }
    return Incident(leak=dataclasses.replace(leak, **words), pairs=tuple(pairs), row=row)


def _telling(leak: Leak) -> set[str]:
    """The names of a leak that are not those of the interpreter."""
    names = {leak.name, *leak.also, holder(leak)} - {""}
    return {name for name in names if not name.startswith("builtins.")}


def _soon(limit: Mapping[str, Any]) -> float:
    """Seconds until a worker's limit is reached, where that counts; infinite: it does not, or nobody knows."""
    if is_passed(limit):
        return 0.0
    return float(limit["seconds_low"]) if limit["counts"] and limit["seconds_low"] is not None else math.inf


def _pressing(leak: Leak) -> tuple[int, float]:
    return -URGENCIES.index(leak.urgency), math.inf if leak.hours_left is None else leak.hours_left


def described(
    one: Incident,
    metrics: Sequence[MemoryMetrics],
    context: StateContext,
    started: float,
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of an incident's card.

    Args:
        one: the incident.
        metrics: the figures of every live worker.
        context: the settings and the time.
        started: when the oldest worker began to be watched.
        own: the limit that is reached because of it; ``None``: of another leak, beside which it is told by itself.
    """
    fed, now = feeds(one.leak, metrics), context.now
    leak = routed(one.leak, [growth for worker in metrics for growth in worker.route_growth])
    reached = _limit(one, context) if own is None else dict(own)
    urgent = leak.urgency  # a suspicion asks for nothing
    words = parts(headline(leak))
    return {
        "id": identity(leak),
        "name": leak.name,
        "kind": leak.kind,
        "state": leak.state,
        "notable": leak.notable,
        "urgency": urgent,
        "urgency_words": URGENCY_WORDS[urgent],
        "severity": leak.severity,
        "confidence": leak.confidence,
        "tag": _tag(leak),
        "since": leak.since,
        "when": _when(one, context, started),
        "headline": words,
        "title": plain(words),
        "facts": facts(leak, reached, fed),
        "limit": reached,
        "holder": {
            "path": leak.path,
            "words": leak.holder,
            "file": leak.file,
            "line": leak.line,
            "filled_in": list(leak.filled_in),
            "share": leak.share,
        },
        "feeds": fed,
        "pattern": leak.pattern,
        "first": sum(leak.first for leak in one.alike),
        "last": sum(leak.last for leak in one.alike),
        "unit": UNITS.get(leak.kind, ""),
        "growth_per_hour": sum(leak.growth_per_hour for leak in one.alike),
        "growth_per_request": leak.growth_per_request,
        "bytes_per_hour": sum(leak.bytes_per_hour for _, leak in one.pairs),
        "workers": list(one.workers),
        "pid": None if one.row is None else one.row["pid"],
        "also": list(leak.also),
        "grows_with": _grows_with(leak),
        "why": list(leak.evidence),
        "confirmed_by": _confirmed_by(leak, context),
        "decided_in": _decided_in(leak),
        "acknowledged": acknowledged(leak, urgent, metrics, now),
        "subject": subject(leak),
        "ignorable": ignorable(leak),
        "resolved": [] if one.over is None else _resolved(one.over),
    }


def identity(leak: Leak) -> str:
    """A short, constant name of an incident, for forms."""
    return hashlib.sha256(f"{leak.kind} {leak.name}".encode(errors="replace")).hexdigest()[:12]


def by_urgency(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The order of cards: confirmed first, then by urgency, then by bytes an hour.

    Of those that take about as much the one whose holder is known comes first: it says what to change.
    """
    return (
        STATES.index(row["state"]),
        -URGENCIES.index(row["urgency"]),
        -math.frexp(row["bytes_per_hour"])[1],
        not row["holder"]["path"],
        -row["bytes_per_hour"],
        -row["confidence"],
        -row["growth_per_hour"],
    )


def watching(one: Incident) -> dict[str, Any]:
    """The row of an incident below the limits: listed, never reported."""
    leak = one.leak
    held = leak.path or leak.holder
    return {
        "id": identity(leak),
        "name": leak.name,
        "kind": leak.kind,
        "held": marked(f"held by {code(held)}" if held and not held.startswith(NO_PATH) else held),
        "first": leak.first,
        "last": leak.last,
        "unit": UNITS.get(leak.kind, ""),
        "reading": _reading(leak),
    }


def _reading(leak: Leak) -> str:
    if leak.kind == "container":
        return "grows below the limits; it may have a maximum size of its own"
    return "grows below the limits of what is reported"


def _limit(one: Incident, context: StateContext) -> dict[str, Any]:
    """The time until the limit by this leak alone."""
    row, leak = one.row, one.leak
    used, size = (None, None) if row is None else (row["used_mb"], row["limit_mb"])
    found = limit(
        context,
        None,
        [leak],
        pid=None if row is None else row["pid"],
        used_mb=used,
        limit_mb=size,
        growth_mb=None,
        seen_seconds=None,
        unread=row is not None and is_unread(row["limit"]),
    )
    if is_passed(found) or is_unread(found):
        return found
    if found["seconds_low"] is not None:
        found |= {"words": f"{found['words'].removesuffix(' at this pace')} by this leak alone"}
    elif leak.hours_left is None and not leak.bytes_per_hour:
        found |= {"words": "not known", "note": "how much memory this takes by itself is not known"}
    return found


def _tag(leak: Leak) -> str:
    words = {"confirmed": "Leak confirmed", "suspected": "Suspected", "resolved": "Resolved"}[leak.state]
    return f"{words}, {100 * leak.confidence:.0f} % sure" if leak.state != "resolved" else words


def _when(one: Incident, context: StateContext, started: float) -> str:
    leak, config = one.leak, context.config
    found = []
    if one.over is not None:
        found.append(f"at {at(one.over.at, context.now)}")
    elif leak.state == "suspected":
        found.append(f"a leak, or a cache that is filling{_decided(leak)}")
    else:
        after = leak.since - started
        what = f"release {config.release} started" if config.release else "the start"
        words = f", {span(after)} after {what}" if after >= 0 else ""
        found.append(f"since {at(leak.since, context.now)}{words}")
    if context.workers > 1 and len(one.workers) < context.workers:
        found.append(f"in {len(one.workers)} of {several(context.workers, 'worker')}")
    if leak.relapses:
        found.append(f"it was resolved {several(leak.relapses, 'time')} and grew again")
    return ", ".join(found)


def _decided(leak: Leak) -> str:
    left = _decided_in(leak)
    if left is None:
        return ""
    when = "" if left["seconds"] is None else in_about(left["seconds"])
    if left["requests"] is not None:
        more = several(left["requests"], "more request")
        return f": decided after about {more}{f' ({when})' if when else ''}"
    return f": decided {when}"


def _decided_in(leak: Leak) -> dict[str, Any] | None:
    """The requests or hours until the decision at this pace; ``None``: not known."""
    requests, seconds = leak.decided_requests, leak.decided_seconds
    if leak.state != "suspected" or (requests is None and seconds is None):
        return None
    return {"requests": None if requests is None else int(float(f"{max(1.0, requests):.2g}")), "seconds": seconds}


def _confirmed_by(leak: Leak, context: StateContext) -> str:
    if leak.state != "confirmed":
        return ""
    if context.config.leak_confirm_requests is not None:
        return "requests"
    return "hours" if context.config.leak_confirm_hours is not None else "share"


def _grows_with(leak: Leak) -> Parts:
    words = []
    place = holder(leak)
    # The holder, and types inside of it, are named already.
    beside = [name for name in leak.also if not place or name.partition("[")[0] != place]
    if beside:
        words.append(f"Grows with it: {listed([code(name.removeprefix('builtins.')) for name in beside])}.")
    return marked(" ".join(words))


def _resolved(over: Resolved) -> Parts:
    leak = over.leak
    seconds = over.at - leak.since
    grew = f" It grew for {span(seconds)}." if seconds > 0 else ""
    name = holder(leak) or leak.name
    return marked(f"{code(name)} {over.why or 'does not grow any more'}.{grew}")
