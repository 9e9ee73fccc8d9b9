"""The page, made from the state and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memprof_middleware.text.words import clock_seconds, count, duration, several, size
from memprof_middleware.web.html import tables
from memprof_middleware.web.html.charts import lines, stacked
from memprof_middleware.web.html.shell import page

_COLOURS = {
    "leak_confirmed": "bad",
    "near_limit": "bad",
    "leak_suspected": "warn",
    "learning": "calm",
    "no_leak": "ok",
}


def render(state: Mapping[str, Any], refresh: float | None = None) -> str:
    """The whole page.

    Args:
        state: as :func:`~memprof_middleware.web.state.build.build_state` makes it.
        refresh: seconds between two looks of an open page; ``None``: it does not look again.
    """
    live = [row for row in state["workers"] if row["live"]]
    links = [("#workers", "Workers"), ("#leaks", "Leaks"), ("#where", "Where memory is"), ("#objects", "Objects")]
    if "flame" in state["actions"]:
        links.append(("flame", "Flame graph"))
    if state["bundles"]:
        links.append(("#bundles", "Evidence"))
    verdict = state["verdict"]
    title = f"memprof: {verdict['label'].lower()}{', ' if verdict['leak'] else ''}{verdict['leak'] or ''}"
    host = f"{state['host']} \u00b7 {several(len(live), 'worker')}"
    return page(title, content(state), host=host, links=links, refresh=refresh)


def content(state: Mapping[str, Any]) -> str:
    """What stands between header and end, for a page or a report."""
    parts = [
        _verdict(state),
        tables.workers(state),
        _timeline(state),
        tables.leaks(state),
        f'<div class="two">{_ledger(state)}{tables.types(state)}</div>',
        f'<div class="three">{tables.bundles(state)}{tables.collector(state)}{tables.cost(state)}</div>',
        _foot(state),
    ]
    return "".join(parts)


def _verdict(state: Mapping[str, Any]) -> str:
    verdict = state["verdict"]
    colour = _COLOURS[verdict["state"]]
    name = f"<code>{escape(verdict['name'])}</code> " if verdict["name"] else ""
    sentence = "".join(_worded(part) for part in verdict["sentence"])
    facts = "".join(_fact(fact) for fact in verdict["facts"])
    listed = f'<dl class="facts">{facts}</dl>' if facts else ""
    return (
        f'<section id="verdict" class="verdict {colour}" role="status">'
        f'<h1><span class="badge {colour}">{escape(verdict["label"])}</span> {name}{escape(verdict["headline"])}</h1>'
        f'<p class="lead">{sentence}</p>'
        f"{listed}{_buttons(state)}</section>"
    )


def _fact(fact: Mapping[str, Any]) -> str:
    value = _worded({"text": fact["value"], "as": "code" if fact["code"] else ""})
    note = f"<small>{escape(fact['note'])}</small>" if fact["note"] else ""
    return f"<div><dt>{escape(fact['name'])}</dt><dd>{value}{note}</dd></div>"


def _worded(part: Mapping[str, str]) -> str:
    text, kind = escape(part["text"]), part["as"]
    return f"<{kind}>{text}</{kind}>" if kind else text


def _buttons(state: Mapping[str, Any]) -> str:
    """What can be done from here; only what this server can do."""
    found = []
    if state["bundles"]:
        identity = escape(state["bundles"][0]["id"])
        found.append(f'<a class="btn primary" href="bundle/{identity}">Read the evidence</a>')
    if "flame" in state["actions"] and state["focus"]:
        pid = int(state["focus"]["pid"])
        found.append(
            f'<form method="post" action="flame?seconds=30&amp;pid={pid}"><button class="btn" type="submit">'
            f"Flame graph of the next 30 s <small>worker {pid}, slower meanwhile</small></button></form>"
        )
    if "save" in state["actions"]:
        found.append('<a class="btn" href="save" download>Save as file</a>')
    return f'<div class="do">{"".join(found)}</div>' if found else ""


def _timeline(state: Mapping[str, Any]) -> str:
    past = state["timeline"]
    span = past["end"] - past["start"]
    picture = lines(
        "c-rss",
        f"Memory by worker (RSS), last {duration(span)}",
        past["series"],
        size,
        start=past["start"],
        end=past["end"],
        limit=past["limit_mb"],
        band=past["band"],
        marks=past["marks"],
        height=210,
    )
    return f'<section id="timeline"><h2>Memory over time</h2>{picture}</section>'


def _ledger(state: Mapping[str, Any]) -> str:
    ledger = state["ledger"]
    if ledger is None:
        words = "<p>Not known yet, or this platform does not tell.</p>"
        return f'<section id="where"><h2>Where the memory is</h2>{words}</section>'
    title = f"Where the memory of worker {state['focus']['pid']} is"
    picture = stacked("c-ledger", title, ledger["names"], ledger["points"], size, marks=ledger["marks"])
    answer = escape(ledger["answer"])
    return f'<section id="where"><h2>Where the memory is <small>{answer}</small></h2>{picture}</section>'


def _foot(state: Mapping[str, Any]) -> str:
    live = sum(row["live"] for row in state["workers"])
    for_all = "" if live < 2 else f" answered for all {count(live)}"
    who = f", worker {state['answering']}{for_all}" if state["answering"] else ""
    data = "" if state.get("saved") else ' <a href="api/state.json">The same as data</a>'
    return (
        f'<p class="foot" id="foot">Read <time id="read">{clock_seconds(state["now"])}</time> UTC{who}. '
        f"memprof {escape(state['version'])}. Times are UTC; MiB are 2<sup>20</sup> bytes. "
        f"Values of objects are never shown.{data}</p>"
    )
