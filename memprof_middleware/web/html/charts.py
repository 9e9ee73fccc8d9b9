"""The charts of the page as SVG, from the state's series. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from memprof_middleware.text.words import DASH, count, signed, size
from memprof_middleware.web.html.marks import worded
from memprof_middleware.web.html.svg import COLOURS, Box, Format, Points, area, frame, label, path, step_of

# The number of moments that the pointer can select.
_MOMENTS = 120
# A limit that is more times above the lines than this would flatten them: it is stated in words only.
_LIMIT_IN_SIGHT = 3.0
# The smallest span of a memory chart, in MB and as a share of memory in use, so that noise stays flat.
_LEAST_MB, _LEAST_SHARE = 8.0, 0.1
# The chart extends beyond the expected time of the limit by this share of the time until then.
_BEHIND = 0.15
# Words above two dots that are nearer than this, in percent of the width, would lie on one another.
_DOTS_APART = 25.0
# Lines whose ends are nearer than this, in percent of the height, share one label.
_ENDS_APART = 9.0
# The words of a fitted line cover this share of the width; they stand below both lines there, and above the axis.
_WORDS_SHARE, _LOWEST_WORDS = 0.25, 86.0


def growth(identity: str, incident: Mapping[str, Any], now: float) -> str:
    """The chart of a leak's growth with its fitted line and the expected time of the limit; empty without a series.

    Args:
        identity: unique in the page.
        incident: as the state has it.
        now: the time of the state.
    """
    series, fit, hit = incident["series"], incident["fit"], incident["hit"]
    if series is None:
        return ""
    in_mb = series["unit"] == "MB"
    form: Format = size if in_mb else _whole
    points = series["points"]
    end = max(now, points[-1][0])
    if hit is not None:
        end = max(end, hit["high"] + _BEHIND * (hit["high"] - now))
    slope = 0.0 if fit is None else (fit["v1"] - fit["v0"]) / ((fit["t1"] - fit["t0"]) or 1.0)
    last = 0.0 if fit is None else fit["v0"] + slope * (end - fit["t0"])
    box = Box(points[0][0], end, 0.0, 1.08 * max(_highest(points), last) or 1.0)
    body, under, over = f'<path class="raw" d="{path(points, box)}"/>', "", []
    if fit is not None:
        line = [[fit["t0"], fit["v0"]], [end, last]]
        body += f'<path class="fitline" d="{path(line, box)}"/>'
        middle = fit["t0"] + 0.45 * (end - fit["t0"])
        until = middle + _WORDS_SHARE * (end - box.start)
        measured = [box.y(point[1]) for point in points if point[1] is not None and middle <= point[0] <= until]
        there = min(_LOWEST_WORDS, max([box.y(fit["v0"] + slope * (middle - fit["t0"])), *measured]))
        over.append(label(box.x(middle), there, fit["words"], anchor="start", dy=26))
    if hit is not None:
        under, mark = _ahead(box, hit, now)
        over.append(mark)
    over += [
        label(0.0, box.y(_first(points) or 0.0), series["first"], dy=-12),
        label(min(99.0, box.x(points[-1][0])), box.y(_last(points) or 0.0), series["last"], dy=-12, anchor="end"),
    ]
    what = "measured, with the fitted line" if fit is not None else "measured"
    whose = f"; worker {series['pid']}" if series["pid"] else ""
    name = "".join(part["text"] for part in series["name"])
    described = f"From {series['first']} to {series['last']}" + (f"; {fit['words']}" if fit is not None else "")
    drawn = frame(
        identity,
        f"{name}{whose.replace(';', ' in')}",
        f"{described}.",
        body,
        box,
        form,
        now=now,
        under=under,
        over="".join(over),
        height=250,
    )
    pointer = _pointer_values([("", points)], box, memory=in_mb)
    return (
        f'<figure class="fig" data-points="{pointer}"><figcaption>{worded(series["name"])} '
        f'<small>{what}{whose}</small> <span class="at"></span></figcaption>{drawn}</figure>'
    )


def _ahead(box: Box, hit: Mapping[str, float], now: float) -> tuple[str, str]:
    """The future in a chart, with the expected time of the limit."""
    x, low, high = box.x(now), box.x(hit["low"]), box.x(hit["high"])
    under = (
        f'<rect class="future" x="{x:.2f}%" width="{100 - x:.2f}%" y="0" height="100%"/>'
        f'<rect class="until" x="{low:.2f}%" width="{high - low:.2f}%" y="0" height="100%"/>'
        f'<line class="nowline" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>'
    )
    anchor, at = ("end", low) if low > 30 else ("start", high)
    over = f'<text class="lab bad" x="{at:.2f}%" y="0" dy="14" text-anchor="{anchor}">memory limit</text>'
    return under, over


def memory(identity: str, past: Mapping[str, Any], now: float, hot: int | None = None) -> tuple[str, str]:
    """The chart of memory in use over time, and a note about its axis.

    Args:
        identity: unique in the page.
        past: the state's timeline.
        now: the time of the state.
        hot: the process that the status is about, whose line is red.
    """
    series, wide, limit = past["series"], past["band"]["points"], past["limit_mb"]
    values = [point[1] for one in series for point in one["points"] if point[1] is not None]
    values += [value for point in wide for value in point[1:] if value is not None]
    if not values:
        return "", "No snapshot yet."
    lowest, highest = min(values), max(values)
    in_sight = limit is not None and 0 < limit <= _LIMIT_IN_SIGHT * highest
    top = max(highest, limit if limit and in_sight else 0.0)
    span = max(top - lowest, _LEAST_MB, _LEAST_SHARE * highest)
    step = step_of(span * 1.1, 4)
    base = max(0.0, step * math.floor((lowest - 0.05 * span) / step))
    box = Box(past["start"], past["end"], base, max(base + 1.0, top + 0.06 * (top - base), base + span))
    body = f'<path class="band" d="{area(wide, box)}"/>' if wide else ""
    several = len(series) > 1 or bool(wide)
    for one in reversed(series):
        usual = "apart" if one["outlier"] and wide else "w1"
        kind = "" if not several else "out" if hot is not None and one["pid"] == hot else usual
        body += f'<path class="raw {kind}" d="{path(one["points"], box)}"/>'
    over = ""
    if limit and in_sight:
        y = box.y(limit)
        body += f'<path class="limit" d="M0 {y:.2f}L1000 {y:.2f}"/>'
        over = f'<text class="lab bad" x="0" dx="6" y="{y:.2f}%" dy="16">limit {in_mib(limit)}</text>'
    tops = [(one["name"], _last(one["points"])) for one in series]
    tops += [(past["band"]["name"], wide[-1][2])] if wide else []
    over += "".join(_ends(tops, box)) if several else ""
    rows = [(one["name"], one["points"]) for one in series]
    described = "; ".join(f"{name}: {size(_last(points))}" for name, points in rows)
    if wide:
        described = "; ".join(filter(None, (described, f"{past['band']['name']}: up to {size(wide[-1][2])}")))
    svg = frame(identity, "Memory in use", described, body, box, in_mib, now=now, over=over, height=220)
    axis = f"The axis starts at {in_mib(base)}" if base else ""
    if limit and not in_sight:
        far = f"the limit ({in_mib(limit)}) is far above"
        axis = f"{axis}; {far}" if axis else f"{far[0].upper()}{far[1:]}"
    pointer = _pointer_values(rows, box, memory=True)
    return f'<figure class="fig" data-points="{pointer}">{svg}</figure>', f"{axis}." if axis else ""


def _ends(tops: Sequence[tuple[str, float | None]], box: Box) -> list[str]:
    """The name of each line and of the band at its end; of those that end together, the first name."""
    found, taken = [], list[float]()
    for name, value in tops:
        if value is None:
            continue
        y = box.y(value)
        if all(abs(y - other) >= _ENDS_APART for other in taken):
            below = bool(taken) and y > max(taken)
            found.append(label(99.0, y, name, dy=20 if below else -8))
            taken.append(y)
    return found


def strip(rows: Sequence[Mapping[str, Any]], limit_mb: float | None, hot: int | None = None) -> str:
    """A dot for each worker on an axis from 0 to 100 % of its limit.

    Args:
        rows: the workers, the first to reach its limit on top.
        limit_mb: the limit.
        hot: the process that the status is about, whose dot is red and on top.
    """
    known = [row for row in rows if row["used_percent"] is not None]
    # A silent worker is no outlier by its last figures.
    alike = sorted((row for row in known if not _is_odd(row)), key=lambda row: row["used_percent"])
    others = sorted((row for row in known if _is_odd(row)), key=lambda row: row["pid"] != hot)
    dots = "".join(
        f'<circle class="dotw" cx="{_inside(row["used_percent"])}%" cy="{(24, 34, 44)[number % 3]}" r="6"/>'
        for number, row in enumerate(alike)
    )
    named = [(row["used_percent"], str(row["pid"]), _odd(row, hot)) for row in others[: 1 if len(others) > 3 else 3]]
    if alike:
        named.append((alike[len(alike) // 2]["used_percent"], f"{len(alike)} workers", "m"))
    texts, taken = [], list[float]()
    for at, words, kind in named:
        if all(abs(at - other) > _DOTS_APART for other in taken):
            texts.append(_above(at, words, {"out": "bad", "apart": ""}.get(kind, kind)))
            taken.append(at)
    for row in reversed(others):
        x = _inside(row["used_percent"])
        dots += f'<circle class="dotw {_odd(row, hot)}" cx="{x}%" cy="34" r="7"/>'
    ends = [alike[0]["used_percent"], alike[-1]["used_percent"]] if alike else [0, 0]
    words = f"{len(alike)} workers between {ends[0]:.0f} and {ends[1]:.0f} percent of the limit"
    words += "".join(f", worker {row['pid']} at {row['used_percent']:.0f} percent" for row in others[:4])
    scale = "".join(
        f'<text class="tick{" odd" if share in {25, 75} else ""}" x="{share}%" y="70" '
        f'text-anchor="{"start" if not share else "middle"}">{share} %</text>'
        for share in (0, 25, 50, 75)
    )
    all_ = f" = {in_mib(limit_mb)}" if limit_mb else ""
    return (
        f'<svg class="chart strip" height="80" role="img" aria-label="{words}">'
        f'<line class="base" x1="0" x2="100%" y1="52" y2="52"/>{dots}{"".join(texts)}'
        f'<line class="hitline" x1="100%" x2="100%" y1="14" y2="52"/>{scale}'
        f'<text class="tick" x="100%" y="70" text-anchor="end">100 %{all_}</text></svg>'
    )


def _is_odd(row: Mapping[str, Any]) -> bool:
    return bool(row["outlier"]) and row["age_seconds"] is None


def _odd(row: Mapping[str, Any], hot: int | None) -> str:
    """The style of an outlier: red is what the status is about."""
    return "out" if hot is not None and row["pid"] == hot else "apart"


def _above(percent: float, words: str, kind: str) -> str:
    x = float(_inside(percent))
    anchor = "start" if x < 6 else "end" if x > 94 else "middle"
    return f'<text class="lab {kind}" x="{x}%" y="14" text-anchor="{anchor}">{escape(words)}</text>'


def _inside(percent: float) -> str:
    return f"{min(100.0, max(0.0, percent)):.2f}"


def lines(
    identity: str,
    title: str,
    series: Sequence[Mapping[str, Any]],
    form: Format,
    *,
    start: float,
    end: float,
    height: int = 200,
) -> str:
    """The chart of a report: a line for each series, with a table of the values.

    Args:
        identity: unique in the page.
        title: the title, as text.
        series: each with ``name`` and ``points``.
        form: formats a value; memory by :func:`~memprof_middleware.text.words.size`.
        start: the time at the left edge.
        end: the time at the right edge.
        height: in pixels.
    """
    rows = [(one["name"], one["points"]) for one in series]
    box = Box(start, end, 0.0, 1.08 * max([*(_highest(points) for _, points in rows), 0.0]) or 1.0)
    body = "".join(
        f'<path class="line s{number % COLOURS}" d="{path(points, box)}"/>' for number, (_, points) in enumerate(rows)
    )
    described = "; ".join(f"{name}: {form(_last(points))}" for name, points in rows) or "nothing is known yet"
    svg = frame(identity, title, described, body, box, form, height=height)
    legend = []
    for number, (name, points) in enumerate(rows):
        now, first = _last(points), _first(points)
        change = DASH if now is None or first is None else signed(form(now - first))
        legend.append(
            f'<tr><th scope="row"><svg class="key" width="18" height="10" aria-hidden="true">'
            f'<rect class="swatch s{number % COLOURS}" width="18" height="10" rx="2"/></svg>{escape(name)}</th>'
            f'<td class="now">{form(now)}</td><td class="delta">{change}</td></tr>'
        )
    pointer = _pointer_values(rows, box, memory="MiB" in form(1.0))
    return (
        f'<figure class="fig" data-points="{pointer}"><figcaption>{escape(title)} <span class="at"></span></figcaption>'
        f'{svg}<table class="legend"><caption class="vh">{escape(title)}: now, and change since the left edge</caption>'
        f'<thead><tr><th scope="col">series</th><th scope="col">now</th><th scope="col">change</th></tr></thead>'
        f"<tbody>{''.join(legend)}</tbody></table></figure>"
    )


def spark(points: Points, width: int = 220, height: int = 26, kind: str = "w1") -> str:
    """A sparkline: a small line on a scale of its own."""
    values = [point[1] for point in points if point[1] is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    start, end = points[0][0] or 0.0, points[-1][0] or 1.0
    if len(values) == 1:
        points, start, end = [[0.0, low], [1.0, low]], 0.0, 1.0
    middle, half = (low + high) / 2, 0.6 * max((high - low), 0.1 * abs(high), 1e-9)
    box = Box(start, end, middle - half, middle + half)
    return (
        f'<svg class="spark" viewBox="0 0 1000 100" preserveAspectRatio="none" width="{width}" height="{height}" '
        f'aria-hidden="true"><path class="raw {kind}" d="{path(points, box)}"/></svg>'
    )


def meter(percent: float | None, *, hot: bool = False) -> str:
    """A bar of memory in use against the limit."""
    if percent is None:
        return ""
    shown = min(100.0, max(0.0, percent))
    return (
        f'<svg class="meter" width="120" height="10" role="img" aria-label="{percent:.0f} percent of the limit">'
        f'<rect class="bg" width="120" height="10" rx="3"/>'
        f'<rect class="fill{" hot" * hot}" width="{1.2 * shown:.1f}" height="10" rx="3"/></svg>'
    )


def _highest(points: Points) -> float:
    return max((point[1] for point in points if point[1] is not None), default=0.0)


def _last(points: Points) -> float | None:
    return next((point[1] for point in reversed(points) if point[1] is not None), None)


def _first(points: Points) -> float | None:
    return next((point[1] for point in points if point[1] is not None), None)


def in_mib(mb: float | None) -> str:
    """Memory on an axis and of a limit: ``1,024 MiB``, ``16 GiB``."""
    return DASH if mb is None else f"{mb:,.0f} MiB" if mb < 10240 and mb == round(mb) else size(mb)


def _whole(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:,.0f}" if value < 1e6 and value == round(value) else count(value) if value >= 10 else f"{value:g}"


def _pointer_values(rows: Sequence[tuple[str, Points]], box: Box, *, memory: bool) -> str:
    """The values of each series at equal steps of time, for the pointer of the reader."""
    values = {
        "s": box.start,
        "e": box.end,
        "n": _MOMENTS,
        "u": "m" if memory else "c",
        "k": [name for name, _ in rows],
        "v": _moments(rows, box.start, box.end),
    }
    return escape(json.dumps(values, separators=(",", ":")))


def _moments(rows: Sequence[tuple[str, Points]], start: float, end: float) -> list[list[float | None]]:
    width = (end - start) / (_MOMENTS - 1)
    found: list[list[float | None]] = []
    for _, points in rows:
        values: list[float | None] = []
        index, value, last = 0, None, points[-1][0] or 0.0 if points else 0.0
        for moment in range(_MOMENTS):
            until = start + moment * width + width / 2
            while index < len(points) and (points[index][0] or 0.0) <= until:
                value = points[index][1]
                index += 1
            ahead = until - width > last
            values.append(None if value is None or ahead else round(value, 1))
        found.append(values)
    return found
