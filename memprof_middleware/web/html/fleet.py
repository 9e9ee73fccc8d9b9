"""The workers as markup: a sentence, a strip of dots, and rows; of many workers only the outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.text.words import DASH, duration, mib, several
from memprof_middleware.web.html.charts import in_mib, meter, spark, strip
from memprof_middleware.web.html.marks import section, small, table, text
from memprof_middleware.web.state.fleet import FEW
from memprof_middleware.web.state.words import of_limit, whole

_HEAD = ("Worker", "Memory in use, of the limit", "#Growth", "#Limit reached", "#Requests", "~Last 6 h")


def workers(state: Mapping[str, Any]) -> str:
    """The section of workers."""
    rows = state["workers"]
    hot = hottest(state)
    limit = next((row for row in rows if row["limit_mb"]), None)
    said = [state["workers_sentence"], _limit(limit, state["shared"]), _together(state)]
    if len(rows) <= FEW:
        return section("workers", _table(rows, hot), title="Workers", sub=text(" ".join(filter(None, said))))
    odd = [row for row in rows if row["outlier"] or not row["live"]]
    others = [row for row in rows if row not in odd]
    body = strip([row for row in rows if row["live"]], None if limit is None else limit["limit_mb"], hot)
    body += _table(odd, hot) if odd else ""
    if others:
        name = f"The other {several(len(others), 'worker')}" if odd else f"All {several(len(others), 'worker')}"
        body += f"<details><summary>{name}</summary>{_table(others, hot)}</details>"
    return section("workers", body, title="Workers", sub=text(" ".join(filter(None, said))))


def hottest(state: Mapping[str, Any]) -> int | None:
    """The process that the status asks to act on; ``None``: none, or all of them."""
    at = state["status"]["limit"]
    pid: int | None = None if at is None else state["limits"][at]["pid"]
    return pid if state["status"]["urgency"] in {"now", "today"} else None


def _limit(row: Mapping[str, Any] | None, shared: Mapping[str, Any] | None) -> str:
    if row is None or (shared is not None and shared["size_mb"] == row["limit_mb"]):
        return ""
    source = row["limit_source"] or "setting"
    return f"Limit {in_mib(row['limit_mb'])} per worker ({source})."


def _together(state: Mapping[str, Any]) -> str:
    shared = state["shared"]
    if shared is None or not shared["size_mb"] or sum(row["live"] for row in state["workers"]) < 2:
        return ""
    who = "The container uses" if shared["contained"] else "Together they use"
    return f"{who} {of_limit(shared['used_mb'], shared['size_mb'])}, {_percent(shared['percent'])}."


def _table(rows: Sequence[Mapping[str, Any]], hot: int | None) -> str:
    return table(_HEAD, [_cells(row, urgent=row["pid"] == hot) for row in rows], label="Workers")


def _cells(row: Mapping[str, Any], *, urgent: bool) -> tuple[str, ...]:
    age = row["age_seconds"]
    if not row["live"]:
        used = f"last seen with {mib(row['rss_mb'])} of resident memory"
        ended = f'<span class="age">ended {text(duration(age))} ago</span>'
        return f"{row['pid']}{small(ended)}", text(used), DASH, DASH, DASH, spark(row["recent"])
    head = small(text(f"up {duration(row['up_seconds'])}"))
    if age is not None:
        head = small(f'<span class="age">last seen {text(duration(age))} ago</span>')
    used = mib(row["used_mb"])
    if row["used_percent"] is not None:
        used += f", {_percent(row['used_percent'])}"
    reached = text(row["limit"]["short"])
    return (
        f"{row['pid']}{head}",
        f"<div>{meter(row['used_percent'], hot=urgent)}{small(text(used))}</div>",
        text(row["growth"]),
        f'<span class="hot">{reached}</span>' if urgent and row["limit"]["counts"] else reached,
        whole(row["requests"]),
        spark(row["recent"], kind="out" if urgent else "w1"),
    )


def _percent(used: float) -> str:
    return f"{used:.1f} %" if used < 1 else f"{used:.0f} %"
