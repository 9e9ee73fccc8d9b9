"""The folded sections: each has its answer on the fold and a table inside."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memprof_middleware.model import MB
from memprof_middleware.text.words import DASH, clock, count, mib, several, signed, size
from memprof_middleware.web.html.cards import post
from memprof_middleware.web.html.charts import spark
from memprof_middleware.web.html.marks import fold, named, pairs, small, table, text, worded
from memprof_middleware.web.state.inside import milliseconds
from memprof_middleware.web.state.words import whole

# Of many types the first ones matter; the others are behind a click.
_MOST_TYPES = 12


def folds(state: Mapping[str, Any]) -> str:
    """The last section of the page."""
    found = (
        _alerts(state),
        _watching(state),
        _ignored(state),
        _memory(state),
        _types(state),
        _collector(state),
        _evidence(state),
        _cost(state),
    )
    return f'<section class="card more" id="details">{"".join(found)}</section>'


def _alerts(state: Mapping[str, Any]) -> str:
    """The conditions that are met in the worker that answers."""
    if not state["alerts"]:
        return ""
    rows = [
        (f"<code>{escape(alert['name'])}</code>", text(alert["message"]), f"{clock(alert['since'], state['now'])} UTC")
        for alert in state["alerts"]
    ]
    answer = f"{len(rows)} in worker {state['answering']}"
    return fold("Active alerts", text(answer), table(("Alert", "What", "#Since"), rows), "alerts")


def _watching(state: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<code>{named(one['name'])}</code>{small(worded(one['held']))}",
            text(f"{_amount(one, 'first')} to {_amount(one, 'last')}"),
            text(one["reading"]),
        )
        for one in state["watching"]
    ]
    body = table(("What", "Growth", "Reading"), rows) if rows else '<p class="sub">Nothing.</p>'
    return fold(f"Watching {len(rows)}" if rows else "Watching", text(state["watching_answer"]), body, "watching")


def _ignored(state: Mapping[str, Any]) -> str:
    """The ignored names; those of the setting cannot be changed here."""
    rows = [
        (
            f"<code>{named(one['item'])}</code>",
            text(one["growth"]),
            text(_why(one)),
            post("watch", "Watch again", {"item": one["item"]})
            if one["by"] == "page" and "watch" in state["actions"]
            else "",
        )
        for one in state["ignored"]
    ]
    if not rows:
        return ""
    body = table(("What", "Growth", "Why", ""), rows)
    return fold(f"Ignored {len(rows)}", "not judged, not reported; it counts against the limit", body, "ignored")


def _why(one: Mapping[str, Any]) -> str:
    by = "by the setting ignore" if one["by"] == "setting" else "on this page"
    by += ", until the server restarts" * (one["until"] == "restart")
    return f"{one['why']} ({by})" if one["why"] else by


def _amount(one: Mapping[str, Any], which: str) -> str:
    return size(one[which] / MB) if one["unit"] == "bytes" else whole(one[which])


def _memory(state: Mapping[str, Any]) -> str:
    memory = state["memory"]
    if memory is None:
        words = "No breakdown yet: available after the second snapshot (Linux only)."
        return fold("Where the memory is", "no breakdown yet", f'<p class="sub">{words}</p>', "where")
    since = f"Since {clock(memory['since'], state['now'])} UTC"
    rows = [
        (escape(row["name"]), text(mib(row["mb"])), text(signed(mib(row["change_mb"]))), spark(row["points"]))
        for row in memory["rows"]
    ]
    whose = _whose(state)
    body = table(("Owner", "#Now", f"#{since}", "~Last 6 h"), rows)
    return fold("Where the memory is", text(f"{whose}{memory['answer']}"), body, "where")


def _whose(state: Mapping[str, Any]) -> str:
    live = sum(row["live"] for row in state["workers"])
    return f"of worker {state['focus']['pid']}: " if live > 1 and state["focus"] else ""


def _types(state: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<code>{named(row['name'])}</code>",
            whole(row["count"]),
            signed(whole(row["change_hour"])),
            spark(row["points"], kind="out" if row["state"] == "confirmed" else "w1"),
        )
        for row in state["types"]
    ]
    head = ("Type", "#Now", "#Last hour", "~Last 6 h")
    body = table(head, rows[:_MOST_TYPES]) if rows else '<p class="sub">Not counted yet.</p>'
    others = rows[_MOST_TYPES:]
    if others:
        body += f"<details><summary>{several(len(others), 'more type')}</summary>{table(head, others)}</details>"
    age = state["counts_age"]
    if age is not None:
        why = f" {text(age['why'][:1].upper() + age['why'][1:])}." if age["why"] else ""
        body = f'<p class="sub"><span class="age">{text(age["words"])}</span>{why}</p>{body}'
    return fold("Objects by type", worded(state["types_answer"]), body, "objects")


def _collector(state: Mapping[str, Any]) -> str:
    gc = state["gc"]
    if gc is None:
        return fold("Garbage collector", "too early to say", '<p class="sub">No snapshot yet.</p>', "gc")
    hourly = DASH if gc["full_per_hour"] is None else f"{count(gc['full_per_hour'])} an hour"
    figures = [
        _pair("Full collections", hourly, f"{gc['collections'][-1]:,} since the start"),
        _pair("Longest pause", milliseconds(gc["longest_pause_seconds"]), "in the last interval"),
        _pair("Time in collections", f"{gc['pause_percent']:.2f} %", "of the time since the start"),
        _pair("Frozen objects", whole(gc["frozen_objects"]), "by gc.freeze()"),
    ]
    return fold("Garbage collector", text(gc["answer"]), pairs(figures), "gc")


def _evidence(state: Mapping[str, Any]) -> str:
    rows = [
        (
            f'<a href="bundle/{escape(one["id"])}">{escape(one["why"])}</a>',
            str(int(one["pid"])),
            f"{clock(one['time'], state['now'])} UTC",
            f'<a href="bundle/{escape(one["id"])}.json">JSON, {text(size(one["bytes"] / MB))}</a>',
        )
        for one in state["bundles"]
    ]
    body = table(("Why", "#Worker", "#Written", "File"), rows) if rows else '<p class="sub">None yet.</p>'
    return fold("Evidence files", text(state["bundles_answer"]), body, "evidence")


def _cost(state: Mapping[str, Any]) -> str:
    cost = state["cost"]
    page = "" if cost["page_ms"] is None else f"{cost['page_ms']:.0f} ms the last time"
    share = DASH if cost["page_cpu_percent"] is None else f"{cost['page_cpu_percent']:.2f} %"
    allowed = f"{1000 * cost['pause_allowed_seconds']:g} ms allowed"
    figures = [
        _pair(
            "Processor",
            f"{cost['cpu_percent']:.2f} %",
            f"of one core since the start; {cost['cpu_budget_percent']:g} % allowed in the long run",
        ),
        _pair("Longest pause of a count", milliseconds(cost["count_pause_seconds"]), allowed),
        _pair("Object count", milliseconds(cost["count_cpu_seconds"]), "of processor time, the last one"),
        _pair("Snapshot", milliseconds(cost["snapshot_seconds"]), "the last one"),
        _pair("History", size(cost["history_mb"]), "of memory"),
        _pair("This page", share, page),
        _pair("Internal errors", whole(cost["failures"]) if cost["failures"] else "none", ""),
    ]
    return fold("Cost of memprof", text(cost["answer"]), pairs(figures), "cost")


def _pair(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}
