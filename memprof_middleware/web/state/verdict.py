"""The verdict at the top of the page: one of five, in words a person understands at three in the morning. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.analysis.ledger import ADVICE
from memprof_middleware.config import Config
from memprof_middleware.model import MB
from memprof_middleware.model.counts import longest_gap
from memprof_middleware.text.words import clock, count, duration, percent, several, size

LABELS = {
    "leak_confirmed": "LEAK CONFIRMED",
    "near_limit": "MEMORY IS NEAR ITS LIMIT",
    "leak_suspected": "LEAK SUSPECTED",
    "learning": "STILL LEARNING",
    "no_leak": "NO LEAK FOUND",
}
_NATIVE = {"native", "mapped", "fragmentation"}


def verdict(
    workers: Sequence[Mapping[str, Any]],
    leaks: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None,
    config: Config,
    now: float,
    started: float,
) -> dict[str, Any]:
    """What to say first.

    Args:
        workers: as the page lists them, the first to reach its limit on top.
        leaks: as the page lists them, the worst on top.
        shared: what all workers use together, and the limit that they share.
        config: the thresholds and how long is watched before anything is judged.
        now: the time, in seconds since the epoch.
        started: when the oldest worker began to be watched.
    """
    live = [row for row in workers if row["live"]]
    heard = [row for row in live if row["silent_seconds"] is None]
    # What is only watched stands in the list, never in a headline.
    open_leaks = [leak for leak in leaks if leak["state"] != "resolved" and leak["notable"]]
    first = first_to_end(heard, shared)
    state = _state(heard or live, open_leaks, shared, config)
    found: dict[str, Any] = {"state": state, "label": LABELS[state], "first_to_end": first, "leak": None}
    if state in {"leak_confirmed", "leak_suspected"}:
        leak = open_leaks[0]
        found["leak"] = leak["name"]
        found |= _of_leak(leak, first, now, started, heard)
    elif state == "near_limit":
        found |= _of_limit(heard or live, open_leaks, shared, first, now)
    elif state == "learning":
        found |= _of_learning(live, config)
    else:
        found |= _of_health(live, shared, now, started)
    return found


def first_to_end(workers: Sequence[Mapping[str, Any]], shared: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Whose limit is reached first: a worker's, or the one that all share; ``None`` if none is foreseen."""
    ends = [(row["time_left"], row["worker"], row["pid"], row["limit_mb"]) for row in workers if row["time_left"]]
    if shared is not None and shared["time_left"]:
        ends.append((shared["time_left"], None, None, shared["size_mb"]))
    if not ends:
        return None
    # Where both end at once, they share one limit: then it is all of them.
    left, worker, pid, limit = min(ends, key=lambda end: (end[0]["low_seconds"], end[1] is not None))
    return {"worker": worker, "pid": pid, "limit_mb": limit, **left}


def _state(
    workers: Sequence[Mapping[str, Any]],
    leaks: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None,
    config: Config,
) -> str:
    fullest = max((row["used_percent"] or 0.0 for row in workers), default=0.0)
    if shared is not None:
        fullest = max(fullest, shared["percent"] or 0.0)
    if any(leak["state"] == "confirmed" for leak in leaks):
        return "leak_confirmed"
    if fullest >= config.heap_warning_percent:
        return "near_limit"
    if leaks:
        return "leak_suspected"
    return "learning" if _learned(workers) < _to_learn(config) or _is_stale(workers, config) else "no_leak"


def _learned(workers: Sequence[Mapping[str, Any]]) -> int:
    """Snapshots in which nothing was counted teach nothing of leaks."""
    return max((row["censuses"] for row in workers), default=0)


def _is_stale(workers: Sequence[Mapping[str, Any]], config: Config) -> bool:
    """Whether no worker has counts as young as they have to be at the latest: nothing can be said of now."""
    ages = [row["census_age_seconds"] for row in workers if row["census_age_seconds"] is not None]
    return min(ages, default=0.0) > longest_gap(config.interval) + config.interval


def _to_learn(config: Config) -> int:
    return config.warmup_snapshots + config.leak_min_snapshots


