"""Sentences, tables and folds of the state as markup; all texts are passed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

# A figure and its unit stay in one line.
_UNIT = re.compile(r"(\d) (MiB|KiB|GiB|B|ms|s|min|h|d|%)(?![\w])")


def worded(sentence: Iterable[Mapping[str, Any]]) -> str:
    """A sentence, its names in code type; figures keep their unit beside them."""
    return "".join(
        f"<code>{named(part['text'])}</code>" if part["as"] == "code" else text(part["text"]) for part in sentence
    )


def text(words: str) -> str:
    """Words as markup."""
    return _UNIT.sub("\\1&nbsp;\\2", escape(words))


def named(name: str) -> str:
    """A name as markup, with line breaks allowed behind its dots."""
    return escape(name).replace(".", ".<wbr>").replace("/", "/<wbr>")


def section(identity: str, body: str, kind: str = "card", title: str = "", sub: str = "") -> str:
    """A section of the page, which is updated as a whole.

    Args:
        identity: unique in the page.
        body: as markup.
        kind: its classes.
        title: its heading, as text; empty: it has one of its own, or needs none.
        sub: the answer below the heading, as markup.
    """
    head = f'<h2 class="sec">{escape(title)}</h2>' if title else ""
    inner = f'<p class="sub">{sub}</p>' if sub else ""
    return f'<section class="{kind}" id="{identity}">{head}{inner}{body}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, label: str = "") -> str:
    """A table that becomes a list of cards on a phone: every cell carries its label.

    Args:
        head: of each column; with ``#`` in front figures, with ``~`` what a phone leaves out; a phone shows what
            stands before a comma.
        rows: the cells as markup; the first is the row's own head.
        label: the description for screen readers.
    """
    names = [name.lstrip("#~") for name in head]
    kinds = [_kind(name) for name in head]
    action = '<span class="vh">Action</span>'
    top = "".join(
        f'<th scope="col"{kind}>{escape(name) or action}</th>' for name, kind in zip(names, kinds, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{cells[0]}</th>'
        + "".join(
            f'<td data-l="{escape(name.partition(",")[0])}"{kind}>{cell}</td>'
            for name, kind, cell in zip(names[1:], kinds[1:], cells[1:], strict=True)
        )
        + "</tr>"
        for cells in rows
    )
    inner = f'<caption class="vh">{escape(label)}</caption>' if label else ""
    return f'<table class="tab">{inner}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _kind(name: str) -> str:
    return ' class="num"' if name.startswith("#") else ' class="wide"' if name.startswith("~") else ""


def pairs(items: Iterable[Mapping[str, str]]) -> str:
    """Figures with names and notes."""
    listed = "".join(
        f"<div><dt>{escape(item['name'])}</dt><dd>{text(item['value'])}{small(text(item['note']))}</dd></div>"
        for item in items
    )
    return f'<dl class="pairs">{listed}</dl>'


def small(markup: str) -> str:
    """A small note; empty for an empty one."""
    return f"<small>{markup}</small>" if markup else ""


def fold(title: str, answer: str, body: str, identity: str = "") -> str:
    """A closed section that can be opened, with its answer in the summary.

    Args:
        title: a noun.
        answer: as markup.
        body: as markup.
        identity: for a link to it.
    """
    named_ = f' id="{identity}"' if identity else ""
    return f"<details{named_}><summary><b>{escape(title)}</b> <span>{answer}</span></summary>{body}</details>"


def steps(todo: Iterable[Mapping[str, Any]]) -> str:
    """The steps, each with its commands."""
    items = "".join(
        f'<li><span class="step">{escape(one["step"])}</span><div><p>{worded(one["text"])}</p>{_code(one["code"])}'
        "</div></li>"
        for one in todo
    )
    return f"<ol>{items}</ol>"


def _code(lines: Sequence[str]) -> str:
    """Lines of code; lines to add or remove begin with their sign."""
    if not lines:
        return ""
    marked = "\n".join(
        f"<ins>{escape(line)}</ins>"
        if line.startswith("+ ")
        else f"<del>{escape(line)}</del>"
        if line.startswith("- ")
        else escape(line)
        for line in lines
    )
    return f'<pre tabindex="0">{marked}</pre>'
