"""Small area charts out of block characters, with figures on both axes."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = "   ...:::#"  # the same number of steps, for terminals without Unicode
_LINES = {"│": "|", "┤": "+", "└": "+", "─": "-", "▲": "^"}
HEIGHT = 4


@dataclasses.dataclass(frozen=True)
class Chart:
    """A series over time.

    Attributes:
        times: seconds, rising.
        values: one for each time.
        from_zero: whether the axis begins at 0; otherwise at the lowest value, which shows small changes.
        unit: follows the figures on the axis.
        mark: a moment and what happened then.
    """

    times: Sequence[float]
    values: Sequence[float]
    from_zero: bool = False
    unit: str = ""
    mark: tuple[float, str] | None = None

    def lines(self, width: int, *, ascii_only: bool = False) -> list[str]:
        """The chart in lines of at most this many characters; too narrow or without values: no lines."""
        low = 0.0 if self.from_zero else min(self.values, default=0.0)
        high = max(self.values, default=0.0)
        digits = 1 if high < 100 else 0
        labels = [f"{value:,.{digits}f}{self.unit}" for value in (high, low)]
        margin = max(map(len, labels))
        columns = width - margin - 2
        if not self.values or columns < 10:
            return []
        levels = self._levels(columns, low, high)
        blocks = _ASCII if ascii_only else _BLOCKS
        lines = []
        for row in reversed(range(HEIGHT)):
            label = labels[0] if row == HEIGHT - 1 else labels[1] if row == 0 else ""
            bars = "".join(blocks[min(8, max(0, level - 8 * row))] for level in levels)
            lines.append(f"{label:>{margin}} {'┤' if label else '│'}{bars}".rstrip())
        lines.extend(" " * (margin + 1) + line for line in self._axis(columns))
        if ascii_only:
            lines = ["".join(_LINES.get(character, character) for character in line) for line in lines]
        return lines

    def _levels(self, columns: int, low: float, high: float) -> list[int]:
        """For each column the height of its bar, in eighths of a row."""
        start, end = self.times[0], self.times[-1]
        levels = []
        for column in range(columns):
            moment = start + (end - start) * column / (columns - 1)
            value = self.values[bisect_right(self.times, moment + 1e-9) - 1]
            share = (value - low) / (high - low) if high > low else 0.0
            levels.append(max(1, round(share * HEIGHT * 8)))
        return levels

    def _axis(self, columns: int) -> list[str]:
        axis, last = "─" * columns, f"{self.times[-1]:.0f} s"
        figures = "0 s".ljust(columns - len(last)) + last
        if self.mark is not None:
            moment, text = self.mark
            span = self.times[-1] - self.times[0]
            at = round((moment - self.times[0]) / span * (columns - 1)) if span > 0 else 0
            at = min(max(at, 0), columns - 1)
            axis = axis[:at] + "▲" + axis[at + 1 :]
            # Under its mark, but clear of the figures at both ends.
            begin = min(max(at, 5), columns - len(last) - len(text) - 1)
            if begin >= 5:
                figures = figures[:begin] + text + figures[begin + len(text) :]
        return ["└" + axis, " " + figures]
