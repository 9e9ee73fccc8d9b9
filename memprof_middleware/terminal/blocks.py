"""A view as the blocks of a screen: what each one says, and what comes first where there is little room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from memprof_middleware.terminal.drawing import Block
from memprof_middleware.terminal.plain import TYPES, WORKERS
from memprof_middleware.terminal.view import Card, Step, View
from memprof_middleware.text.words import DASH

_STATES = {"confirmed": "bold red", "suspected": "yellow", "resolved": "green"}
_TONES = {"now": "bold white on red", "today": "bold black on yellow", "plan": "bold white on blue"}
_CALM = {"ok": "bold black on green"}
_LIMITS = {"now": "bold red", "today": "bold yellow"}
_FULL, _FULLER = 85.0, 70.0
# A flame graph is recorded for so long.
RECORD_SECONDS = 30
_HELP = (
    ("q", "quit"),
    ("s", "sort the workers: first to reach its limit, most memory in use, fastest growth"),
    ("f", f"twice: record a flame graph of {RECORD_SECONDS} s in the worker that the status is about"),
    ("?", "this help; any key closes it"),
)
_MEANINGS = (
    ("IN USE", "memory that counts against the limit, and its share of the limit"),
    ("GROWTH", "of memory in use, over the last two hours"),
    ("LIMIT REACHED", "time of day (UTC), or how long, or why there is no figure"),
    ("LAST HOUR", "change of the number of live objects"),
)


class Layout(NamedTuple):
    """The layout from a width on: the workers' columns, and the widths of meter and sparkline."""

    least: int
    columns: tuple[str, ...]
    meter: int
    spark: int


_ALL = WORKERS[:-1]  # a remark stands where the limit would
# So many workers are all looked at; of more, those that differ.
_FEW = 4
_LAYOUTS = (
    Layout(116, _ALL, 10, 20),
    Layout(96, tuple(name for name in _ALL if name != "UP"), 8, 14),
    Layout(0, tuple(name for name in _ALL if name not in {"UP", "REQUESTS"}), 6, 10),
)


def layout_for(width: int) -> Layout:
    """The layout for a terminal of that many columns."""
    return next(layout for layout in _LAYOUTS if width >= layout.least)


def blocks_of(found: View, address: str, layout: Layout, order: str, message: str, width: int) -> list[Block]:
    """All blocks, from the top.

    Args:
        found: what is known.
        address: of the server.
        layout: of the workers.
        order: by what the key would sort them next.
        message: for the last line; empty: none.
        width: columns of the terminal.
    """
    blocks = [Block(1, _head(found, address, width))]
    many = len(found.workers) > _FEW
    if found.cards:
        blocks += _first(found.cards[0], many=many)
    blocks += [Block(6, _brief(card), "incident") for card in found.cards[1:]]
    blocks += [Block(2, _calm(found))] if found.overview or found.todo or found.steps else []
    if found.workers:
        blocks.append(Block(5 if many else 4, Group(Text(), _workers(found, layout)), "worker", least=3))
    if found.types:
        blocks.append(Block(7, Group(Text(), _types(found)), "type", least=4))
    return [*blocks, Block(0, _keys(found, order, message, width))]


def help_blocks() -> list[Block]:
    """The help, alone."""
    rows = [(key, Text(words)) for key, words in (*_HELP, *_MEANINGS)]
    return [Block(0, Group(Text("memprof top: keys and columns", "bold"), Text(), _grid(rows)))]


def _head(found: View, address: str, width: int) -> RenderableType:
    style = _TONES.get(found.urgency) or _CALM.get(found.key, "bold reverse")
    title = f"memprof top  {address}"
    for more in (found.read, found.head):  # as much of it as there is room for
        title += f"  {more}" if len(title) + len(more) + 2 <= width else ""
    return Group(
        Text(title, "bright_black"),
        Text.assemble((f" {found.label.upper()} ", style), " ", (found.sentence, "bold")),
        *([Text(found.age, "yellow")] if found.age else []),
    )


def _first(card: Card, *, many: bool) -> list[Block]:
    """The first incident, as it is read; a low screen cuts the example of the fix first, then the fix.

    Of many workers most are alike: rather than them the fix is shown.
    """
    style = _STATES.get(card.state, "")
    title = Text.assemble((card.tag, style), "  ", (card.when, "bright_black"))
    blocks = [Block(2, Group(Text(), title, Text(card.title, "bold")))]
    if card.state == "resolved":
        return blocks
    facts = [_fact(name, value, note, card.urgency) for name, value, note in card.facts]
    blocks.append(Block(2, _grid(facts)))
    for number, step in enumerate(card.steps):
        blocks.append(Block(3 if not number else 4 if many else 5, _grid([_doing(step)]), "line"))
        if number and step.code:
            blocks.append(Block(8, _grid([("", Text("\n".join(step.code), "green"))]), least=len(step.code)))
    return blocks


