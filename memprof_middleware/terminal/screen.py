"""A view as a screen that redraws itself (extra ``[top]``: rich), with a few keys."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from memprof_middleware.errors import TopError
from memprof_middleware.terminal.client import Client
from memprof_middleware.terminal.keys import pressed
from memprof_middleware.terminal.plain import LEAKS, TYPES, WORKERS
from memprof_middleware.terminal.view import SORTS, Row, View, view
from memprof_middleware.web.words import DASH

_STYLES = {"confirmed": "bold red", "suspected": "yellow", "resolved": "green"}
_VERDICTS = {"leak_confirmed": "red", "near_limit": "red", "leak_suspected": "yellow", "no_leak": "green"}
_METER = 18
_FULL, _FULLER = 85.0, 70.0
_RECORD_SECONDS = 30
_LONGEST_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.2


class Screen:
    """The live view of one server.

    Args:
        client: reads the server's state.
        interval: seconds between two looks.
        clock: seconds that only go forward.
    """

    def __init__(self, client: Client, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._interval, self._clock = client, interval, clock
        self._sort = 0
        self._told = ""
        self._sure = False  # the next press of f records
        self._state: dict[str, Any] = {}
        self._wait = interval
        self._next = 0.0

    def run(self, state: dict[str, Any]) -> None:
        """Show until ``q`` is pressed, beginning with a state that was read already."""
        self._state, self._next = state, self._clock() + self._interval
        with pressed() as keys, Live(self.draw(), screen=True, auto_refresh=False) as live:
            going = True
            while going:
                changed = self._look()
                try:
                    key = keys.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    key = ""
                if key:
                    going = self.press(key)
                if key or changed:
                    live.update(self.draw(), refresh=True)

    def press(self, key: str) -> bool:
        """Do what a key is for; whether to go on."""
        sure, self._sure = self._sure, False
        self._told = ""
        found = view(self._state)
        if key == "s":
            self._sort = (self._sort + 1) % len(SORTS)
        elif key == "f" and found.can_record and found.first_pid is not None:
            if sure:
                self._told = self._record(found.first_pid)
            else:
                self._sure = True
                self._told = (
                    f"f again: record worker {found.first_pid} for {_RECORD_SECONDS} s; code that allocates much is "
                    "10 to 40 times slower there meanwhile"
                )
        return key != "q"

    def _record(self, pid: int) -> str:
        try:
            return f"recording: the graph will be at {self._client.record(pid, _RECORD_SECONDS)}"
        except TopError as error:
            return str(error)

    def _look(self) -> bool:
        if self._clock() < self._next:
            return False
        try:
            self._state = self._client.state()
            self._wait = self._interval
            if not self._sure and not self._told.startswith("recording"):
                self._told = ""
        except TopError as error:
            self._wait = min(_LONGEST_WAIT_SECONDS, 2 * self._wait)
            self._told = f"No answer: retrying in {self._wait:.0f} s. {error}"
        self._next = self._clock() + self._wait
        return True

    def draw(self) -> RenderableType:
        """The screen as it is now."""
        found = view(self._state, SORTS[self._sort])
        keys = f"q quit  s sort by {SORTS[(self._sort + 1) % len(SORTS)]}"
        keys += f"  f flame graph {_RECORD_SECONDS} s" if found.can_record else ""
        parts: list[RenderableType] = [_head(found, self._client.address), _workers(found)]
        if found.leaks:
            parts += [Text(), _table(LEAKS, "<<><<", found.leaks)]
        if found.types:
            parts += [Text(), _table(TYPES, "<<>>", found.types)]
        parts.append(Text.assemble("\n", (f"{keys}   {found.foot}", "bright_black")))
        if self._told:
            parts.append(Text(self._told, "yellow"))
        return Group(*parts)


def _head(found: View, address: str) -> Panel:
    style = _VERDICTS.get(found.state, "bright_black")
    lines = [Text.assemble((found.label, f"bold {style}"), " ", (found.headline, "bold"))]
    if found.sentence:
        lines.append(Text(found.sentence))
    for name, value, note in found.facts:
        lines.append(Text.assemble((f"{name:<12}", "bright_black"), (value, "cyan"), f"  {note}" if note else ""))
    return Panel(Group(*lines), border_style=style, title=Text(f"memprof top  {address}"), title_align="left")


def _workers(found: View) -> Table:
    table = _empty(WORKERS, ">><><>>>><")
    for one in found.workers:
        cells: list[RenderableType] = [one.pid, one.memory, _meter(one.used_percent), one.growth, one.recent]
        cells += [one.full_in, one.objects, one.requests, one.up, one.remark]
        table.add_row(*map(_text, cells), style="bright_black" if one.remark else "")
    return table


def _table(head: tuple[str, ...], sides: str, rows: tuple[Row, ...]) -> Table:
    table = _empty(head, sides)
    for row in rows:
        first, *others = row.cells
        table.add_row(Text(first, _STYLES.get(row.state, "")), *map(Text, others))
    return table


def _empty(head: tuple[str, ...], sides: str) -> Table:
    table = Table(expand=True, box=None, header_style="bright_black", pad_edge=False)
    for name, side in zip(head, sides, strict=True):
        table.add_column(name, justify="right" if side == ">" else "left", no_wrap=True, overflow="ellipsis")
    return table


def _text(cell: RenderableType) -> RenderableType:
    return Text(cell) if isinstance(cell, str) else cell  # a name with brackets is no markup


def _meter(used_percent: float | None) -> Text:
    if used_percent is None:
        return Text(DASH)
    style = "red" if used_percent >= _FULL else "yellow" if used_percent >= _FULLER else "green"
    full = max(0, min(_METER, round(used_percent * _METER / 100)))
    return Text.assemble(
        ("█" * full, style), ("░" * (_METER - full), "bright_black"), (f" {used_percent:3.0f} %", style)
    )
