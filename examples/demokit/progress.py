"""What is seen while the traffic runs: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from demokit.timeline import Call, Point

_EVERY = 5  # seconds between two lines


class Progress(Protocol):
    """Shows how far the run is."""

    def show(self, second: int, answered: int, points: Sequence[Point], calls: Sequence[Call]) -> None:
        """Show the state after so many seconds."""


@contextlib.contextmanager
def progress_for(console: Console, seconds: int) -> Iterator[Progress]:
    """The progress display that suits the console."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console, seconds)
        return
    columns = (
        TextColumn("{task.completed:>2.0f} of {task.total:.0f} s", style="dim"),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console, transient=True, expand=True) as bar:
        yield _Bar(console, bar, seconds)


class _Lines:
    def __init__(self, console: Console, seconds: int) -> None:
        self._console, self._seconds = console, seconds

    def show(self, second: int, answered: int, points: Sequence[Point], calls: Sequence[Call]) -> None:
        if second % _EVERY == 0 or second == self._seconds:
            state = _state(answered, points, calls)
            self._console.print(f"{second:>3} s  {state}", markup=False, soft_wrap=True)


class _Bar:
    def __init__(self, console: Console, bar: Bar, seconds: int) -> None:
        self._console, self._bar, self._seconds, self._told = console, bar, seconds, 0
        self._task = bar.add_task("the first visitors come", total=seconds)

    def show(self, second: int, answered: int, points: Sequence[Point], calls: Sequence[Call]) -> None:
        total = max(second, self._seconds)  # a run may go on for longer
        self._bar.update(self._task, completed=second, total=total, description=_state(answered, points, ()))
        for call in calls[self._told :]:
            self._console.print(Text(f"{call.time:>3.0f} s  leak found: {call.name} ({call.urgency})", "bold red"))
        self._told = len(calls)


def _state(answered: int, points: Sequence[Point], calls: Sequence[Call]) -> str:
    parts = [f"{answered:,} requests"]
    if points:
        parts.append(
            f"{points[-1].heap_mb:.1f} MB, {points[-1].leaking:,.0f} sessions, {points[-1].cached:,.0f} cached"
        )
    parts.extend(f"leak found: {call.name}" for call in calls)
    return ", ".join(parts)
