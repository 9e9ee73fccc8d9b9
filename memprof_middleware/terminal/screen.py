"""A view as a live screen of the terminal's size, with a few keys (extra ``[top]``: rich)."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.live import Live

from memprof_middleware.errors import TopError
from memprof_middleware.terminal.blocks import RECORD_SECONDS, blocks_of, help_blocks, layout_for
from memprof_middleware.terminal.client import Client
from memprof_middleware.terminal.drawing import Block, Drawing
from memprof_middleware.terminal.keys import pressed
from memprof_middleware.terminal.view import SORTS, view

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
        self._message = ""
        self._sure = False  # the next press of f records
        self._helping = False
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
        self._message = ""
        helping, self._helping = self._helping, key == "?" and not self._helping
        if helping and key != "q":
            return True
        found = view(self._state)
        if key == "s":
            self._sort = (self._sort + 1) % len(SORTS)
        elif key == "f" and found.can_record and found.first_pid is not None:
            if sure:
                self._message = self._record(found.first_pid)
            else:
                self._sure = True
                self._message = (
                    f"f again: record worker {found.first_pid} for {RECORD_SECONDS} s; code that allocates much is "
                    "10 to 40 times slower there meanwhile"
                )
        return key != "q"

    def _record(self, pid: int) -> str:
        try:
            return f"recording: the graph will be at {self._client.record(pid, RECORD_SECONDS)}"
        except TopError as error:
            return str(error)

    def _refresh(self) -> bool:
        if self._clock() < self._next:
            return False
        try:
            self._state = self._client.state()
            self._wait = self._interval
            if not self._sure and not self._message.startswith("recording"):
                self._message = ""
        except TopError as error:
            self._wait = min(_LONGEST_WAIT_SECONDS, 2 * self._wait)
            self._message = f"No answer: retrying in {self._wait:.0f} s. {error}"
        self._next = self._clock() + self._wait
        return True

    def draw(self) -> RenderableType:
        """The screen as it is now; it takes the width and the height that it is drawn at."""
        return Drawing(self._blocks)

    def _blocks(self, width: int) -> list[Block]:
        if self._helping:
            return help_blocks()
        layout = layout_for(width)
        found = view(self._state, SORTS[self._sort], layout.spark)
        order = SORTS[(self._sort + 1) % len(SORTS)]
        return blocks_of(found, self._client.address, layout, order, self._message, width)
