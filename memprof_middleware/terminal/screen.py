"""A view as a screen that redraws itself (extra ``[top]``: rich), with a few keys."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from memprof_middleware.errors import TopError
from memprof_middleware.terminal.client import Client
from memprof_middleware.terminal.keys import pressed
from memprof_middleware.terminal.plain import LEAKS, TYPES, WORKERS
from memprof_middleware.terminal.view import SORTS, Row, View, view
from memprof_middleware.text.words import DASH

_STYLES = {"confirmed": "bold red", "suspected": "yellow", "resolved": "green"}
_VERDICTS = {"leak_confirmed": "red", "near_limit": "red", "leak_suspected": "yellow", "no_leak": "green"}
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
                changed = self._refresh()
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

    def _refresh(self) -> bool:
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
        """The screen as it is now; it takes the width that it is drawn at."""
        return _Drawing(self._parts)

    def _parts(self, width: int) -> list[RenderableType]:
        layout = next(layout for layout in _LAYOUTS if width >= layout.least)
        found = view(self._state, SORTS[self._sort], layout.spark)
        keys = f"q quit  s sort by {SORTS[(self._sort + 1) % len(SORTS)]}"
        keys += f"  f flame graph {_RECORD_SECONDS} s" if found.can_record else ""
        parts: list[RenderableType] = [_head(found, self._client.address), _workers(found, layout)]
        if found.leaks:
            parts += [Text(), _table(LEAKS, "<<><<", found.leaks, firm=(0, 2))]
        if found.types:
            parts += [Text(), _table(TYPES, "<<>>", found.types, firm=(1, 2, 3))]
        parts.append(Text.assemble("\n", (f"{keys}   {found.foot}", "bright_black")))
        if self._told:
            parts.append(Text(self._told, "yellow"))
        return parts


class _Layout(NamedTuple):
    """What fits from a width on: the workers' columns, and how wide meter and sparkline are."""

    least: int
    columns: tuple[str, ...]
    meter: int
    spark: int


_ALL = WORKERS[:-1]  # a remark stands where the time left would
_LAYOUTS = (
    _Layout(116, _ALL, 10, 20),
    _Layout(96, tuple(name for name in _ALL if name != "UP"), 8, 16),
    _Layout(0, tuple(name for name in _ALL if name not in {"UP", "REQUESTS", "OBJECTS"}), 6, 12),
)


class _Drawing:
    """Drawn anew at whatever width the terminal has."""

    def __init__(self, parts: Callable[[int], list[RenderableType]]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._parts(options.max_width)


def _head(found: View, address: str) -> Panel:
    style = _VERDICTS.get(found.state, "bright_black")
    lines = [Text.assemble((found.label, f"bold {style}"), " ", (found.headline, "bold"))]
    if found.sentence:
        lines.append(Text(found.sentence))
    for name, value, note in found.facts:
        lines.append(Text.assemble((f"{name:<12}", "bright_black"), (value, "cyan"), f"  {note}" if note else ""))
    return Panel(Group(*lines), border_style=style, title=Text(f"memprof top  {address}"), title_align="left")


def _workers(found: View, layout: _Layout) -> Table:
    rows = []
    for one in found.workers:
        cells: dict[str, str | Text] = {
            "PID": one.pid,
            "MEMORY": one.memory,
            "OF LIMIT": _meter(one.used_percent, layout.meter),
            "GROWTH": one.growth,
            "LAST 2 H": one.recent,
            "FULL IN": one.remark or one.full_in,
            "OBJECTS": one.objects,
            "REQUESTS": one.requests,
            "UP": one.up,
        }
        rows.append((one.remark != "", [cells[name] for name in layout.columns]))
    left = {"OF LIMIT", "LAST 2 H"}
    sides = "".join("<" if name in left else ">" for name in layout.columns)
    table = _empty(layout.columns, sides, range(len(sides)), [cells for _, cells in rows])
    for silent, row in rows:
        # Text, not a plain string: a name with brackets is no markup.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row), style="dim" if silent else "")
    return table


def _table(head: tuple[str, ...], sides: str, rows: tuple[Row, ...], firm: Sequence[int]) -> Table:
    table = _empty(head, sides, firm, [row.cells for row in rows])
    for row in rows:
        first, *others = row.cells
        table.add_row(Text(first, _STYLES.get(row.state, "")), *map(Text, others))
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