def _of_leak(
    leak: Mapping[str, Any],
    first: Mapping[str, Any] | None,
    now: float,
    started: float,
    workers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    after = leak["since"] - started
    told_after = f"{duration(after)} after the start at {clock(started, now)}" if after >= 0 else ""
    grows = sum(max(0.0, row["growth_mb_per_hour"] or 0.0) for row in workers)
    kept = leak["growth_per_request"]
    facts = [
        _fact("Held by", leak["holder"] or _unknown_holder(leak), leak["note"], code=bool(leak["holder"])),
        _fact(
            "Comes from",
            leak["route"] or "not known yet",
            "" if kept is None else f"{_amount(leak, kept)} kept per request, of whatever route",
            code=bool(leak["route"]),
        ),
        _fact("Since", f"{clock(leak['since'], now)} UTC", told_after),
        _fact("Confidence", percent(leak["confidence"]), _grows(grows, len(workers))),
    ]
    return {
        "name": leak["name"],
        "headline": f"grows by {_amount(leak, leak['growth_per_hour'])} an hour",
        "sentence": [*_end(first, now, workers), *_what_helps(leak, first)],
        "facts": facts,
    }


def _grows(mb_per_hour: float, workers: int) -> str:
    if not mb_per_hour:
        return ""
    return f"memory grows by {size(mb_per_hour)} an hour{f' in {workers} workers' if workers > 1 else ''}"


def _amount(leak: Mapping[str, Any], value: float) -> str:
    if leak["unit"] == "bytes":
        return size(value / MB)
    if 0 < value < 10:
        return f"{value:.2g}"
    return count(value)


def _unknown_holder(leak: Mapping[str, Any]) -> str:
    return "memory outside Python" if leak["kind"] in _NATIVE else "not known yet"


def _end(first: Mapping[str, Any] | None, now: float, workers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who reaches which limit and when, the time in bold."""
    if first is None:
        return [_words("No limit is foreseen to be reached yet.")]
    low, high = first["low_seconds"], first["high_seconds"]
    who = "This worker" if len(workers) == 1 else f"Worker {first['pid']}"
    if first["pid"] is None:
        who = f"All {several(len(workers), 'worker')} together" if len(workers) > 1 else "This worker"
    verb = "reach their" if first["pid"] is None and len(workers) > 1 else "reaches its"
    if high is not None and high > 1.1 * low:
        when, at = f"{duration(low)} to {duration(high)}", f"{clock(now + low, now)} to {clock(now + high, now)} UTC"
        return [
            _words(f"{who} {verb} limit of {size(first['limit_mb'])} in "),
            _words(when, bold=True),
            _words(f" ({at})."),
        ]
    about = "at the earliest in " if high is None else "in about "
    return [
        _words(f"{who} {verb} limit of {size(first['limit_mb'])} {about}"),
        _words(duration(low), bold=True),
        _words(f" ({clock(now + low, now)} UTC)."),
    ]


def _what_helps(leak: Mapping[str, Any], first: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if leak["kind"] not in {"objects", "container"}:
        return [_words(f" {ADVICE[leak['kind']]}")]
    if leak["state"] == "suspected":
        return [_words(" It is a suspicion: a cache that fills looks the same at first.")]
    return [_words(" Restarting workers buys that time back.")] if first is not None else []


def _of_limit(
    workers: Sequence[Mapping[str, Any]],
    leaks: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None,
    first: Mapping[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    fullest = max(workers, key=lambda row: row["used_percent"] or 0.0)
    headline = (
        f"worker {fullest['pid']} uses {size(fullest['used_mb'])}, {fullest['used_percent'] or 0:.0f} % of its limit"
    )
    if shared is not None and (shared["percent"] or 0.0) >= (fullest["used_percent"] or 0.0) and len(workers) > 1:
        who = "the container uses" if shared["contained"] else f"{several(len(workers), 'worker')} together use"
        headline = f"{who} {size(shared['used_mb'])}, {shared['percent']:.0f} % of the limit"
    sentence = _end(first, now, workers) if first else [_words("It does not grow steadily.")]
    if leaks:
        sentence += [_words(" One suspect: "), _words(leaks[0]["name"], code=True), _words(".")]
    else:
        sentence.append(_words(" No leak was found: the limit may be too small for what is kept on purpose."))
    return {"name": "", "headline": headline, "sentence": sentence, "facts": []}


def _of_learning(workers: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Any]:
    learned, needed = _learned(workers), _to_learn(config)
    if learned >= needed:
        age = min(row["census_age_seconds"] or 0.0 for row in workers)
        return {
            "headline": f"(objects were counted {duration(age)} ago)",
            "name": "",
            "sentence": [_words("Nothing is said on counts as old as these.")],
            "facts": [],
        }
    soon = duration((needed - learned) * config.interval)
    return {
        "headline": f"({_span(learned, config)} of {_span(needed, config)})",
        "name": "",
        "sentence": [_words(f"What grows while a program warms up is no leak. The first verdict is due in {soon}.")],
        "facts": [],
    }


def _span(snapshots: int, config: Config) -> str:
    return duration(snapshots * config.interval)


def _of_health(
    workers: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None,
    now: float,
    started: float,
) -> dict[str, Any]:
    most = max((row["rss_mb"] or 0.0 for row in workers), default=0.0)
    share = max((row["used_percent"] or 0.0 for row in workers), default=0.0)
    if shared is not None:
        share = max(share, shared["percent"] or 0.0)
    requests = sum(row["requests"] for row in workers)
    watched = f"Watched for {duration(now - started)} and {count(requests)} requests."
    at_most = "" if len(workers) == 1 else " at most"
    return {
        "name": "",
        "headline": (
            f"Memory is level: {several(len(workers), 'worker')}, {size(most)}{at_most}, {share:.0f} % of the limit"
        ),
        "sentence": [_words(watched)],
        "facts": [],
    }


def _fact(name: str, value: str, note: str, *, code: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "note": note, "code": code}


def _words(text: str, *, bold: bool = False, code: bool = False) -> dict[str, Any]:
    return {"text": text, "as": "strong" if bold else "code" if code else ""}
