"""A view as plain text: for a pipe, a log, a script, and where nothing but the core is installed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from memprof_middleware.terminal.view import View
from memprof_middleware.text.words import DASH

WORKERS = ("PID", "MEMORY", "OF LIMIT", "GROWTH", "LAST 2 H", "FULL IN", "OBJECTS", "REQUESTS", "UP", "")
LEAKS = ("STATE", "WHAT GROWS", "GROWTH", "HELD BY", "ROUTE")
TYPES = ("TYPE", "LAST 6 H", "NOW", "LAST HOUR")


def plain(view: View, address: str) -> str:
    """The whole view, lines ended by newlines."""
    lines = [f"memprof top  {address}", f"{view.label}  {view.headline}".rstrip()]
    if view.sentence:
        lines.append(view.sentence)
    wide = max((len(name) for name, _, _ in view.facts), default=0)
    lines += [f"  {name:{wide}}  {value}{f'  ({note})' if note else ''}" for name, value, note in view.facts]
    workers = [
        (
            one.pid,
            one.memory,
            DASH if one.used_percent is None else f"{one.used_percent:.0f} %",
            one.growth,
            one.recent,
            one.full_in,
            one.objects,
            one.requests,
            one.up,
            one.remark,
        )
        for one in view.workers
    ]
    lines += ["", *_table(WORKERS, ">>>><>>>><", workers)]
    if view.leaks:
        lines += ["", *_table(LEAKS, "<<><<", [row.cells for row in view.leaks])]
    if view.types:
        lines += ["", *_table(TYPES, "<<>>", [row.cells for row in view.types])]
    lines += ["", view.foot]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
