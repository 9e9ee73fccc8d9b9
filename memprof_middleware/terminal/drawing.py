"""Parts of a screen, drawn at whatever size the terminal has."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment


class Block(NamedTuple):
    """A part of the screen, in its place.

    Attributes:
        rank: what comes first where the terminal is low: 0 is always there.
        body: what is drawn.
        thing: what its lines are, for "and 3 more workers".
        least: with fewer lines than this it is left out.
    """

    rank: int
    body: RenderableType
    thing: str = ""
    least: int = 1


class Drawing:
    """Drawn anew at whatever size the terminal has: what matters less is cut first, and the keys never are."""

    def __init__(self, blocks: Callable[[int], list[Block]]) -> None:
        self._blocks = blocks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        blocks = self._blocks(options.max_width)
        inner = options.update(height=None)
        lines = [console.render_lines(block.body, inner, pad=False) for block in blocks]
        shown, room = [0] * len(blocks), console.size.height
        for number in sorted(range(len(blocks)), key=lambda number: blocks[number].rank):
            fits = min(len(lines[number]), room)
            shown[number] = fits if fits == len(lines[number]) or fits >= blocks[number].least else 0
            room -= shown[number]
        for block, rows, fits in zip(blocks, lines, shown, strict=True):
            cut = len(rows) - fits
            if fits and cut and block.thing:  # the last line says what is missing
                words = f"and {cut + 1} more {block.thing}s"
                rows = [*rows[: fits - 1], [Segment(words)]]  # noqa: PLW2901 - the same rows, cut
            for row in rows[:fits]:
                yield from row
                yield Segment.line()