def _fact(name: str, value: str, note: str, urgency: str) -> tuple[str, Text]:
    style = _LIMITS.get(urgency, "bold") if name == "Memory limit reached" else "cyan"
    label = "Limit" if name == "Memory limit reached" else name
    return label, Text.assemble((value, style), f"  {note}" if note else "")


def _doing(step: Step) -> tuple[str, Text]:
    message = Text(step.text)
    if len(step.code) == 1:
        message.append(f"\n{step.code[0]}", "green")  # a line of its own: a command that is broken cannot be copied
    return step.label, message


def _brief(card: Card) -> RenderableType:
    tag = Text.assemble(
        (" ".join(filter(None, (card.urgent, card.tag))), _STATES.get(card.state, "")), "  ", (card.title, "bold")
    )
    if card.state != "resolved" and card.limit:
        tag.append(f"  limit {card.limit}")
    return tag


def _calm(found: View) -> RenderableType:
    rows = [(name, Text.assemble((value, "bold"), f"  {note}" if note else "")) for name, value, note in found.overview]
    rows += [_doing(step) for step in found.todo]
    marks = {"done": "done", "now": "now"}
    rows += [(marks.get(state, ""), Text(words)) for state, words in found.steps]
    return Group(Text(), _grid(rows))


def _grid(rows: Sequence[tuple[str, Text]]) -> Table:
    """Labels and what belongs to them, which goes on below itself."""
    table = Table.grid(padding=(0, 1, 0, 0))
    wide = max(8, *(len(label) for label, _ in rows)) if rows else 8
    table.add_column(width=min(wide, 20), overflow="fold")
    table.add_column(overflow="fold")
    for label, words in rows:
        table.add_row(Text(label, "bright_black"), words)
    return table


def _keys(found: View, order: str, message: str, width: int) -> RenderableType:
    keys = f"q quit  s sort by {order}"
    keys += f"  f flame graph {RECORD_SECONDS} s" if found.can_record else ""
    keys += "  ? help"
    foot = f"   memprof: {found.foot}" if found.foot else ""
    line = Text(keys + foot * (len(keys) + len(foot) <= width), "bright_black")
    return Group(Text(message, "yellow"), line) if message else line


def _workers(found: View, layout: Layout) -> Table:
    rows = []
    for one in found.workers:
        cells: dict[str, str | Text] = {
            "PID": one.pid,
            "IN USE": one.used,
            "OF LIMIT": _meter(one.used_percent, layout.meter),
            "GROWTH": one.growth,
            "LAST 6 H": one.recent,
            "LIMIT REACHED": one.remark or one.limit,
            "REQUESTS": one.requests,
            "UP": one.up,
        }
        rows.append((one.remark != "", [cells[name] for name in layout.columns]))
    left = {"OF LIMIT", "LAST 6 H"}
    sides = "".join("<" if name in left else ">" for name in layout.columns)
    table = _empty(layout.columns, sides, range(len(sides)), [cells for _, cells in rows])
    for silent, row in rows:
        # Text, not a plain string: a name with brackets is no markup.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row), style="dim" if silent else "")
    return table


def _types(found: View) -> Table:
    table = _empty(TYPES, "<<>>", (1, 2, 3), found.types)
    for row in found.types:
        table.add_row(*map(Text, row))
    return table


def _empty(head: Sequence[str], sides: str, firm: Sequence[int], rows: Sequence[Sequence[str | Text]]) -> Table:
    """A table whose firm columns keep their width; in the others long names go on in the next line, never cut short."""
    table = Table(expand=True, box=None, header_style="bright_black", pad_edge=False)
    for number, (name, side) in enumerate(zip(head, sides, strict=True)):
        least = max(len(name), *(len(row[number]) for row in rows), 0) if number in firm else 1
        justify: JustifyMethod = "right" if side == ">" else "left"
        table.add_column(name, justify=justify, no_wrap=number in firm, overflow="fold", min_width=least)
    return table


def _meter(used_percent: float | None, width: int) -> Text:
    if used_percent is None:
        return Text(DASH)
    style = "red" if used_percent >= _FULL else "yellow" if used_percent >= _FULLER else "green"
    full = max(0, min(width, round(used_percent * width / 100)))
    return Text.assemble(
        ("█" * full, style), ("░" * (width - full), "bright_black"), (f" {used_percent:3.0f} %", style)
    )
