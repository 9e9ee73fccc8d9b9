"""A leak of an evidence file as a card: the headline, the facts and the advice of the page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memprof_middleware.evidence.card import grew, reached, tag
from memprof_middleware.model import Leak
from memprof_middleware.text.advice import advice_for
from memprof_middleware.text.headline import headline
from memprof_middleware.text.moments import utc
from memprof_middleware.text.words import number_of
from memprof_middleware.web.html.anything import anything, items_of
from memprof_middleware.web.html.cards import TONES
from memprof_middleware.web.html.charts import spark
from memprof_middleware.web.html.marks import steps, text, worded
from memprof_middleware.web.state.facts import facts
from memprof_middleware.web.state.feeds import feeds
from memprof_middleware.web.state.todo import fix_step
from memprof_middleware.web.state.words import listed, marked, parts


def card(data: Mapping[str, Any]) -> str:
    """The card of a leak; a leak in an unknown form is a table.

    Args:
        data: the leak, as in the file.
    """
    try:
        leak = Leak.from_dict(data)
    except ValueError:
        return f'<section class="card paper"><h2>A leak</h2>{anything("leak", dict(data), 0)}</section>'
    limit = {"words": reached(leak), "note": grew(leak)}
    items = "".join(
        f"<div><dt>{escape(fact['name'])}</dt><dd><b>{worded(fact['value'])}</b>{worded(fact['note'])}</dd></div>"
        for fact in facts(leak, limit, feeds(leak, ()))
    )
    todo = steps((fix_step(leak, advice_for(leak)),))
    also = f'<p class="also">Grows with it: {worded(marked(listed(_codes(leak))))}.</p>' if leak.also else ""
    return (
        f'<section class="card incident"><p class="tags"><span class="tag {TONES[leak.urgency]}">{text(tag(leak))}'
        f"</span><span>since {text(utc(leak.since))}</span>{_shape(data)}</p><h2>{worded(parts(headline(leak)))}</h2>"
        f'<dl class="facts">{items}</dl><div class="body one"><div class="todo"><h3>What to do</h3>{todo}</div></div>'
        f"{_why(leak)}{also}</section>"
    )


def _why(leak: Leak) -> str:
    if not leak.evidence:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in leak.evidence)
    return f'<details class="why" open><summary>Why this verdict</summary><ul>{items}</ul></details>'


def _codes(leak: Leak) -> list[str]:
    return [f"`{name.replace('`', chr(39)).removeprefix('builtins.')}`" for name in leak.also]


def _shape(data: Mapping[str, Any]) -> str:
    numbers = [number_of(value) for value in items_of(data.get("series"))]
    return spark(list(enumerate(numbers)), 160, 24, "out") if len(numbers) > 1 else ""
