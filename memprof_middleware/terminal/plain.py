"""A view as plain text: for a pipe, a log, a mail, a script, and where nothing but the core is installed. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from memprof_middleware.terminal.view import Card, Step, View
from memprof_middleware.text.words import DASH

WORKERS = ("PID", "IN USE", "OF LIMIT", "GROWTH", "LAST 6 H", "LIMIT REACHED", "REQUESTS", "UP", "")
TYPES = ("TYPE", "LAST 6 H", "NOW", "LAST HOUR")
WIDTH = 100
_LABEL = 10


def plain(view: View, address: str, *, whole: bool = False) -> str:
    """The view, lines ended by newlines.

    Args:
        view: what is shown.
        address: of the page.
        whole: all that the page says, its folds and every incident in full; else what is read first.
    """
    lines = [
        f"memprof  {address}",
        " · ".join(filter(None, (view.head, view.read))),
        "",
        *_wrapped(f"{view.label.upper()}  {view.sentence}"),
    ]
    for number, card in enumerate(view.cards):
        lines += ["", *(_card(card, whole=whole) if whole or not number else _brief(card))]
    if view.overview:
        pairs = [f"{name}: {value}{note and f' ({note})'}" for name, value, note in view.overview]
        lines += ["", *pairs]
    if view.todo:
        lines += ["", *_steps(view.todo)]
    if view.steps:
        marks = {"done": "[x]", "now": "[>]"}
        lines += ["", *(f"{marks.get(state, '[ ]')} {words}" for state, words in view.steps)]
    if view.workers:
        lines += ["", *_workers(view)]
    if view.types:
        lines += ["", *_wrapped(view.age), *_table(TYPES, "<<>>", view.types)]
    if whole and view.answers:
        lines += ["", *(line for name, answer in view.answers for line in _told(name, answer, 21))]
    elif view.foot:
        lines += ["", f"Cost of memprof: {view.foot}"]
    return "\n".join(lines) + "\n"


def _card(card: Card, *, whole: bool) -> Iterator[str]:
    if card.state == "resolved":
        yield from _brief(card)
        return
    yield from _wrapped("  ".join(filter(None, (card.urgent, card.tag, card.when))))
    yield from _wrapped(card.title)
    for name, value, note in card.facts:
        yield from _told(name, f"{value}{note and f' ({note})'}", 22)
    yield from _steps(card.steps)
    if whole:
        if card.also:
            yield from _wrapped(card.also)
        for sentence in card.why:
            yield from _told("Why", sentence, _LABEL)


def _brief(card: Card) -> list[str]:
    """What it is and how urgent, in two lines."""
    when = f"limit {card.limit}" if card.limit and card.state != "resolved" else ""
    told = "  ".join(filter(None, (card.urgent, card.tag, card.when, when)))
    return [*_wrapped(told), *_wrapped(card.title)]


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield from _told(step.label, step.text, _LABEL)
        yield from (f"{'':{_LABEL}}    {line}".rstrip() for line in step.code)


def _told(label: str, words: str, indent: int) -> list[str]:
    """A sentence behind its label; what is longer than a line goes on below itself."""
    if len(label) >= indent:
        return [label, *_wrapped(words, " " * indent)]
    lines = textwrap.wrap(words, WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label if not number else '':{indent}}{line}" for number, line in enumerate(lines)]


def _wrapped(words: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _workers(view: View) -> list[str]:
    rows = [
        (
            one.pid,
            one.used,
            DASH if one.used_percent is None else f"{one.used_percent:.0f} %",
            one.growth,
            one.recent,
            one.limit,
            one.requests,
            one.up,
            one.remark,
        )
        for one in view.workers
    ]
    return [*_wrapped(view.fleet), *_table(WORKERS, ">>>><>>><", rows)]


def _table(head: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
