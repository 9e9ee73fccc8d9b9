"""The steps for an incident: now, for the person on call, and the fix, for the developer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.config import Config
from memprof_middleware.model import Leak
from memprof_middleware.text.advice import Advice
from memprof_middleware.text.words import clock, several, size
from memprof_middleware.web.state.limits import is_unread, middle
from memprof_middleware.web.state.words import ahead, at, marked, span

# A restart is due this many seconds before the limit, rounded to a quarter of an hour.
_MARGIN_SECONDS, _QUARTER = 600.0, 900
# The suggested ``recycle``, as a share of the limit.
_RECYCLE = 0.88
_LEAST_BOUGHT = 60.0
# Below this many seconds only a restart helps, also with a rough figure.
_NEAR_SECONDS = 4 * 3600.0


def step(label: str, text: str, code: str = "") -> dict[str, Any]:
    """One step: its label, a sentence, and lines of code or commands."""
    # A list of lines, not one text: readers of foreign JSON may reject line ends.
    return {"step": label, "text": marked(text), "code": code.rstrip("\n").split("\n") if code else []}


def now_step(
    leak: Leak,
    urgent: str,
    limit: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    others: int | None,
    config: Config,
    now: float,
    replaced: bool | None = None,
) -> dict[str, Any]:
    """The step for the person on call.

    Args:
        leak: the leak.
        urgent: its urgency; of a suspicion because of which the limit is near, that of the limit.
        limit: when the limit of the worker that has it worst is reached.
        row: that worker; ``None``: it is silent or gone.
        others: workers that do not have it, 0 if that is not known of all; ``None``: the server has one worker.
        config: the settings.
        now: the time.
        replaced: whether the server replaces a worker that is ended; ``None``: not known.
    """
    if leak.state == "suspected" and urgent in {"none", "plan"} and limit["urgency"] in {"now", "today"}:
        return step("Now", "Nothing because of this alone: memory is nearly full, and the step for that comes first.")
    if leak.state == "suspected" and urgent in {"none", "plan"} and row is not None and _is_before_decided(leak, limit):
        what = "the service" if replaced is False else f"worker {row['pid']}"
        words = "Look again in a minute: the limit may be reached before this is decided."
        return step("Now", f"{words} If memory still grows, restart {what}.")
    if leak.state == "suspected" and urgent in {"none", "plan"}:
        return step(
            "Now",
            "Nothing. memprof reports it again when it is confirmed, when it ends, or when the limit would come first.",
        )
    if leak.kind == "fragmentation":
        return step("Now", "Nothing leaks. If the memory is needed, let memprof give it back.", "MEMPROF_REMEDIES=trim")
    if urgent in {"none", "plan"} and is_unread(limit):
        return step("Now", "Nothing is known to be urgent. `/proc` cannot be read: memory and limit are not known.")
    if urgent in {"none", "plan"} and limit["basis"] == "early":
        return step("Now", "Nothing yet. How soon the limit is reached is known in a minute: look again then.")
    if urgent in {"none", "plan"}:
        return step("Now", "Nothing. No worker is near its limit: this is a ticket, not a page.")
    if config.recycle is not None:
        return step("Now", f"Nothing. memprof recycles a worker above {size(config.recycle)}; watch that it keeps up.")
    near = limit["seconds_low"] is not None and limit["seconds_low"] < _NEAR_SECONDS
    if urgent == "today" and not near and row is not None and row["limit_mb"]:
        mb = 10 * int(_RECYCLE * row["limit_mb"] / 10)
        before = _deadline(limit, now)
        when = f" before {before}" if before else ""
        words = f"Plan a restart{when}, or let memprof recycle workers at {mb:,} MiB."
        return step("Now", words, f"MEMPROF_RECYCLE={mb}")
    return _restart(leak, limit, row, others, now, replaced)


def _is_before_decided(leak: Leak, limit: Mapping[str, Any]) -> bool:
    """Whether at this pace a limit is reached before a suspicion is decided."""
    low, decided = limit["seconds_low"], leak.decided_seconds
    return low is not None and decided is not None and low < decided


def _restart(
    leak: Leak,
    limit: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    others: int | None,
    now: float,
    replaced: bool | None,
) -> dict[str, Any]:
    if row is None:
        return step("Now", "Restart the workers one after the other.")
    before = _deadline(limit, now)
    when = f" before {before}" if before else " now"
    buys = _bought(leak, limit, row, now)
    if replaced is False:
        return step("Now", f"Restart the service{when}{buys}. Its server does not replace worker {row['pid']}.")
    sentences = [f"Restart worker {row['pid']}{when}.", f"It finishes its requests first{buys}."]
    if others is None:
        sentences.append("It is the only worker: nothing answers until its server or service manager has replaced it.")
    elif others > 0:
        do = "worker does" if others == 1 else f"{several(others, 'worker')} do"
        sentences.append(f"The other {do} not have this leak.")
    return step("Now", " ".join(sentences), f"kill -TERM {row['pid']}")


def _deadline(limit: Mapping[str, Any], now: float) -> str:
    low = limit["seconds_low"]
    if low is None or low < 2 * _MARGIN_SECONDS:
        return ""
    due = _QUARTER * ((now + low - _MARGIN_SECONDS) // _QUARTER)
    return at(due, now) if due > now else ""


def _bought(leak: Leak, limit: Mapping[str, Any], row: Mapping[str, Any], now: float) -> str:
    """The time until the memory is as full again after a restart: the time since the start."""
    if not limit["mb_per_hour"] or not row["up_seconds"]:
        return ""
    since = min(row["up_seconds"], now - leak.since)
    bought = since + middle(limit) if limit["seconds_low"] is not None else since
    return f"; this buys about {ahead(bought)}" if bought >= _LEAST_BOUGHT else ""


def full_steps(
    shared: Mapping[str, Any] | None, row: Mapping[str, Any], workers: int, config: Config
) -> list[dict[str, Any]]:
    """The steps for memory that is nearly full without a leak.

    Args:
        shared: what all workers use of the limit that they share, where that is what is full; else ``None``.
        row: the fullest worker.
        workers: how many live.
        config: the settings.
    """
    used, limit = (row["used_mb"], row["limit_mb"]) if shared is None else (shared["used_mb"], shared["size_mb"])
    more = 64 * (int(used / 0.7) // 64 + 1)
    can_be_fewer = shared is not None and workers > 1
    fewer = f", or run {several(workers - 1, 'worker')} instead of {workers}" if can_be_fewer else ""
    whose = "the limit" if shared is None else "the container's limit" if shared["contained"] else "the memory"
    each = f" A worker uses {size(row['used_mb'])}." if row["used_mb"] else ""
    percent = 100 * used / limit if limit else 0.0
    usual = min(int(config.heap_critical_percent) - 1, 5 * (int(percent) // 5 + 1))
    steps = [step("Now", f"Raise {whose} to about {more:,} MiB{fewer}.{each}")]
    if usual > percent:
        words = f"If {percent:.0f} % is normal here, raise the threshold."
        steps.append(step("Later", words, f"MEMPROF_HEAP_WARNING_PERCENT={usual}"))
    return steps


def fix_step(leak: Leak, advice: Advice) -> dict[str, Any]:
    """The step for the developer: the fix.

    Args:
        leak: the leak.
        advice: as :func:`memprof_middleware.text.advice.advice_for` gives it.
    """
    if leak.state == "suspected":
        return step(
            "If it is a cache", "Give it a maximum size that memprof can read (`maxsize`, `maxlen`), or ignore it."
        )
    likely = "Likely: " if advice.likely else ""
    # The names in it are not those of the reader's program.
    example = " For example:" if advice.code and advice.language == "python" else ""
    return step("Fix", f"{likely}{advice.fix}{example}", advice.code)


def learning_steps(
    rows: Sequence[Mapping[str, Any]],
    config: Config,
    learned: int,
    pace: float,
    due: float,
    now: float,
    started: float,
) -> list[dict[str, Any]]:
    """The steps until the first verdict.

    Args:
        rows: the live workers.
        config: the settings.
        learned: object counts so far.
        pace: the seconds between two of them; a snapshot without one teaches nothing of types.
        due: when the first verdict is due.
        now: the time.
        started: when the oldest worker began to be watched.
    """
    release = f", release {config.release}" if config.release else ""
    warm, needed = config.warmup_snapshots, config.leak_min_snapshots
    warming = learned < warm
    watched = max(0, learned - warm)
    every = f"one in {span(pace)}" if pace != 60 else "one a minute"
    one = "snapshot" if pace == config.interval else "object count"
    of = f"{watched} of {several(needed, one)}" if not warming else several(needed, one)
    confirmed = "A leak is confirmed once it has taken about a third of the memory that was free."
    if config.leak_confirm_requests is not None:
        confirmed = f"A leak is confirmed after {config.leak_confirm_requests:,} requests that feed it."
    requests = sum(row["requests"] for row in rows)
    traffic = "" if requests else " No requests yet: a leak that requests cause shows only under load."
    return [
        {"state": "done", "text": f"Started {clock(started, now)} UTC{release}"},
        {
            "state": "now" if warming else "done",
            "text": f"Warm-up: {several(warm, one)}, {every}. Growth in it is normal and is not judged.",
        },
        {"state": "todo" if warming else "now", "text": f"Watching: {of}.{traffic}"},
        {"state": "todo", "text": f"{at(due, now)}: first verdict. {confirmed}"},
    ]
