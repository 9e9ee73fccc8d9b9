"""The page's pictures as SVG, from the state's series. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from memprof_middleware.text.words import DASH, signed
from memprof_middleware.web.html.svg import COLOURS, Format, Points, area, frame, path

# How many moments a reader can point at.
_MOMENTS = 180
# A limit further above the lines than this would press them flat: then it is told in words only.
_LIMIT_IN_SIGHT = 3.0


def lines(
    identity: str,
    title: str,
    series: Sequence[Mapping[str, Any]],
    form: Format,
    *,
    start: float,
    end: float,
    limit: float | None = None,
    band: Mapping[str, Any] | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
    height: int = 200,
) -> str:
    """A line for each series, a band for many, the limit if it is in sight, and a table of the values.

    Args:
        identity: unique in the page.
        title: what it shows.
        series: each with ``name`` and ``points``.
        form: writes a value; memory by :func:`~memprof_middleware.text.words.size`.
        start: the time at the left edge.
        end: the time at the right edge.
        limit: drawn as a dashed line.
        band: ``name`` and ``points`` of three: time, low, high.
        marks: moments with ``time``, ``text`` and ``kind``.
        height: in pixels.
    """
    rows = [(one["name"], one["points"]) for one in series]
    wide = [] if band is None else band["points"]
    highest = max([*(_highest(points) for _, points in rows), *(point[2] for point in wide), 0.0])
    in_sight = limit is not None and 0 < limit <= _LIMIT_IN_SIGHT * highest
    top = (1.25 if marks else 1.08) * max(highest, limit if limit and in_sight else 0.0) or 1.0
    body = f'<path class="area band" d="{_band(wide, start, end, top)}"/>' if wide else ""
    body += "".join(
        f'<path class="line s{number % COLOURS}" d="{path(points, start, end, top)}"/>'
        for number, (_, points) in enumerate(rows)
    )
    over = ""
    if limit and in_sight:
        y = 100 - 100 * limit / top
        body += f'<path class="limit" d="M0 {y:.2f}L1000 {y:.2f}"/>'
        over = f'<text class="marktext bad" x="100%" text-anchor="end" y="{y:.2f}%" dy="-4">limit {form(limit)}</text>'
    elif limit:
        title += f"; the limit of {form(limit)} is far above"
    svg = frame(
        identity,
        title,
        _described(rows, form),
        body,
        start=start,
        end=end,
        top=top,
        form=form,
        over=over,
        marks=[(mark["time"], mark["text"], mark["kind"]) for mark in marks],
        height=height,
    )
    if wide and band is not None:
        rows = [*rows, (band["name"], [[point[0], point[2]] for point in wide])]
    return _figure(title, svg, rows, form, start, end, band=bool(wide))


def stacked(
    identity: str,
    title: str,
    names: Sequence[str],
    points: Points,
    form: Format,
    *,
    marks: Sequence[Mapping[str, Any]] = (),
    height: int = 200,
) -> str:
    """Areas on top of one another; a point is a time and a value for each name."""
    known = [[value or 0.0 for value in point] for point in points]
    start, end = (known[0][0], known[-1][0]) if known else (0.0, 1.0)
    top = (1.25 if marks else 1.08) * max((sum(point[1:]) for point in known), default=0.0) or 1.0
    low = [[point[0], 0.0] for point in known]
    bodies, rows = [], []
    for number, name in enumerate(names):
        high = [[below[0], below[1] + point[number + 1]] for below, point in zip(low, known, strict=True)]
        bodies.append(f'<path class="area s{number % COLOURS}" d="{area(low, high, start, end, top)}"/>')
        rows.append((name, [[point[0], point[number + 1]] for point in known]))
        low = high
    svg = frame(
        identity,
        title,
        _described(rows, form),
        "".join(bodies),
        start=start,
        end=end,
        top=top,
        form=form,
        marks=[(mark["time"], mark["text"], mark["kind"]) for mark in marks],
        height=height,
    )
    return _figure(title, svg, rows, form, start, end)


def spark(points: Points, width: int = 96, height: int = 22, kind: str = "s0") -> str:
    """A line of a few centimetres on a scale of its own: its shape is what counts."""
    values = [point[1] for point in points if point[1] is not None]
    if not values:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1.0
    start, end = points[0][0] or 0.0, points[-1][0] or 1.0
    scaled = [(point[0], None if point[1] is None else 8 + 84 * (point[1] - low) / span) for point in points]
    if len(values) == 1:
        scaled, start, end = [(0.0, 50.0), (1.0, 50.0)], 0.0, 1.0
    return (
        f'<svg class="spark" viewBox="0 0 1000 100" preserveAspectRatio="none" width="{width}" height="{height}" '
        f'aria-hidden="true"><path class="line {kind}" d="{path(scaled, start, end, 100.0)}"/></svg>'
    )


def meter(percent: float | None, notch: float = 85.0) -> str:
    """A bar of what is used, with a notch where it becomes pressing."""
    if percent is None:
        return ""
    shown = min(100.0, max(0.0, percent))
    kind = "bad" if percent >= notch else "warn" if percent >= notch - 15 else "ok"
    return (
        f'<svg class="meter" width="100" height="10" role="img" aria-label="{percent:.0f} percent of the limit">'
        f'<rect class="bg" width="100" height="10" rx="3"/>'
        f'<rect class="fill {kind}" width="{shown:.1f}" height="10" rx="3"/>'
        f'<line x1="{notch:g}" x2="{notch:g}" y1="0" y2="10" class="notch"/></svg>'
    )


def _band(wide: Points, start: float, end: float, top: float) -> str:
    low, high = ([[point[0], point[index]] for point in wide] for index in (1, 2))
    return area(low, high, start, end, top)


def _highest(points: Points) -> float:
    return max((point[1] for point in points if point[1] is not None), default=0.0)


def _described(rows: Sequence[tuple[str, Points]], form: Format) -> str:
    return "; ".join(f"{name}: {form(_last(points))}" for name, points in rows) or "nothing is known yet"


def _last(points: Points) -> float | None:
    return next((point[1] for point in reversed(points) if point[1] is not None), None)


def _figure(
    title: str,
    svg: str,
    rows: Sequence[tuple[str, Points]],
    form: Format,
    start: float,
    end: float,
    *,
    band: bool = False,
) -> str:
    """The picture with its legend, which is a table: now, and the change since the left edge."""
    body = []
    for number, (name, points) in enumerate(rows):
        now, first = _last(points), next((point[1] for point in points if point[1] is not None), None)
        change = DASH if now is None or first is None else signed(form(now - first))
        kind = "band" if band and number == len(rows) - 1 else f"s{number % COLOURS}"
        body.append(
            f'<tr><th scope="row"><svg class="key" width="18" height="10" aria-hidden="true">'
            f'<rect class="swatch {kind}" width="18" height="10" rx="2"/></svg>{escape(name)}</th>'
            f'<td class="now">{form(now)}</td><td class="delta">{change}</td></tr>'
        )
    memory = "MiB" in form(1.0)
    told = {"s": start, "e": end, "n": _MOMENTS, "u": "m" if memory else "c", "v": _moments(rows, start, end)}
    return (
        f'<figure class="fig" data-points="{escape(json.dumps(told, separators=(",", ":")))}">'
        f'<figcaption>{escape(title)} <span class="at"></span></figcaption>{svg}'
        f'<table class="legend"><caption class="vh">{escape(title)}: now, and change since the left edge</caption>'
        f'<thead><tr><th scope="col">series</th><th scope="col">now</th><th scope="col">change</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></figure>"
    )


def _moments(rows: Sequence[tuple[str, Points]], start: float, end: float) -> list[list[float | None]]:
    """The value of each series at equal steps of time: what a reader's pointer asks for."""
    width = (end - start) / (_MOMENTS - 1)
    found: list[list[float | None]] = []
    for _, points in rows:
        values: list[float | None] = []
        index, value = 0, None
        for moment in range(_MOMENTS):
            until = start + moment * width + width / 2
            while index < len(points) and (points[index][0] or 0.0) <= until:
                value = points[index][1]
                index += 1
            values.append(None if value is None else round(value, 1))
        found.append(values)
    return found
