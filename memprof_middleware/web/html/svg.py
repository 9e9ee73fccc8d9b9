"""Small parts of pictures. No style attributes, which a strict policy drops: classes and SVG's own attributes only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from memprof_middleware.text.words import clock

Points = Sequence[Sequence[float | None]]
Format = Callable[[float | None], str]
# Steps of a time axis, in seconds: full minutes and hours, so that a reader finds the time of a log line.
_STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
_MOST_TIMES = 7
COLOURS = 8


def ticks(top: float, most: int = 4) -> list[float]:
    """Round values from 0 up to ``top``, about ``most`` of them."""
    if not top > 0:
        return [0.0]
    raw = top / most
    step = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * step for factor in (1, 2, 2.5, 5, 10) if factor * step >= raw * 0.999)
    return [index * step for index in range(int(top / step + 1e-9) + 1)]


def times(start: float, end: float) -> list[float]:
    """Full minutes or hours inside a span, away from its edges."""
    span = end - start
    step = next((step for step in _STEPS if span / step <= _MOST_TIMES), _STEPS[-1])
    first = math.ceil((start + 0.03 * span) / step) * step
    return [float(at) for at in range(int(first), int(end - 0.02 * span) + 1, step)]


def path(points: Points, start: float, end: float, top: float) -> str:
    """The ``d`` of a line in a box of 1000 by 100; a value of ``None`` lifts the pen."""
    span = (end - start) or 1.0
    parts, pen = [], "M"
    for time, value in points:
        if value is None or time is None:
            pen = "M"
            continue
        parts.append(f"{pen}{_x(time, start, span)} {100 - 100 * value / top:.2f}")
        pen = "L"
    return "".join(parts)


def area(low: Points, high: Points, start: float, end: float, top: float) -> str:
    """The ``d`` of what lies between two lines."""
    if not high:
        return ""
    back = path(tuple(reversed(low)), start, end, top).replace("M", "L", 1)
    return f"{path(high, start, end, top)}{back}Z"


def _x(time: float, start: float, span: float) -> str:
    return f"{1000 * (time - start) / span:.1f}"


def frame(
    identity: str,
    title: str,
    description: str,
    body: str,
    *,
    start: float,
    end: float,
    top: float,
    form: Format,
    over: str = "",
    marks: Iterable[tuple[float, str, str]] = (),
    height: int = 200,
) -> str:
    """A picture with its grid: text and grid in percent, so that they never stretch; the lines in a box that does.

    Args:
        identity: unique in the page.
        title: what it shows, for those who cannot see it.
        description: its last values in words.
        body: the lines, in a box of 1000 by 100.
        start: the time at the left edge.
        end: the time at the right edge.
        top: the value at the upper edge.
        form: writes a value.
        over: drawn above all, as markup.
        marks: moments: time, text, and the class of what they mean.
        height: in pixels.
    """
    span = (end - start) or 1.0
    under, upper = [], [over]
    for value in ticks(top):
        y = f"{100 - 100 * value / top:.2f}%" if top else "100%"
        under.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        if value:
            upper.append(f'<text class="tick" x="-6" y="{y}" dy="4" text-anchor="end">{form(value)}</text>')
    for at in times(start, end):
        x = 100 * (at - start) / span
        label = clock(at) if span > 600 else clock(at) + f":{int(at) % 60:02d}"
        upper.append(f'<text class="tick" x="{x:.2f}%" y="100%" dy="15" text-anchor="middle">{label}</text>')
    for row, (at, text, kind) in enumerate(marks):
        x = 100 * (at - start) / span
        # Near the right edge the text stands to the left of its line.
        anchor = 'dx="4"' if x < 85 else 'dx="-4" text-anchor="end"'
        under.append(f'<line class="mark {kind}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>')
        upper.append(f'<text class="marktext {kind}" x="{x:.2f}%" {anchor} y="{10 + 13 * row}">{escape(text)}</text>')
    return (
        f'<svg class="chart" id="{identity}" role="img" aria-labelledby="{identity}-t {identity}-d" height="{height}">'
        f'<title id="{identity}-t">{escape(title)}</title><desc id="{identity}-d">{escape(description)}</desc>'
        f'<svg class="plot" y="4" height="{height - 24}" width="100%" overflow="visible">{"".join(under)}'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">'
        f"{body}</svg>{''.join(upper)}"
        f'<line class="cross" x1="0" x2="0" y1="0" y2="100%"/></svg></svg>'
    )
