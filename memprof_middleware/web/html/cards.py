"""The status, and a card for each incident: the first open, the others closed. All sentences are the state's."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memprof_middleware.web.html.charts import growth
from memprof_middleware.web.html.marks import pairs, section, steps, text, worded

# The style of each urgency.
TONES = {"now": "now", "today": "soon", "plan": "plan", "none": "calm"}
_STATUS = {"plan": "plan", "ok": "ok"}
# A flame graph of Python does not show memory that C code requested.
_NO_FLAMES = frozenset({"native", "mapped", "fragmentation"})


def status(state: Mapping[str, Any]) -> str:
    """The status: the action that the reader must take, in one sentence."""
    found = state["status"]
    tone = TONES[found["urgency"]] if found["urgency"] in {"now", "today"} else _STATUS.get(found["key"], "calm")
    return (
        f'<section class="status {tone}" id="status" role="status"><h1>{escape(found["label"])}</h1>'
        f"<p>{worded(found['sentence'])}</p></section>"
    )


def incidents(state: Mapping[str, Any]) -> str:
    """All cards, the most urgent first."""
    open_ = [one for one in state["incidents"] if one["state"] != "resolved"]
    over = [one for one in state["incidents"] if one["state"] == "resolved"]
    cards = [_open(state, one, 1) for one in open_[:1]]
    cards += [_closed(state, one, number) for number, one in enumerate(open_[1:], start=2)]
    cards += [_over(one, number) for number, one in enumerate(over, start=1)]
    return "".join(cards)


def calm(state: Mapping[str, Any]) -> str:
    """The content without incidents: figures, steps, and progress to the first verdict."""
    parts = []
    if state["overview"]:
        parts.append(section("overview", pairs(state["overview"])))
    if state["todo"]:
        parts.append(section("todo", f'<div class="todo">{steps(state["todo"])}</div>', title="What to do"))
    if state["steps"]:
        parts.append(section("steps", _steps(state["steps"]), title="Until the first verdict"))
    return "".join(parts)


def _steps(listed: list[Mapping[str, str]]) -> str:
    marks = {"done": "\u2713", "now": "\u2192", "todo": ""}
    kinds = {"done": ' class="done"', "now": "", "todo": ' class="todo1"'}
    items = "".join(
        f"<li{kinds[one['state']]}><span>{marks[one['state']]}</span>"
        f"<span>{'<b>' * (one['state'] == 'now')}{text(one['text'])}{'</b>' * (one['state'] == 'now')}</span></li>"
        for one in listed
    )
    return f'<ol class="steps">{items}</ol>'


def _open(state: Mapping[str, Any], one: Mapping[str, Any], number: int) -> str:
    return (
        f'<section class="card incident" id="incident-{number}"><p class="tags">{_tags(one, alone=True)}</p>'
        f"<h2>{worded(one['headline'])}</h2>{_inner(state, one, number)}</section>"
    )


def _closed(state: Mapping[str, Any], one: Mapping[str, Any], number: int) -> str:
    return (
        f'<section id="incident-{number}"><details class="card closed incident"><summary>'
        f'<span class="tags">{_tags(one, alone=False)}</span><h2>{worded(one["headline"])}</h2>'
        f'<span class="lim">Memory limit reached: <b>{text(one["limit"]["words"])}</b></span></summary>'
        f"{_inner(state, one, number)}</details></section>"
    )


def _over(one: Mapping[str, Any], number: int) -> str:
    words = f"<b>Resolved {text(one['when'])}:</b> <span>{worded(one['resolved'])}</span>"
    return f'<section id="resolved-{number}"><p class="status ok over">{words}</p></section>'


def _inner(state: Mapping[str, Any], one: Mapping[str, Any], number: int) -> str:
    chart = growth(f"c-{number}", one, state["now"])
    todo = f'<div class="todo"><h3>What to do</h3>{steps((one["advice"]["now"], one["advice"]["fix"]))}</div>'
    body = f'<div class="body{"" if chart else " one"}">{chart}{todo}</div>'
    return f"{_facts(one)}{body}{_buttons(state, one)}{_why(one)}{_also(one)}"


def _tags(one: Mapping[str, Any], *, alone: bool) -> str:
    tone = TONES[one["urgency"]]
    urgent = "" if alone or not one["urgency_words"] else _tag(tone, one["urgency_words"])
    found = f"{urgent}{_tag(tone, one['tag'])}<span>{text(one['when'])}</span>"
    if one["acknowledged"] is not None:
        found += _tag("calm", one["acknowledged"]["words"])
    if one["counts_age"] is not None:
        found += f'<span class="age">{text(one["counts_age"]["words"])}</span>'
    return found


def _tag(tone: str, words: str) -> str:
    return f'<span class="tag {tone}">{text(words)}</span>'


def _facts(one: Mapping[str, Any]) -> str:
    tone = {"now": " now", "today": " soon"}.get(one["urgency"], "")
    listed = "".join(
        f"<div{_when(fact, tone)}><dt>{escape(fact['name'])}</dt>"
        f"<dd><b>{worded(fact['value'])}</b>{worded(fact['note'])}</dd></div>"
        for fact in one["facts"]
    )
    return f'<dl class="facts">{listed}</dl>'


def _when(fact: Mapping[str, Any], tone: str) -> str:
    return f' class="when{tone}"' if fact["key"] == "limit" else ""


def _buttons(state: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """The buttons of an incident, as far as this server has the actions."""
    found = []
    if state["bundles"] and one["state"] == "confirmed":
        found.append(f'<a class="btn primary" href="bundle/{escape(state["bundles"][0]["id"])}">Read the evidence</a>')
    if "flame" in state["actions"] and one["pid"] is not None and one["kind"] not in _NO_FLAMES:
        words = "Flame graph of the next 30&nbsp;s <small>this worker is slower meanwhile</small>"
        found.append(post(f"flame?seconds=30&amp;pid={int(one['pid'])}", words))
    decisions = _decisions(state, one)
    gap = '<span class="gap"></span>' if decisions else ""
    return f'<div class="foot2">{"".join(found)}{gap}{decisions}</div>' if found or decisions else ""


def _decisions(state: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """The buttons for decisions, if this server keeps them."""
    found = ""
    if "acknowledge" in state["actions"] and one["state"] == "confirmed":
        known = one["acknowledged"] is not None
        action, field = ("watch", "item") if known else ("acknowledge", "incident")
        words = "Undo acknowledge" if known else "Acknowledge"
        found += post(action, words, {field: one["subject"]}, kind="half")
    if "ignore" in state["actions"] and one["ignorable"]:
        found += f'<a class="btn half" href="ignore?id={escape(one["id"])}">Ignore\u2026</a>'
    return found


def post(action: str, words: str, fields: Mapping[str, str] | None = None, kind: str = "") -> str:
    """A button that changes something: a form, since links are followed by crawlers too.

    Args:
        action: the address, as markup.
        words: the text of the button, as markup.
        fields: the hidden fields.
        kind: classes of the form.
    """
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in (fields or {}).items()
    )
    named = f' class="{kind}"' if kind else ""
    button = f'<button class="btn" type="submit">{words}</button>'
    return f'<form method="post" action="{action}"{named}>{hidden}{button}</form>'


def _why(one: Mapping[str, Any]) -> str:
    if not one["why"]:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in one["why"])
    return f'<details class="why"><summary>Why this verdict</summary><ul>{items}</ul></details>'


def _also(one: Mapping[str, Any]) -> str:
    found = worded(one["grows_with"])
    if one["counts_age"] is not None and one["counts_age"]["why"]:
        found += f" {text(one['counts_age']['words'].capitalize())}: {text(one['counts_age']['why'])}."
    return f'<p class="also">{found}</p>' if found else ""
