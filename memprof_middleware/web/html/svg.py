"""Parts of charts as SVG, with classes and SVG attributes only: a strict policy drops style attributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

from memprof_middleware.text.words import clock

Points = Sequence[Sequence[float | None]]
Format = Callable[[float | None], str]
# Steps of a time axis, in seconds: full minutes and hours, so that a reader finds the time of a log line.
_STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
_MOST_TIMES = 7
# Within this share of the width from "now", no other time is written; within the second share, none on a phone.
_NEAR, _NEAR_AT_EDGE, _NEAR_ON_PHONE, _NEAR_AT_EDGE_ON_PHONE = 0.11, 0.17, 0.26, 0.31
# A span up to this has seconds on its axis, and times that are so much wider.
_WITH_SECONDS, _WIDER = 600.0, 1.45
_EDGE = 90.0
COLOURS = 8


class Box(NamedTuple):
    """The range of a chart in time and value.

    Attributes:
        start: the time at the left edge.
        end: the time at the right edge.
        base: the value at the lower edge.
        top: the value at the upper edge.
    """

    start: float
    end: float
    base: float
    top: float

    def x(self, time: float) -> float:
        """The horizontal position of a time, in percent."""
        return 100 * (time - self.start) / ((self.end - self.start) or 1.0)

    def y(self, value: float) -> float:
        """The vertical position of a value from the top, in percent."""
        return 100 - 100 * (value - self.base) / ((self.top - self.base) or 1.0)


def ticks(top: float, most: int = 4, base: float = 0.0) -> list[float]:
    """Round values from ``base`` up to ``top``, about ``most`` of them."""
    if not top > base:
        return [base]
    step = step_of(top - base, most)
    first = math.ceil(base / step - 1e-9)
    return [index * step for index in range(first, int(top / step + 1e-9) + 1)]


def step_of(span: float, most: int = 4) -> float:
    """A round step that divides a span into about ``most`` parts."""
    raw = span / most
    step = 10.0 ** math.floor(math.log10(raw))
    return next(factor * step for factor in (1, 2, 2.5, 5, 10) if factor * step >= raw * 0.999)


def times(start: float, end: float) -> list[float]:
    """Full minutes or hours inside a span, away from its edges."""
    span = end - start
    step = next((step for step in _STEPS if span / step <= _MOST_TIMES), _STEPS[-1])
    first = math.ceil((start + 0.03 * span) / step) * step
    return [float(at) for at in range(int(first), int(end - 0.02 * span) + 1, step)]


def path(points: Points, box: Box) -> str:
    """The ``d`` of a line in a box of 1000 by 100; a value of ``None`` interrupts it."""
    parts, pen = [], "M"
    for time, value in points:
        if value is None or time is None:
            pen = "M"
            continue
        parts.append(f"{pen}{10 * box.x(time):.1f} {box.y(value):.2f}")
        pen = "L"
    return "".join(parts)


def area(wide: Points, box: Box) -> str:
    """The ``d`` of a band: points of time, lowest and highest."""
    if not wide:
        return ""
    low, high = ([[point[0], point[index]] for point in wide] for index in (1, 2))
    back = path(tuple(reversed(low)), box).replace("M", "L", 1)
    return f"{path(high, box)}{back}Z"


def frame(
    identity: str,
    title: str,
    description: str,
    body: str,
    box: Box,
    form: Format,
    *,
    now: float | None = None,
    under: str = "",
    over: str = "",
    height: int = 200,
    most: int = 4,
) -> str:
    """A chart with its grid: text and grid in percent, so that they do not stretch; the lines in a box that does.

    Args:
        identity: unique in the page.
        title: the title, for screen readers.
        description: its last values in words.
        body: the lines, in a box of 1000 by 100.
        box: its range.
        form: formats a value.
        now: the time marked "now" on the axis; ``None``: no mark.
        under: drawn below all, as markup.
        over: drawn above all, as markup.
        height: in pixels.
        most: about how many values stand on the axis.
    """
    lower, upper = [], list[str]()
    for value in ticks(box.top, most, box.base):
        y = f"{box.y(value):.2f}%"
        lower.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        upper.append(f'<text class="tick" x="-8" y="{y}" dy="4" text-anchor="end">{form(value)}</text>')
    upper += _clock(box, now)
    return (
        f'<svg class="chart" id="{identity}" role="img" aria-labelledby="{identity}-t {identity}-d" height="{height}">'
        f'<title id="{identity}-t">{escape(title)}</title><desc id="{identity}-d">{escape(description)}</desc>'
        f'<svg class="plot" y="6" height="{height - 32}" width="100%" overflow="visible">{"".join(lower)}{under}'
        f'<line class="base" x1="0" x2="100%" y1="100%" y2="100%"/>'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">'
        f"{body}</svg>{''.join(upper)}{over}"
        f'<line class="cross" x1="0" x2="0" y1="0" y2="100%"/></svg></svg>'
    )


def _clock(box: Box, now: float | None) -> Iterable[str]:
    """The time axis, with "now" on it; a phone leaves out every second time, and what is near to "now"."""
    span = box.end - box.start
    wider = _WIDER if span <= _WITH_SECONDS else 1.0
    inside = now is None or box.x(now) <= _EDGE
    near = wider * (_NEAR if inside else _NEAR_AT_EDGE)
    near_on_phone = wider * (_NEAR_ON_PHONE if inside else _NEAR_AT_EDGE_ON_PHONE)
    for number, at in enumerate(times(box.start, box.end)):
        away = math.inf if now is None else abs(at - now) / (span or 1.0)
        if away < near:
            continue
        odd = " odd" if number % 2 or away < near_on_phone else ""
        x = f"{box.x(at):.2f}%"
        yield f'<text class="tick{odd}" x="{x}" y="100%" dy="18" text-anchor="middle">{_time(at, span)}</text>'
    if now is not None:
        yield label(box.x(now), 100.0, f"now {_time(now, span)}", anchor=_side(box.x(now)), dy=18)


def _side(x: float) -> str:
    return "end" if x > _EDGE else "start" if x < 100 - _EDGE else "middle"


def _time(at: float, span: float) -> str:
    return clock(at) if span > _WITH_SECONDS else clock(at) + f":{int(at) % 60:02d}"


def label(x: float, y: float, words: str, *, anchor: str = "", dy: int = -10) -> str:
    """Words in a picture, which stay inside of it.

    Args:
        x: in percent.
        y: in percent.
        words: text, not markup.
        anchor: which end of the words is there; empty: the one that keeps them inside.
        dy: pixels below that point.
    """
    side = anchor or ("start" if x < 12 else "end" if x > 80 else "middle")
    return f'<text class="lab" x="{x:.2f}%" y="{y:.2f}%" dy="{dy}" text-anchor="{side}">{escape(words)}</text>'
